/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar reader on foreign bytes, and the writer: what was read of each
 * archive is written, and must read the same again. The first byte says
 * whether the headers' checksums are to be made right first.
 */
#include "tar-common.h"

#include "base/alloc.h"
#include "tar/reader.h"
#include "tar/writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Contents that are read; holes may be as large as they like. */
enum { CONTENTS_MAX = 1 << 20 };

struct memory {
	struct buf bytes;
	size_t at;
};

static ssize_t take(void *user, void *data, size_t size, struct cay_error *err)
{
	struct memory *memory = user;

	(void)err;
	size = MIN(size, memory->bytes.length - memory->at);
	memcpy(data, memory->bytes.data + memory->at, size);
	memory->at += size;
	return (ssize_t)size;
}

static int put(void *user, const void *data, size_t size, struct cay_error *err)
{
	struct memory *memory = user;

	(void)err;
	buf_append(&memory->bytes, data, size);
	return 0;
}

static bool str_ends_in_slash(struct str text)
{
	return text.length > 0 && text.data[text.length - 1] == '/';
}

/* What is not compared: too much, or what means something else in another of tar's formats. */
static bool skipped(const struct tar_entry *entry)
{
	const int64_t time_max = INT64_C(1) << 40;

	return entry->size > CONTENTS_MAX ||
		(entry->type == TAR_FILE && str_ends_in_slash(entry->path)) ||
		entry->mtime > time_max || entry->mtime < -time_max;
}

/* All that an archive says, as text and bytes. Copies it to `writer` where there is one. */
static void describe(struct memory *archive, struct tar_writer *writer, struct buf *said)
{
	_cleanup_(tar_reader_free_p) struct tar_reader *reader = tar_reader_new(take, archive);
	const struct tar_entry *entry;
	struct cay_error err = { 0 };

	while (tar_reader_next(reader, &entry, &err) > 0) {
		struct tar_entry copy = *entry;
		uint64_t offset, at = 0;
		struct str piece;

		if (skipped(&copy) || (writer && tar_writer_add(writer, &copy, &err) < 0))
			continue;
		if (copy.type == TAR_DIRECTORY && str_ends_in_slash(copy.path))
			copy.path.length--;
		buf_printf(said, "%d %.*s > %.*s %o %lu %lu %ld.%u %lu %lu:%lu ", (int)copy.type,
			   (int)copy.path.length, copy.path.data, (int)copy.link.length,
			   copy.link.data, copy.mode, copy.uid, copy.gid, copy.mtime, copy.mtime_ns,
			   copy.type == TAR_FILE ? copy.size : 0, copy.device_major,
			   copy.device_minor);
		buf_append(said, copy.xattrs.data, copy.xattrs.length);
		while (tar_reader_read(reader, &offset, &piece, &err) > 0) {
			while (at++ < offset)
				buf_putc(said, '\0');
			buf_append(said, piece.data, piece.length);
			at = offset + piece.length;
			if (!writer)
				continue;
			if (tar_writer_put_zeros(writer,
						 offset - (copy.size - tar_writer_left(writer)),
						 &err) < 0 ||
			    tar_writer_put(writer, piece.data, piece.length, &err) < 0)
				abort();
		}
		if (copy.type == TAR_FILE)
			while (at++ < copy.size)
				buf_putc(said, '\0');
		if (writer && tar_writer_put_zeros(writer, tar_writer_left(writer), &err) < 0)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf first = { 0 }, second = { 0 };
	struct memory archive = { 0 }, written = { 0 };
	struct cay_error err = { 0 };

	if (size == 0)
		return 0;
	buf_append(&archive.bytes, data + 1, size - 1);
	if (data[0] & 1)
		fix_checksums((uint8_t *)archive.bytes.data, archive.bytes.length);
	_cleanup_(tar_writer_free_p) struct tar_writer *writer = tar_writer_new(put, &written);

	describe(&archive, writer, &first);
	if (tar_writer_finish(writer, &err) < 0)
		abort();
	describe(&written, NULL, &second);
	if (first.length != second.length ||
	    (first.length > 0 && memcmp(first.data, second.data, first.length) != 0))
		abort();
	buf_done(&archive.bytes);
	buf_done(&written.bytes);
	return 0;
}
