/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an archive: a tar that is an OCI layout and a Docker archive at once,
 * as docker writes it from version 25 on. Blobs are written as they are kept,
 * each once; both tables of contents point to them. The tables come first, so
 * that nothing is held back, and all that can fail is looked at before the
 * first byte.
 *
 * Formats: the OCI image specification 1.1 (image-layout.md); Docker's
 * manifest.json as described in its image specification 1.2; POSIX ustar, with
 * GNU's binary size for blobs of 8 GiB and more.
 */
#include "image/save-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "image/ref.h"

#include <errno.h>
#include <fcntl.h>

enum { REFERENCES_MAX = 1000, COPY_SIZE = 256 * 1024, BLOCK = 512 };

/* ---- what is asked for ---- */

static int add_reference(struct saver *saver, const char *reference, struct cay_error *err)
{
	struct export export;
	int r;

	if (saver->count >= REFERENCES_MAX)
		return cay_error_set(err, CAY_INVALID, E2BIG, "more than %d images to save",
				     REFERENCES_MAX);
	r = export_open(saver->store, reference, saver->platform, &export, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < saver->count; i++) {
		const char *name = saver->exports[i].name;

		/* Asked for twice: "app" and "app:1". */
		if (name && export.name && strcmp(name, export.name) == 0) {
			export_done(&export);
			return 0;
		}
	}
	saver->exports = xreallocarray(saver->exports, saver->count + 1, sizeof(*saver->exports));
	saver->exports[saver->count++] = export;
	return 0;
}

/* A repository without a tag stands for all of its tags, as with docker. */
static int add_repository(struct saver *saver, const char *text, bool *ret_found,
			  struct cay_error *err)
{
	_cleanup_image_ref_ struct image_ref ref = { 0 };
	_cleanup_strv_ struct strv names = { 0 };
	_cleanup_free_ char *repository = NULL;
	const char *slash = strrchr(text, '/');
	int r = 0;

	*ret_found = false;
	if (strpbrk(slash ? slash : text, ":@") || image_ref_parse(text, &ref, NULL) < 0)
		return 0;
	repository = image_ref_name(&ref);
	store_names_of(saver->store, repository, &names);
	for (size_t i = 0; r == 0 && i < names.count; i++)
		r = add_reference(saver, names.items[i], err);
	*ret_found = names.count > 0;
	return r;
}

/* A blob is written once, whoever refers to it. */
static int add_blob(struct saver *saver, const struct export_blob *blob, struct cay_error *err)
{
	for (size_t i = 0; i < saver->blob_count; i++)
		if (strcmp(saver->blobs[i]->digest, blob->digest) == 0)
			return 0;
	if (!content_has_blob(&saver->store->content, blob->digest, blob->size))
		return cay_error_set(err, CAY_CORRUPT, EIO,
				     "the stored blob %s is damaged: pull or load the image again",
				     blob->digest);
	saver->blobs = xreallocarray(saver->blobs, saver->blob_count + 1, sizeof(*saver->blobs));
	saver->blobs[saver->blob_count++] = blob;
	saver->total += blob->size;
	return 0;
}

static int add_blobs(struct saver *saver, const struct export *export, struct cay_error *err)
{
	int r = export->is_index ? add_blob(saver, &export->top, err) : 0;

	for (size_t i = 0; r == 0 && i < export->manifest_count; i++) {
		const struct export_manifest *manifest = &export->manifests[i];

		r = add_blob(saver, &manifest->blob, err);
		for (size_t j = 0; r == 0 && j < manifest->part_count; j++)
			r = add_blob(saver, &manifest->parts[j], err);
	}
	return r;
}

/* ---- tar ---- */

static int put(struct saver *saver, const void *data, size_t size, struct cay_error *err)
{
	return saver->write(data, size, saver->user, err);
}

static void print_octal(char *field, unsigned int digits, uint64_t value)
{
	for (unsigned int i = digits; i > 0; i--, value >>= 3)
		field[i - 1] = (char)('0' + (value & 7));
}

/* No times, no owners: the same images give the same archive. */
static int put_header(struct saver *saver, const char *name, char type, uint64_t size,
		      struct cay_error *err)
{
	char block[BLOCK] = { 0 };
	unsigned int sum = 0;

