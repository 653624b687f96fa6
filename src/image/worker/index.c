/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reading a layer's index. */
#include "image/worker/index.h"

#include "base/alloc.h"
#include "image/worker/erofs-format.h"

#include <errno.h>
#include <sys/mman.h>
#include <zlib.h>

enum { FLUSH_AT = 256 * 1024 };
/* With its paths an index may grow beyond what is of any use: a merge maps all of them. */
#define INDEX_SIZE_MAX (UINT64_C(1) << 30)

struct index_writer {
	struct output output;
	struct buf pending;
	uint64_t written; /* of the body */
	uint64_t entries;
	uLong crc;
};

static const char what[] = "the layer's index";

struct index_writer *index_writer_new(struct output output)
{
	struct index_writer *writer = xcalloc(1, sizeof(*writer));

	writer->output = output;
	writer->crc = crc32(0, NULL, 0);
	return writer;
}

void index_writer_free(struct index_writer *writer)
{
	if (!writer)
		return;
	buf_done(&writer->pending);
	free(writer);
}

static int flush(struct index_writer *writer, struct cay_error *err)
{
	struct buf *pending = &writer->pending;
	int r = output_put(&writer->output, pending->data, pending->length,
			   sizeof(struct layer_header) + writer->written, what, err);

	if (r < 0)
		return r;
	writer->crc = crc32(writer->crc, (const Bytef *)pending->data, (uInt)pending->length);
	writer->written += pending->length;
	buf_clear(pending);
	return 0;
}

int index_writer_add(struct index_writer *writer, const struct layer_record *record,
		     const struct index_strings *strings, struct cay_error *err)
{
	static const char zeros[8];
	struct layer_record full = *record;
	size_t size =
		sizeof(full) + strings->path.length + strings->link.length + strings->xattrs.length;
	const size_t pad = -size % 8;

	assert(strings->path.length <= LAYER_PATH_MAX && strings->link.length <= LAYER_PATH_MAX);
	size += pad;
	if (writer->entries >= LAYER_ENTRIES_MAX ||
	    writer->written + writer->pending.length + size > INDEX_SIZE_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "it has more than %d entries, or too long ones",
				     LAYER_ENTRIES_MAX);
	writer->entries++;
	full.record_size = (uint32_t)size;
	full.path_length = (uint16_t)strings->path.length;
	full.link_length = (uint16_t)strings->link.length;
	full.xattr_length = (uint32_t)strings->xattrs.length;
	buf_append(&writer->pending, &full, sizeof(full));
	buf_append(&writer->pending, strings->path.data, strings->path.length);
	buf_append(&writer->pending, strings->link.data, strings->link.length);
	buf_append(&writer->pending, strings->xattrs.data, strings->xattrs.length);
	buf_append(&writer->pending, zeros, pad);
	return writer->pending.length >= FLUSH_AT ? flush(writer, err) : 0;
}

int index_writer_finish(struct index_writer *writer, struct layer_header *header,
			struct cay_error *err)
{
	int r = flush(writer, err);

	if (r < 0)
		return r;
	memcpy(header->magic, LAYER_MAGIC, sizeof(header->magic));
	header->version = LAYER_VERSION;
	header->body_crc32 = (uint32_t)writer->crc;
	header->body_size = writer->written;
	header->entry_count = writer->entries;
	r = output_put(&writer->output, header, sizeof(*header), 0, what, err);
	return r < 0 ? r
		     : output_finish(&writer->output, sizeof(*header) + writer->written, what, err);
}

static int corrupt(const char *how, struct cay_error *err)
{
	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is corrupt: %s", what, how);
}

static int check_header(const struct index_map *map, struct cay_error *err)
{
	const struct layer_header *header = &map->header;

	if (memcmp(header->magic, LAYER_MAGIC, sizeof(header->magic)) != 0 ||
	    header->version != LAYER_VERSION)
		return corrupt("it is of another kind or version", err);
	if (header->body_size != map->size - sizeof(*header) ||
	    header->entry_count > LAYER_ENTRIES_MAX ||
	    header->data_blocks > LAYER_DATA_MAX / LAYER_BLOCK)
		return corrupt("its counts are wrong", err);
	if (crc32_z(crc32(0, NULL, 0), map->data + sizeof(*header), header->body_size) !=
	    header->body_crc32)
		return corrupt("its checksum is wrong", err);
	return 0;
}

