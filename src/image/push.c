/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pushing an image: the layers of each of its manifests some at a time, its
 * configuration, the manifest when everything it names is there, and last the
 * index, where the name stands for one.
 */
#include "base/alloc.h"
#include "image/parallel.h"
#include "image/progress.h"
#include "image/push-internal.h"
#include "image/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static_assert(sizeof(((struct image_pushed *)NULL)->digest) >= DIGEST_SIZE);

struct pusher {
	struct image_store *store;
	struct image_ref ref;
	char *name; /* "registry/repository" */
	struct progress progress;
	struct worker_cancel cancel;
	struct registry *registry;
	struct transfer *transfer;
	struct export export;
	struct strv sources; /* other repositories of the registry that have some of its layers */
	struct parallel parallel;
	/* What is being pushed of the export just now. */
	const struct export_manifest *manifest;
	struct strv ids; /* of its layers, for people */
};

static bool is_cancelled(void *user)
{
	const struct pusher *pusher = user;

	return atomic_load(&pusher->parallel.failed) || progress_is_cancelled(&pusher->progress);
}

/* Whether what failed to be sent is damaged here: then that is what is told. */
static int check_stored(int fd, const char *digest, struct cay_error *err)
{
	char actual[DIGEST_SIZE];
	uint64_t size;
	int r = digest_of_file(fd, NULL, NULL, actual, &size);

	if (r < 0)
		return cay_error_errno(err, r, "reading the stored blob %s", digest);
	if (strcmp(actual, digest) == 0)
		return 0;
	return cay_error_set(err, CAY_CORRUPT, EBADMSG,
			     "the stored blob %s is damaged; remove the image and get it again",
			     digest);
}

/* What the bar of one layer shows. */
struct layer_progress {
	struct pusher *pusher;
	const char *id;
	uint64_t size;
	int64_t last_ms;
};

static void show_sent(uint64_t bytes, void *user)
{
	struct layer_progress *layer = user;

	progress_count(&layer->pusher->progress, layer->id, "Pushing", bytes, layer->size,
		       &layer->last_ms);
}

/* One blob, with a bar where `id` is given. *ret_from is set where it was mounted. */
static int send_blob(struct pusher *pusher, struct transfer *transfer,
		     const struct export_blob *blob, const char *id, const struct strv *sources,
		     const char **ret_from, struct cay_error *err)
{
	_cleanup_free_ char *path = content_blob_path(&pusher->store->content, blob->digest);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct layer_progress bar = { .pusher = pusher, .id = id, .size = blob->size };
	struct registry_upload upload = {
		.digest = blob->digest,
		.size = blob->size,
		.fd = fd,
		.mount_from = sources,
		.sent = id ? show_sent : NULL,
		.user = &bar,
	};
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "opening the stored blob %s", blob->digest);
	r = registry_put_blob(pusher->registry, transfer, &upload, err);
	if (r < 0 && err && err->code == CAY_CORRUPT && check_stored(fd, blob->digest, err) < 0)
		return -err->err;
	if (r == 0)
		*ret_from = upload.ret_mounted_from;
	return r;
}

/* One layer that is not there yet, or may not be. */
static int send_layer(struct pusher *pusher, struct transfer *transfer,
		      const struct export_blob *layer, const char *id, struct cay_error *err)
{
	_cleanup_strv_ struct strv sources = { 0 };
	const char *from = NULL;
	int r = registry_has_blob(pusher->registry, transfer, layer->digest, layer->size, err);

	if (r > 0)
		progress_say(&pusher->progress, id, "Layer already exists");
	if (r != 0)
		return MIN(r, 0);
	push_find_sources(pusher->store, &pusher->ref, layer->digest, &pusher->sources, &sources);
	r = send_blob(pusher, transfer, layer, id, &sources, &from, err);
	if (r < 0)
		return r;
	if (from)
		progress_sayf(&pusher->progress, id, "Mounted from %s", from);
	else
		progress_say(&pusher->progress, id, "Pushed");
	return 0;
}