	(void)snprintf(block, 100, "%s", name); /* ours are all shorter */
	print_octal(block + 100, 7, type == '5' ? 0755 : 0444);
	print_octal(block + 108, 7, 0);
	print_octal(block + 116, 7, 0);
	if (size >> 33) {
		block[124] = (char)0x80;
		for (unsigned int i = 0; i < 8; i++)
			block[135 - i] = (char)(size >> (8 * i));
	} else {
		print_octal(block + 124, 11, size);
	}
	print_octal(block + 136, 11, 0);
	block[156] = type;
	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < sizeof(block); i++)
		sum += (unsigned char)block[i];
	print_octal(block + 148, 6, sum);
	block[154] = '\0';
	return put(saver, block, sizeof(block), err);
}

static int put_padding(struct saver *saver, uint64_t size, struct cay_error *err)
{
	static const char zeros[BLOCK];
	const size_t rest = (size_t)(size % BLOCK);

	return rest ? put(saver, zeros, BLOCK - rest, err) : 0;
}

static int put_text(struct saver *saver, const char *name, const char *text, struct cay_error *err)
{
	const size_t length = strlen(text);
	int r = put_header(saver, name, '0', length, err);

	if (r == 0)
		r = put(saver, text, length, err);
	return r < 0 ? r : put_padding(saver, length, err);
}

static int put_blob(struct saver *saver, const struct export_blob *blob, char *chunk,
		    struct cay_error *err)
{
	_cleanup_free_ char *path = content_blob_path(&saver->store->content, blob->digest);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_free_ char *name = xasprintf("blobs/sha256/%s", digest_hex(blob->digest));
	uint64_t left = blob->size;
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r = put_header(saver, name, '0', blob->size, err);
	while (r == 0 && left > 0) {
		const size_t wanted = (size_t)MIN(left, COPY_SIZE);
		ssize_t n = read_full(fd, chunk, wanted);

		if (n < 0)
			return cay_error_errno(err, (int)n, "reading %s", path);
		if ((size_t)n < wanted)
			return cay_error_set(err, CAY_CORRUPT, EIO, "%s is shorter than it was",
					     path);
		r = put(saver, chunk, wanted, err);
		left -= wanted;
		saver->done += wanted;
		progress_count(&saver->progress, "", "Saving", saver->done, saver->total,
			       &saver->last_ms);
		if (r == 0 && progress_is_cancelled(&saver->progress))
			r = worker_cancelled(err);
	}
	return r < 0 ? r : put_padding(saver, blob->size, err);
}

static int put_folders(struct saver *saver, struct cay_error *err)
{
	int r = put_header(saver, "blobs/", '5', 0, err);

	return r < 0 ? r : put_header(saver, "blobs/sha256/", '5', 0, err);
}

static int write_archive(struct saver *saver, struct cay_error *err)
{
	static const char end[2 * BLOCK];
	_cleanup_free_ char *chunk = xmalloc(COPY_SIZE);
	_cleanup_free_ char *index = save_index_json(saver), *manifest = save_manifest_json(saver);
	int r = put_text(saver, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", err);
	if (r == 0)
		r = put_text(saver, "index.json", index, err);
	if (r == 0)
		r = put_text(saver, "manifest.json", manifest, err);
	if (r == 0)
		r = put_folders(saver, err);
	for (size_t i = 0; r == 0 && i < saver->blob_count; i++)
		r = put_blob(saver, saver->blobs[i], chunk, err);
	return r < 0 ? r : put(saver, end, sizeof(end), err);
}

static int save(struct saver *saver, const struct strv *references, struct cay_error *err)
{
	int r = 0;

	if (references->count == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "no image is named to be saved");
	for (size_t i = 0; r == 0 && i < references->count; i++) {
		bool found = false;

		r = add_repository(saver, references->items[i], &found, err);
		if (r == 0 && !found)
			r = add_reference(saver, references->items[i], err);
	}
	for (size_t i = 0; r == 0 && i < saver->count; i++)
		r = add_blobs(saver, &saver->exports[i], err);
	return r < 0 ? r : write_archive(saver, err);
}

int image_store_save(struct image_store *store, const struct strv *references, const char *platform,
		     const struct image_writer *writer, const struct image_progress_sink *sink,
		     struct cay_error *err)
{
	struct saver saver = {
		.store = store, .platform = platform, .write = writer->write, .user = writer->user
	};
	int r;

	progress_init(&saver.progress, sink);
	r = save(&saver, references, err);
	for (size_t i = 0; i < saver.count; i++)
		export_done(&saver.exports[i]);
	free(saver.exports);
	free(saver.blobs);
	progress_done(&saver.progress);
	return r;
}
