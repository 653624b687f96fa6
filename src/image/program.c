/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer is made of the program as of any other, from a tar, and kept by the
 * tar's digest: the same program gives the same bytes.
 */
#include "image/program.h"

#include "image/content.h"
#include "image/worker.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tar/writer.h"

#include <errno.h>
#include <sys/stat.h>

static int put(void *user, const void *data, size_t size, struct cay_error *err)
{
	(void)err; /* memory alone can run out */
	buf_append(user, data, size);
	return 0;
}

static int add_directory(struct tar_writer *writer, const char *name, struct cay_error *err)
{
	const struct tar_entry entry = {
		.type = TAR_DIRECTORY,
		.path = str_from(name),
		.mode = 0755,
	};

	return tar_writer_add(writer, &entry, err);
}

static int make_tar(const char *program, struct buf *out, struct cay_error *err)
{
	static const char *const directories[] = { "dev", "etc", "proc", "sys", "tmp" };
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(put, out);
	_cleanup_buf_ struct buf bytes = { 0 };
	int r = file_read(program, PROGRAM_IMAGE_MAX, &bytes, err);
	const struct tar_entry entry = {
		.type = TAR_FILE,
		.path = STR(PROGRAM_IMAGE_NAME),
		.mode = 0755,
		.size = bytes.length,
	};

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(directories); i++)
		r = add_directory(writer, directories[i], err);
	if (r == 0)
		r = tar_writer_add(writer, &entry, err);
	if (r == 0)
		r = tar_writer_put(writer, bytes.data, bytes.length, err);
	return r < 0 ? r : tar_writer_finish(writer, err);
}

static int convert(const struct content *content, const struct worker_program *program,
		   const struct buf *tar, const char *digest, struct cay_error *err)
{
	_cleanup_(worker_done) struct worker worker = WORKER_INIT;
	int r = worker_start_layer(&worker, program, content, -1, err);

	if (r == 0)
		r = worker_feed(&worker, tar->data, tar->length, NULL, err);
	return r < 0 ? r : worker_finish_layer(&worker, content, digest, digest, NULL, err);
}

struct stranger {
	const char *digest;
};

static void remove_other(const char *digest, const char *path, void *user)
{
	const struct stranger *stranger = user;

	if (strcmp(digest, stranger->digest) != 0)
		(void)unlink(path); /* it takes a little space until the next time */
}

static int make_files(const struct content *content, const struct worker_program *program,
		      const struct buf *tar, const char *digest, struct cay_error *err)
{
	_cleanup_free_ char *metadata = content_metadata_path(content, digest);
	struct layer_header header;
	char *digests[] = { (char *)digest };
	int r = 0;

	if (!content_has_layer_of(content, digest, digest, &header))
		r = convert(content, program, tar, digest, err);
	if (r == 0 && !file_exists(metadata))
		r = worker_merge(program, content, digests, 1, metadata, NULL, err);
	return r;
}

static int fill(const struct content *content, const char *digest, struct image_disk *disk,
		struct cay_error *err)
{
	_cleanup_free_ char *metadata = content_metadata_path(content, digest);
	struct layer_header header;
	struct stat st;

	if (stat(metadata, &st) < 0)
		return cay_error_errno(err, errno, "opening %s", metadata);
	if (!content_has_layer(content, digest, &header))
		return cay_error_set(err, CAY_CORRUPT, EIO, "the layer of %s is damaged", metadata);
	disk->extents = xcalloc(2, sizeof(*disk->extents));
	disk->extents[disk->count++] =
		(struct image_extent){ TAKE_PTR(metadata), (uint64_t)st.st_size };
	if (header.data_blocks > 0)
		disk->extents[disk->count++] =
			(struct image_extent){ content_data_path(content, digest),
					       header.data_blocks * LAYER_BLOCK };
	return 0;
}

int program_image_make(const char *directory, const char *worker, const char *program,
		       struct image_disk *ret_disk, struct cay_error *err)
{
	const struct worker_program worker_program = { .path = (char *)worker };
	struct content content = { 0 };
	_cleanup_buf_ struct buf tar = { 0 };
	struct image_disk disk = { 0 };
	char digest[DIGEST_SIZE];
	struct stranger stranger = { digest };
	int r = make_tar(program, &tar, err);

	if (r == 0)
		r = content_open(directory, &content, err);
	if (r < 0)
		return r;
	digest_of(tar.data, tar.length, digest);
	r = make_files(&content, &worker_program, &tar, digest, err);
	if (r == 0)
		r = content_each(&content, remove_other, &stranger, err);
	if (r == 0)
		r = fill(&content, digest, &disk, err);
	content_close(&content);
	if (r < 0) {
		image_disk_done(&disk);
		return cay_error_prefix(err, "making a disk of %s", program);
	}
	*ret_disk = disk;
	return 0;
}
