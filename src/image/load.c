/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading an archive. Every file in it becomes a blob by its digest while the
 * archive is read once, whatever it turns out to be; then the archive's own
 * table of contents says which blobs are images. What no image uses is
 * cleared away at the end.
 */
#include "image/load-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "image/archive-format.h"

#include <errno.h>
#include <poll.h>

enum { COPY_SIZE = 256 * 1024, LINKS_MAX = 8, POLL_MS = 100 };

static bool is_cancelled(void *user)
{
	const struct loader *loader = user;

	return progress_is_cancelled(&loader->progress);
}

const struct archive_file *loader_find(const struct loader *loader, const char *path)
{
	for (unsigned int hop = 0; path && hop < LINKS_MAX; hop++) {
		const struct archive_file *found = NULL;

		/* The last of a name counts, as where a tar is unpacked. */
		for (size_t i = loader->file_count; i > 0 && !found; i--)
			if (strcmp(loader->files[i - 1].path, path) == 0)
				found = &loader->files[i - 1];
		if (!found || !found->link)
			return found;
		path = found->link;
	}
	return NULL;
}

int loader_read(const struct loader *loader, const char *path, struct buf *out,
		struct cay_error *err)
{
	const struct archive_file *file = loader_find(loader, path);

	if (!file)
		return cay_error_set(err, CAY_INVALID, ENOENT, "%.256s is missing in it", path);
	if (file->size > DOCUMENT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG, "%.256s is larger than %d bytes",
				     path, DOCUMENT_MAX);
	return content_read_blob(&loader->store->content, file->digest, DOCUMENT_MAX, out, err);
}

/* Reads exactly `size` bytes of the frames: 1, 0 where they end before the first, or -errno. */
static int read_frames(struct loader *loader, int fd, void *data, size_t size,
		       struct cay_error *err)
{
	size_t done = 0;

	while (done < size) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&wait, 1, POLL_MS) <= 0) {
			if (worker_is_cancelled(&loader->cancel))
				return worker_cancelled(err);
			continue;
		}
		n = read(fd, (char *)data + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cay_error_errno(err, errno, "reading the archive");
		if (n == 0)
			return 0;
		done += (size_t)n;
	}
	return 1;
}

static int read_text(struct loader *loader, int fd, size_t length, char **ret_text,
		     struct cay_error *err)
{
	_cleanup_free_ char *text = xcalloc(1, length + 1);
	int r = length > 0 ? read_frames(loader, fd, text, length, err) : 1;

	if (r > 0)
		*ret_text = TAKE_PTR(text);
	return r;
}

/*
 * What a file is called in progress messages: its name is, or has, the digest of what it holds, or
 * an id that its writer made up.
 */
static void progress_id(const char *path, char id[PROGRESS_ID_LENGTH + 1])
{
	size_t run = 0;

	id[0] = '\0';
	for (const char *at = path; *at && run < PROGRESS_ID_LENGTH; at++) {
		run = strchr("0123456789abcdef", *at) ? run + 1 : 0;
		if (run == PROGRESS_ID_LENGTH)
			(void)snprintf(id, PROGRESS_ID_LENGTH + 1, "%s", at + 1 - run);
	}
}

/* One file's contents, into a blob that is pinned before it has its name. */
static int receive_blob(struct loader *loader, int fd, struct archive_file *file, char *chunk,
			struct cay_error *err)
{
	_cleanup_(blob_writer_done) struct blob_writer writer = BLOB_WRITER_INIT;
	char id[PROGRESS_ID_LENGTH + 1];
	int64_t last_ms = 0;
	int r = blob_writer_open(&writer, &loader->store->content, err);

	progress_id(file->path, id);
	while (r == 0 && writer.size < file->size) {
		const size_t n = (size_t)MIN(file->size - writer.size, COPY_SIZE);

		r = read_frames(loader, fd, chunk, n, err);
		if (r <= 0)
			return r;
		r = blob_writer_put(&writer, chunk, n, err);
		if (id[0])
			progress_count(&loader->progress, id, "Loading layer", writer.size,
				       file->size, &last_ms);
		if (r == 0 && worker_is_cancelled(&loader->cancel))
			r = worker_cancelled(err);
	}
	if (r < 0)
		return r;
	blob_writer_seal(&writer);
	pins_add(&loader->pins, writer.digest);
	memcpy(file->digest, writer.digest, DIGEST_SIZE);
	r = blob_writer_commit(&writer, NULL, 0, err);
	loader->news |= writer.is_new;
	return r < 0 ? r : 1;
}