static int push_layer(size_t item, void *user, struct cay_error *err)
{
	struct pusher *pusher = user;
	const struct export_blob *layers = pusher->manifest->parts + 1, *layer = &layers[item];
	const char *id = pusher->ids.items[item];
	struct transfer *transfer;
	int r;

	/* One layer may stand in an image more than once; the first time counts. */
	for (size_t i = 0; i < item; i++)
		if (strcmp(layers[i].digest, layer->digest) == 0)
			return 0;
	if (layer->is_foreign) {
		progress_say(&pusher->progress, id, "Skipped foreign layer");
		return 0;
	}
	transfer = registry_borrow(pusher->registry);
	r = send_layer(pusher, transfer, layer, id, err);
	registry_give_back(pusher->registry, transfer);
	return r < 0 ? cay_error_prefix(err, "layer %s", layer->digest) : 0;
}

static int push_config(struct pusher *pusher, struct cay_error *err)
{
	const struct export_blob *config = &pusher->manifest->parts[0];
	const char *from;
	int r = registry_has_blob(pusher->registry, pusher->transfer, config->digest, config->size,
				  err);

	if (r == 0)
		r = send_blob(pusher, pusher->transfer, config, NULL, NULL, &from, err);
	return r < 0 ? cay_error_prefix(err, "the image's configuration") : 0;
}

/* What docker shows of a layer is the digest of its decompressed bytes. */
static int find_ids(struct pusher *pusher, struct cay_error *err)
{
	const struct export_manifest *manifest = pusher->manifest;
	const struct content *content = &pusher->store->content;
	_cleanup_image_config_ struct image_config config = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	int r = 0;

	strv_done(&pusher->ids);
	if (manifest->is_attachment) {
		for (size_t i = 1; i < manifest->part_count; i++)
			strv_add(&pusher->ids, manifest->parts[i].digest);
		return 0;
	}
	r = content_read_blob(content, manifest->parts[0].digest, DOCUMENT_MAX, &text, err);
	if (r == 0)
		r = image_config_parse(text.data, text.length, manifest->part_count - 1, &config,
				       err);
	if (r == 0)
		strv_copy(&pusher->ids, &config.diff_ids);
	return r;
}

/* One document of the store, under a name in the registry. */
static int put_document(struct pusher *pusher, const struct export_blob *document, const char *name,
			struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = content_read_blob(&pusher->store->content, document->digest, DOCUMENT_MAX, &text,
				  err);

	if (r == 0)
		r = registry_put_manifest(pusher->registry, pusher->transfer, name,
					  document->media_type, text.data, text.length, err);
	return r;
}

/* A manifest with all that it names, under `name`: the tag, or NULL for its digest. */
static int push_manifest(struct pusher *pusher, const struct export_manifest *manifest,
			 const char *name, struct cay_error *err)
{
	int r;

	pusher->manifest = manifest;
	r = find_ids(pusher, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < pusher->ids.count; i++)
		progress_say(&pusher->progress, pusher->ids.items[i], "Preparing");
	pusher->parallel = (struct parallel){ .work = push_layer,
					      .user = pusher,
					      .count = manifest->part_count - 1,
					      .threads = pusher->store->uploads };
	r = parallel_run(&pusher->parallel, err);
	if (r == 0)
		r = push_config(pusher, err);
	if (r == 0)
		r = put_document(pusher, &manifest->blob, name ? name : manifest->blob.digest, err);
	return r;
}

static bool is_exported(const struct export *export, const char *digest)
{
	for (size_t i = 0; i < export->manifest_count; i++)
		if (strcmp(export->manifests[i].blob.digest, digest) == 0)
			return true;
	return false;
}

/* Whether the registry has the members of the index that are not here. 1, 0 or -errno. */
static int has_the_rest(struct pusher *pusher, struct cay_error *err)
{
	const struct export *export = &pusher->export;
	_cleanup_manifest_ struct manifest index = { 0 };
	int r = manifest_read_stored(&pusher->store->content, export->top.digest, &index, NULL,
				     err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < index.item_count; i++) {
		if (is_exported(export, index.items[i].digest))
			continue;
		r = registry_has_manifest(pusher->registry, pusher->transfer, index.items[i].digest,
					  err);
		if (r <= 0)
			return r;
	}
	return 1;
}

/* Everything; *ret_top is what the tag stands for in the registry then. */
static int push_all(struct pusher *pusher, const struct export_blob **ret_top,
		    struct cay_error *err)
{
	const struct export *export = &pusher->export;
	const struct export_manifest *shown = &export->manifests[export->shown];
	int r = 1;

