/* SPDX-License-Identifier: Apache-2.0 */
/* The outer tar of an image archive, split into frames. */
#include "image/worker/archive.h"

#include "base/file.h"
#include "image/layer-format.h"
#include "tar/path.h"
#include "tar/reader.h"

#include <errno.h>

static int put(int fd, const void *data, size_t size, struct cay_error *err)
{
	int r = write_full(fd, data, size);

	return r < 0 ? cay_error_errno(err, r, "handing the archive over") : 0;
}

/*
 * Docker's old archives hold "<id>/layer.tar" as a symbolic link to another layer's, relative to
 * where it stands: the target made relative to the archive's root. Returns its length.
 */
static int resolve_link(const char *path, struct str link, char *ret_target, struct cay_error *err)
{
	_cleanup_buf_ struct buf joined = { 0 };
	const char *slash = strrchr(path, '/');
	size_t depth_end = slash ? (size_t)(slash - path) : 0;

	while (str_starts(link, "../")) {
		const char *up = depth_end ? memrchr(path, '/', depth_end) : NULL;

		if (depth_end == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "a link leads out of the archive");
		depth_end = up ? (size_t)(up - path) : 0;
		link = (struct str){ link.data + 3, link.length - 3 };
	}
	buf_append(&joined, path, depth_end);
	buf_putc(&joined, '/');
	buf_append(&joined, link.data, link.length);
	return path_clean((struct str){ joined.data, joined.length }, ret_target, err);
}

static int send_head(int fd, enum archive_kind kind, struct str path, struct str link,
		     uint64_t size, struct cay_error *err)
{
	const struct archive_frame frame = {
		.kind = kind,
		.path_length = (uint16_t)path.length,
		.link_length = (uint16_t)link.length,
		.size = size,
	};
	int r = put(fd, &frame, sizeof(frame), err);

	if (r == 0)
		r = put(fd, path.data, path.length, err);
	if (r == 0)
		r = put(fd, link.data, link.length, err);
	return r;
}

static int send_file(struct tar_reader *tar, const struct tar_entry *entry, int fd, struct str path,
		     struct cay_error *err)
{
	uint64_t offset;
	struct str piece;
	int r;

	if (entry->sparse)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "an image archive has a sparse file");
	r = send_head(fd, ARCHIVE_FILE, path, (struct str){ 0 }, entry->size, err);
	while (r == 0) {
		r = tar_reader_read(tar, &offset, &piece, err);
		if (r <= 0)
			return r;
		r = put(fd, piece.data, piece.length, err);
	}
	return r;
}

static int send_entry(struct tar_reader *tar, const struct tar_entry *entry, int fd,
		      struct cay_error *err)
{
	char path_text[LAYER_PATH_MAX + 1], link_text[LAYER_PATH_MAX + 1];
	struct str path = { path_text, 0 }, link = { link_text, 0 };
	int r = path_clean(entry->path, path_text, err);

	if (r < 0)
		return r;
	path.length = (size_t)r;
	if (path.length > ARCHIVE_PATH_MAX)
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "an image archive has a path of more than %d bytes",
				     ARCHIVE_PATH_MAX);
	switch (entry->type) {
	case TAR_FILE:
		return send_file(tar, entry, fd, path, err);
	case TAR_SYMLINK:
		r = resolve_link(path_text, entry->link, link_text, err);
		break;
	case TAR_HARDLINK:
		r = path_clean(entry->link, link_text, err);
		break;
	case TAR_DIRECTORY:
		return 0;
	default:
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "an image archive has something else than files in it");
	}
	if (r < 0)
		return r;
	link.length = (size_t)r;
	if (link.length > ARCHIVE_PATH_MAX)
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "an image archive has a link of more than %d bytes",
				     ARCHIVE_PATH_MAX);
	return send_head(fd, ARCHIVE_LINK, path, link, 0, err);
}

int archive_split(struct stream *stream, int out_fd, struct cay_error *err)
{
	_cleanup_(tar_reader_free_p) struct tar_reader *tar =
		tar_reader_new(stream_read_raw, stream);
	const struct tar_entry *entry;
	unsigned int count = 0;
	int r;

	while ((r = tar_reader_next(tar, &entry, err)) > 0) {
		if (++count > ARCHIVE_FILES_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
					     "an image archive has more than %d files",
					     ARCHIVE_FILES_MAX);
		r = send_entry(tar, entry, out_fd, err);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = stream_drain(stream, err);
	if (r < 0)
		return r;
	return send_head(out_fd, ARCHIVE_END, (struct str){ 0 }, (struct str){ 0 }, 0, err);
}