/* One frame: 1, or 0 at the end or where the worker stopped early, or -errno. */
static int receive_file(struct loader *loader, int fd, char *chunk, bool *ended,
			struct cay_error *err)
{
	struct archive_frame frame;
	struct archive_file *file;
	int r = read_frames(loader, fd, &frame, sizeof(frame), err);

	if (r <= 0)
		return r;
	if (frame.kind == ARCHIVE_END) {
		*ended = true;
		return 0;
	}
	if ((frame.kind != ARCHIVE_FILE && frame.kind != ARCHIVE_LINK) ||
	    frame.path_length > ARCHIVE_PATH_MAX || frame.link_length > ARCHIVE_PATH_MAX ||
	    frame.size > ARCHIVE_SIZE_MAX || loader->file_count >= ARCHIVE_FILES_MAX)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "its worker spoke nonsense");
	loader->files =
		xreallocarray(loader->files, loader->file_count + 1, sizeof(*loader->files));
	file = &loader->files[loader->file_count++];
	*file = (struct archive_file){ .size = frame.size };
	r = read_text(loader, fd, frame.path_length, &file->path, err);
	if (r > 0 && frame.kind == ARCHIVE_LINK)
		r = read_text(loader, fd, frame.link_length, &file->link, err);
	else if (r > 0)
		r = receive_blob(loader, fd, file, chunk, err);
	return r;
}

static int receive_all(struct loader *loader, int archive_fd, struct cay_error *err)
{
	_cleanup_(worker_done) struct worker worker = WORKER_INIT;
	_cleanup_free_ char *chunk = xmalloc(COPY_SIZE);
	_cleanup_close_ int frames = -1;
	bool ended = false;
	int r = worker_start_archive(&worker, &loader->store->worker, archive_fd, &frames, err);

	if (r < 0)
		return r;
	do
		r = receive_file(loader, frames, chunk, &ended, err);
	while (r > 0);
	if (r < 0)
		return r;
	r = worker_finish(&worker, &loader->cancel, err);
	if (r == 0 && !ended)
		r = cay_error_set(err, CAY_CORRUPT, EBADMSG, "it ends too early");
	return r;
}

/* One layer of the image that is being loaded. */
struct layer_work {
	struct loader *loader;
	const struct manifest *manifest;
	const struct strv *diff_ids;
	struct parallel *parallel;
};

static bool layer_is_cancelled(void *user)
{
	const struct layer_work *work = user;

	return atomic_load(&work->parallel->failed) || is_cancelled(work->loader);
}

static int load_layer(size_t item, void *user, struct cay_error *err)
{
	const struct layer_work *work = user;
	struct image_store *store = work->loader->store;
	const struct descriptor *layer = &work->manifest->items[item];
	const struct worker_cancel cancel = { layer_is_cancelled, user };
	int r = store_claim(store, layer->digest, &cancel, err);

	if (r < 0)
		return r;
	if (!content_has_blob(&store->content, layer->digest, layer->size)) {
		r = cay_error_set(err, CAY_INVALID, ENOENT, "the layer %s is missing in it",
				  layer->digest);
	} else if (!store_has_layer(store, layer)) {
		progress_say(&work->loader->progress, layer->digest, "Extracting");
		r = store_convert_layer(store, layer->digest, work->diff_ids->items[item], &cancel,
					err);
	}
	store_unclaim(store, layer->digest);
	return r;
}

static void pin_all(struct loader *loader, const struct manifest *manifest)
{
	pins_add(&loader->pins, manifest->config.digest);
	for (size_t i = 0; i < manifest->item_count; i++)
		pins_add(&loader->pins, manifest->items[i].digest);
}

/* Reads a manifest that must be an image's. */
static int read_manifest(const struct content *content, const char *digest,
			 struct manifest *ret_manifest, struct cay_error *err)
{
	int r = manifest_read_stored(content, digest, ret_manifest, NULL, err);