	if (export->is_index && !export->is_whole)
		r = has_the_rest(pusher, err);
	if (r < 0)
		return r;
	if (!export->is_index || r == 0) {
		if (export->is_index)
			progress_say(&pusher->progress, "",
				     "Not all of the multi-platform image is here: one platform of "
				     "it is pushed");
		*ret_top = &shown->blob;
		return push_manifest(pusher, shown, pusher->ref.tag, err);
	}
	r = 0;
	for (size_t i = 0; r == 0 && i < export->manifest_count; i++)
		r = push_manifest(pusher, &export->manifests[i], NULL, err);
	*ret_top = &export->top;
	return r < 0 ? r : put_document(pusher, &export->top, pusher->ref.tag, err);
}

static int open_registry(struct pusher *pusher, const struct image_credentials *credentials,
			 struct cay_error *err)
{
	const struct image_store *store = pusher->store;
	_cleanup_strv_ struct strv layers = { 0 };
	const struct registry_options options = {
		.ref = &pusher->ref,
		.push = true,
		.pull_from = &pusher->sources,
		.insecure = &store->insecure,
		.certs = &store->certs,
		.credentials = credentials,
		.cancel = &pusher->cancel,
		.idle_seconds = store->idle_seconds,
		.retry_ms = store->retry_ms,
	};

	for (size_t i = 0; i < pusher->export.manifest_count; i++) {
		const struct export_manifest *manifest = &pusher->export.manifests[i];

		for (size_t j = 1; j < manifest->part_count; j++)
			strv_add(&layers, manifest->parts[j].digest);
	}
	push_choose_sources(pusher->store, &pusher->ref, &layers, &pusher->sources);
	pusher->transfer = transfer_new();
	return registry_open(&options, &pusher->registry, err);
}

/* Finds the image, and keeps all of it from being removed meanwhile. */
static int find_image(struct pusher *pusher, const char *reference, const char *platform,
		      struct cay_error *err)
{
	_cleanup_free_ char *full = NULL, *shown = NULL;
	int r = image_ref_parse(reference, &pusher->ref, err);

	if (r < 0)
		return r;
	if (pusher->ref.digest)
		return cay_error_set(err, CAY_INVALID, EINVAL, "cannot push a digest reference");
	pusher->name = image_ref_name(&pusher->ref);
	full = image_ref_format(&pusher->ref);
	if (!push_is_known(pusher->store, full)) {
		shown = image_reference_familiar(full);
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "An image does not exist locally with the tag: %s", shown);
	}
	return export_open(pusher->store, full, platform, &pusher->export, err);
}

static int push(struct pusher *pusher, const char *reference, const char *platform,
		const struct image_credentials *credentials, struct image_pushed *ret_pushed,
		struct cay_error *err)
{
	const struct export_blob *top = NULL;
	int r = find_image(pusher, reference, platform, err);

	if (r < 0)
		return r;
	progress_sayf(&pusher->progress, "", "The push refers to repository [%s]", pusher->name);
	r = open_registry(pusher, credentials, err);
	if (r == 0)
		r = push_all(pusher, &top, err);
	if (r == 0)
		r = push_note_digest(pusher->store, pusher->name, top->digest,
				     pusher->export.manifests[pusher->export.shown].blob.digest,
				     err);
	if (r < 0)
		return cay_error_prefix(err, "pushing %.256s", reference);
	progress_sayf(&pusher->progress, "", "%s: digest: %s size: %" PRIu64, pusher->ref.tag,
		      top->digest, top->size);
	memcpy(ret_pushed->digest, top->digest, DIGEST_SIZE);
	ret_pushed->size = top->size;
	return 0;
}

int image_store_push(struct image_store *store, const char *reference, const char *platform,
		     const struct image_credentials *credentials,
		     const struct image_progress_sink *sink, struct image_pushed *ret_pushed,
		     struct cay_error *err)
{
	struct pusher pusher = { .store = store };
	int r;

	pusher.cancel = (struct worker_cancel){ is_cancelled, &pusher };
	progress_init(&pusher.progress, sink);
	r = push(&pusher, reference, platform, credentials, ret_pushed, err);
	registry_close(pusher.registry);
	transfer_free(pusher.transfer);
	export_done(&pusher.export);
	image_ref_done(&pusher.ref);
	strv_done(&pusher.sources);
	strv_done(&pusher.ids);
	progress_done(&pusher.progress);
	free(pusher.name);
	return r;
}