int index_map_open(int fd, struct index_map *ret_map, struct cay_error *err)
{
	struct index_map map = { 0 };
	const off_t size = lseek(fd, 0, SEEK_END); /* and not fstat(), which the sandbox forbids */
	void *data;
	int r;

	if (size < 0)
		return cay_error_errno(err, errno, "reading the layer's index");
	if (size < (off_t)sizeof(struct layer_header) ||
	    (uint64_t)size > INDEX_SIZE_MAX + sizeof(struct layer_header))
		return corrupt("its size is wrong", err);
	data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return cay_error_errno(err, errno, "mapping the layer's index");
	map.data = data;
	map.size = (size_t)size;
	memcpy(&map.header, data, sizeof(map.header));
	r = check_header(&map, err);
	if (r < 0) {
		index_map_close(&map);
		return r;
	}
	*ret_map = map;
	return 0;
}

void index_map_close(struct index_map *map)
{
	if (map->data)
		(void)munmap((void *)map->data, map->size); /* fails only for a wrong address */
	*map = (struct index_map){ 0 };
}

/* As index_writer_add() writes it: relative, without empty, "." or ".." components or NULs. */
static bool path_is_clean(struct str path)
{
	if (path.length == 0)
		return true;
	if (path.length > LAYER_PATH_MAX || memchr(path.data, '\0', path.length) ||
	    path.data[path.length - 1] == '/')
		return false;
	while (path.length > 0) {
		struct str rest, part = str_split(path, '/', &rest);

		if (part.length == 0 || part.length > LAYER_NAME_MAX || str_equals(part, ".") ||
		    str_equals(part, ".."))
			return false;
		path = rest;
	}
	return true;
}

static bool xattrs_are_whole(struct str xattrs)
{
	if (xattrs.length > LAYER_XATTRS_MAX || xattrs.length % 4 != 0)
		return false;
	for (size_t at = 0; at < xattrs.length;) {
		const uint8_t *entry = (const uint8_t *)xattrs.data + at;
		size_t size = 4 + (size_t)entry[0] + ((size_t)entry[2] | (size_t)entry[3] << 8);

		at += (size + 3) / 4 * 4;
		if (at > xattrs.length)
			return false;
	}
	return true;
}

static bool record_is_valid(const struct index_map *map, const struct layer_record *record)
{
	const struct index_strings strings = index_strings_of(record);
	const uint64_t blocks = (record->size + LAYER_BLOCK - 1) / LAYER_BLOCK;

	if (record->kind == 0 || record->kind >= LAYER_KIND_COUNT || record->mode > 07777 ||
	    record->mtime_ns >= 1000000000 || !path_is_clean(strings.path) ||
	    !xattrs_are_whole(strings.xattrs))
		return false;
	switch (record->kind) {
	case LAYER_FILE:
		return record->size <= LAYER_DATA_MAX && record->place <= map->header.data_blocks &&
			blocks <= map->header.data_blocks - record->place;
	case LAYER_PACKED:
		return record->size > 0 && record->size <= LAYER_BLOCK &&
			record->place % LAYER_SLOT == 0 &&
			record->place < map->header.data_blocks * LAYER_BLOCK &&
			record->place % LAYER_BLOCK + erofs_inode_size(strings.xattrs.length) +
				record->size <=
			LAYER_BLOCK;
	case LAYER_HARDLINK:
		return strings.link.length > 0 && path_is_clean(strings.link);
	case LAYER_SYMLINK:
		return strings.link.length > 0 && strings.link.length <= LAYER_PATH_MAX &&
			!memchr(strings.link.data, '\0', strings.link.length);
	default:
		return true;
	}
}

int index_next(const struct index_map *map, size_t *offset, const struct layer_record **ret_record,
	       struct cay_error *err)
{
	const size_t left = map->header.body_size - *offset;
	const struct layer_record *record;

	if (left == 0)
		return 0;
	/* The mapping starts on a page, the header and all records are multiples of 8. */
	record = (const void *)(map->data + sizeof(struct layer_header) + *offset);
	if (left < sizeof(*record) || record->record_size % 8 != 0 || record->record_size > left ||
	    sizeof(*record) + (uint64_t)record->path_length + record->link_length +
			    record->xattr_length >
		    record->record_size)
		return corrupt("a record does not fit", err);
	if (!record_is_valid(map, record))
		return corrupt("a record is not valid", err);
	*offset += record->record_size;
	*ret_record = record;
	return 1;
}

struct index_strings index_strings_of(const struct layer_record *record)
{
	const char *path = (const char *)(record + 1);
	const char *link = path + record->path_length;
	const char *xattrs = link + record->link_length;

	return (struct index_strings){
		.path = { path, record->path_length },
		.link = { link, record->link_length },
		.xattrs = { xattrs, record->xattr_length },
	};
}