	if (r == 0 && ret_manifest->is_index)
		r = cay_error_set(err, CAY_INVALID, EBADMSG, "its indexes are nested");
	return r;
}

static bool has_blob(struct loader *loader, const struct descriptor *blob)
{
	pins_add(&loader->pins, blob->digest);
	return content_has_blob(&loader->store->content, blob->digest, blob->size);
}

int loader_read_blob(struct loader *loader, const struct descriptor *descriptor, struct buf *out,
		     struct cay_error *err)
{
	if (descriptor->size > DOCUMENT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG, "%s is larger than %d bytes",
				     descriptor->digest, DOCUMENT_MAX);
	if (!has_blob(loader, descriptor))
		return cay_error_set(err, CAY_INVALID, ENOENT,
				     "%s is missing in it, or of another size", descriptor->digest);
	return content_read_blob(&loader->store->content, descriptor->digest, DOCUMENT_MAX, out,
				 err);
}

bool loader_has_image(struct loader *loader, const struct descriptor *member)
{
	_cleanup_manifest_ struct manifest manifest = { 0 };

	if (!has_blob(loader, member) ||
	    read_manifest(&loader->store->content, member->digest, &manifest, NULL) < 0 ||
	    !has_blob(loader, &manifest.config))
		return false;
	for (size_t i = 0; i < manifest.item_count; i++)
		if (!has_blob(loader, &manifest.items[i]))
			return false;
	return true;
}

static int publish(struct loader *loader, const char *manifest_digest, const char *index_digest,
		   const struct strv *names, struct cay_error *err)
{
	const size_t count = names ? names->count : 0;

	for (size_t i = 0; i < MAX(count, 1); i++) {
		const char *name = count > 0 ? names->items[i] : NULL;
		const struct publication publication = {
			.manifest_digest = manifest_digest,
			.index_digest = index_digest,
			.name = name,
			.news = loader->news,
		};
		struct image *image = NULL;
		int r = store_publish(loader->store, &publication, &loader->cancel, &image, err);

		if (r < 0)
			return r;
		if (names)
			strv_take(&loader->loaded,
				  name ? image_reference_familiar(name) : xstrdup(image->id));
		image_free(image);
	}
	return 0;
}

int loader_image(struct loader *loader, const char *manifest_digest, const char *index_digest,
		 const struct strv *names, struct cay_error *err)
{
	struct image_store *store = loader->store;
	_cleanup_manifest_ struct manifest manifest = { 0 };
	_cleanup_image_config_ struct image_config config = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct parallel parallel = { .work = load_layer, .threads = store->parallel };
	struct layer_work work = { loader, &manifest, &config.diff_ids, &parallel };
	int r = read_manifest(&store->content, manifest_digest, &manifest, err);

	if (r < 0)
		return r;
	pin_all(loader, &manifest);
	r = loader_read_blob(loader, &manifest.config, &text, err);
	if (r == 0)
		r = image_config_parse(text.data, text.length, manifest.item_count, &config, err);
	parallel.user = &work;
	parallel.count = manifest.item_count;
	if (r == 0)
		r = parallel_run(&parallel, err);
	return r < 0 ? r : publish(loader, manifest_digest, index_digest, names, err);
}

int image_store_load(struct image_store *store, int fd, const struct image_progress_sink *sink,
		     struct strv *ret_loaded, struct cay_error *err)
{
	struct loader loader = { .store = store, .pins = { .store = store } };
	int r;

	loader.cancel = (struct worker_cancel){ is_cancelled, &loader };
	progress_init(&loader.progress, sink);
	r = receive_all(&loader, fd, err);
	if (r == 0)
		r = loader_find(&loader, "index.json") && loader_find(&loader, "oci-layout")
			? loader_oci(&loader, err)
			: loader_docker(&loader, err);
	if (r < 0)
		(void)cay_error_prefix(err, "loading the archive");
	for (size_t i = 0; i < loader.loaded.count; i++)
		if (r == 0)
			strv_add(ret_loaded, loader.loaded.items[i]);
	for (size_t i = 0; i < loader.file_count; i++) {
		free(loader.files[i].path);
		free(loader.files[i].link);
	}
	free(loader.files);
	strv_done(&loader.loaded);
	pins_done(&loader.pins);
	progress_done(&loader.progress);
	return r;
}
