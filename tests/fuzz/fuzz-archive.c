/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outer tar of an image archive. What comes out must be whole frames with
 * clean paths. The first byte says whether checksums are to be made right.
 */
#include "layer-common.h"

#include "base/file.h"
#include "image/worker/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frames(int fd, bool ended)
{
	struct archive_frame frame = { 0 };
	char path[ARCHIVE_PATH_MAX + 1];

	if (lseek(fd, 0, SEEK_SET) < 0)
		abort();
	while (read_full(fd, &frame, sizeof(frame)) == (ssize_t)sizeof(frame)) {
		if (frame.kind == ARCHIVE_END)
			return;
		if (frame.path_length > ARCHIVE_PATH_MAX || frame.link_length > ARCHIVE_PATH_MAX)
			abort();
		if (read_full(fd, path, frame.path_length) != frame.path_length)
			break;
		path[frame.path_length] = '\0';
		if (path[0] == '/' || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 ||
		    strstr(path, "/../"))
			abort();
		if (lseek(fd, (off_t)(frame.link_length + frame.size), SEEK_CUR) < 0)
			abort();
	}
	if (ended)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int out_fd = -1;
	_cleanup_free_ uint8_t *copy = NULL;
	struct memory_source source;
	struct cay_error err = { 0 };
	int fd, r;

	if (size == 0)
		return 0;
	copy = xmemdup(data + 1, size - 1);
	if (data[0] & 1)
		fix_checksums(copy, size - 1);
	source = (struct memory_source){ copy, size - 1 };
	_cleanup_(stream_free_p) struct stream *stream =
		stream_new(read_memory, &source, FUZZ_STREAM_MAX);

	fd = scratch_file(&out_fd);
	r = archive_split(stream, fd, &err);
	check_frames(fd, r == 0);
	return 0;
}
