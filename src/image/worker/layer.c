/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer: each tar entry checked and turned into a record of the index, its
 * contents into blocks of the data file.
 *
 * What a layer may say is decided here; what it means on top of other layers
 * is decided when an image is merged (merge.c).
 */
#include "image/worker/layer.h"

#include "base/alloc.h"
#include "image/worker/data.h"
#include "image/worker/erofs-format.h"
#include "tar/path.h"
#include "tar/reader.h"

#include <errno.h>
#include <sys/stat.h>

/*
 * A bomb is told from honest data by what it would occupy: real layers shrink to a tenth at best,
 * and zeros occupy nothing.
 */
#define EXPANSION_FREE (UINT64_C(1) << 30)
enum { EXPANSION_RATIO = 256 };

#define WHITEOUT        ".wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"
#define WHITEOUT_META   ".wh..wh."

struct converter {
	struct tar_reader *tar;
	struct stream *stream;
	struct data_writer *data;
	struct index_writer *index;
	struct layer_header header;
};

/* Prefixes of attribute names and their numbers in EROFS (fs/erofs/erofs_fs.h). */
static const struct {
	const char *prefix;
	uint8_t index;
	bool whole; /* the name has no more than the prefix */
} xattr_prefixes[] = {
	{ "user.", 1, false },
	{ "system.posix_acl_access", 2, true },
	{ "system.posix_acl_default", 3, true },
	{ "trusted.", 4, false },
	{ "security.", 6, false },
};

/*
 * The attributes in EROFS's form. Names it has no number for are left out, as an extraction to a
 * file system that lacks them would; so are overlayfs's own, which would speak to the overlay that
 * the guest puts on top of the image.
 */
static int encode_xattrs(const struct buf *xattrs, struct buf *out, struct cay_error *err)
{
	struct str name_text, value;
	size_t at = 0;

	while (tar_xattr_next(xattrs, &at, &name_text, &value)) {
		const char *name = name_text.data;

		for (size_t i = 0; i < ARRAY_SIZE(xattr_prefixes); i++) {
			const char *rest = name + strlen(xattr_prefixes[i].prefix);

			if (!starts_with(name, xattr_prefixes[i].prefix) ||
			    starts_with(name, "trusted.overlay.") ||
			    (*rest == '\0') != xattr_prefixes[i].whole)
				continue;
			const uint8_t head[4] = { (uint8_t)strlen(rest), xattr_prefixes[i].index,
						  (uint8_t)value.length,
						  (uint8_t)(value.length >> 8) };

			buf_append(out, head, sizeof(head));
			buf_puts(out, rest);
			buf_append(out, value.data, value.length);
			while (out->length % 4 != 0)
				buf_putc(out, '\0');
			break;
		}
	}
	if (out->length > LAYER_XATTRS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "a file has more than %d bytes of extended attributes",
				     LAYER_XATTRS_MAX);
	return 0;
}

/* Linux's new_encode_dev(): 12 bits of major and 20 of minor number in 32. */
static int encode_device(const struct tar_entry *entry, uint32_t *ret_device, struct cay_error *err)
{
	const uint64_t major = entry->device_major, minor = entry->device_minor;

	if (major > 0xfff || minor > 0xfffff)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a device's number is out of Linux's range");
	*ret_device = (uint32_t)((minor & 0xff) | major << 8 | (minor & ~UINT64_C(0xff)) << 12);
	return 0;
}

/* Whether one of the directories that hold `name`, the last part of `path`, is itself a whiteout.
 */
static bool is_below_whiteout(const char *path, const char *name)
{
	for (const char *at = path; at < name; at = strchr(at, '/') + 1)
		if (starts_with(at, WHITEOUT))
			return true;
	return false;
}

/* Handles names that start with ".wh.": 1 if it was one, 0 if it is an ordinary name. */
static int add_whiteout(struct converter *converter, char *path, struct cay_error *err)
{
	struct layer_record record = { .kind = LAYER_WHITEOUT };
	char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct index_strings strings = { 0 };
	int r;

	if (starts_with(path, WHITEOUT_META) && strcmp(path, WHITEOUT_OPAQUE) != 0)
		return 1; /* aufs's own bookkeeping in the root of old layers */
	if (is_below_whiteout(path, name))
		return cay_error_set(err, CAY_INVALID, EINVAL, "it has a file below a whiteout");
	if (!starts_with(name, WHITEOUT))
		return 0;
	if (strcmp(name, WHITEOUT_OPAQUE) == 0) {
		record.kind = LAYER_OPAQUE;
		strings.path = (struct str){ path, slash ? (size_t)(slash - path) : 0 };
	} else {
		const char *what = name + strlen(WHITEOUT);

		if (*what == '\0' || strcmp(what, ".") == 0 || strcmp(what, "..") == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "it has a whiteout of no name (\"%s\")", name);
		memmove(name, what, strlen(what) + 1);
		strings.path = str_from(path);
	}
	r = index_writer_add(converter->index, &record, &strings, err);
	return r < 0 ? r : 1;
}

/* What the data file may take in blocks that are not holes. */
static uint64_t space_allowed(const struct converter *converter)
{
	return EXPANSION_FREE + stream_bytes_in(converter->stream) * EXPANSION_RATIO;
}

static int copy_contents(struct converter *converter, const struct tar_entry *entry,
			 struct layer_record *record, struct cay_error *err)
{
	int r = data_writer_begin(converter->data, entry->size, &record->place, err);

	record->size = entry->size;
	while (r == 0) {
		uint64_t offset;
		struct str piece;

		r = tar_reader_read(converter->tar, &offset, &piece, err);
		if (r <= 0)
			return r;
		r = data_writer_put(converter->data, offset, piece, space_allowed(converter), err);
	}
	return r;
}

/* A file so small that it goes into one block with its inode. */
static int pack_file(struct converter *converter, const struct tar_entry *entry, struct str xattrs,
		     struct layer_record *record, struct cay_error *err)
{
	static const struct erofs_xattr_header header;
	const struct erofs_inode inode = {
		.format = EROFS_LAYOUT_EXTENDED | EROFS_FLAT_INLINE,
		.xattr_count = (uint16_t)(xattrs.length ? xattrs.length / 4 + 1 : 0),
		.mode = (uint16_t)(S_IFREG | record->mode),
		.size = entry->size,
		.uid = record->uid,
		.gid = record->gid,
		.mtime = (uint64_t)record->mtime,
		.mtime_nsec = record->mtime_ns,
		.links = 1,
	};
	const size_t head = erofs_inode_size(xattrs.length);
	uint64_t offset;
	struct str piece;
	char *item;
	int r = data_writer_pack(converter->data, head + (size_t)entry->size,
				 space_allowed(converter), &item, &record->place, err);

	if (r < 0)
		return r;
	record->kind = LAYER_PACKED;
	record->size = entry->size;
	memcpy(item, &inode, sizeof(inode));
	if (xattrs.length > 0) {
		memcpy(item + sizeof(inode), &header, sizeof(header));
		memcpy(item + sizeof(inode) + sizeof(header), xattrs.data, xattrs.length);
	}
	while ((r = tar_reader_read(converter->tar, &offset, &piece, err)) > 0)
		memcpy(item + head + offset, piece.data, piece.length);
	return r;
}

static int fill_record(struct converter *converter, const struct tar_entry *entry,
		       struct str xattrs, struct layer_record *record, struct cay_error *err)
{
	static const enum layer_kind kinds[] = {
		[TAR_FILE] = LAYER_FILE,
		[TAR_HARDLINK] = LAYER_HARDLINK,
		[TAR_SYMLINK] = LAYER_SYMLINK,
		[TAR_CHARACTER] = LAYER_CHARACTER,
		[TAR_BLOCK_DEVICE] = LAYER_BLOCK_DEVICE,
		[TAR_DIRECTORY] = LAYER_DIRECTORY,
		[TAR_FIFO] = LAYER_FIFO,
	};

	/* The highest id is "no change" to chown(2). */
	if (entry->uid >= UINT32_MAX || entry->gid >= UINT32_MAX)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "an owner's number is out of Linux's range");
	*record = (struct layer_record){
		.kind = (uint16_t)kinds[entry->type],
		/* Linux gives every symbolic link this mode, whatever the archive says. */
		.mode = (uint16_t)(entry->type == TAR_SYMLINK ? 0777 : entry->mode),
		.uid = (uint32_t)entry->uid,
		.gid = (uint32_t)entry->gid,
		.mtime = entry->mtime,
		.mtime_ns = entry->mtime_ns,
	};
	if (entry->type == TAR_CHARACTER || entry->type == TAR_BLOCK_DEVICE)
		return encode_device(entry, &record->device, err);
	if (entry->type != TAR_FILE)
		return 0;
	converter->header.content_bytes += entry->size;
	if (entry->size > 0 && entry->size <= LAYER_BLOCK &&
	    erofs_inode_size(xattrs.length) + entry->size <= LAYER_BLOCK)
		return pack_file(converter, entry, xattrs, record, err);
	return copy_contents(converter, entry, record, err);
}

static int check_link(const struct tar_entry *entry, char *clean, struct str *ret_link,
		      struct cay_error *err)
{
	int r;

	if (entry->type == TAR_SYMLINK) {
		if (entry->link.length == 0 || entry->link.length > LAYER_PATH_MAX)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "a symbolic link's target is empty or too long");
		*ret_link = entry->link;
	} else if (entry->type == TAR_HARDLINK) {
		r = path_clean(entry->link, clean, err);
		if (r < 0)
			return r;
		if (r == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "it has a hard link to the root");
		*ret_link = (struct str){ clean, (size_t)r };
	}
	return 0;
}

static int convert_entry(struct converter *converter, const struct tar_entry *entry,
			 struct cay_error *err)
{
	char path[LAYER_PATH_MAX + 1], link[LAYER_PATH_MAX + 1], shown[PATH_SHOWN_MAX + 4];
	_cleanup_buf_ struct buf xattrs = { 0 };
	struct index_strings strings = { 0 };
	struct layer_record record;
	int r = path_clean(entry->path, path, err);

	if (r < 0)
		return r;
	if (r == 0 && entry->type != TAR_DIRECTORY)
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"it has an entry without a name, or one that replaces the root");
	strings.path = (struct str){ path, (size_t)r };
	r = add_whiteout(converter, path, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = check_link(entry, link, &strings.link, err);
	if (r == 0)
		r = encode_xattrs(&entry->xattrs, &xattrs, err);
	strings.xattrs = (struct str){ xattrs.data, xattrs.length };
	if (r == 0)
		r = fill_record(converter, entry, strings.xattrs, &record, err);
	if (r < 0)
		return cay_error_prefix(err, "\"%s\"", path_shown(strings.path, shown));
	return index_writer_add(converter->index, &record, &strings, err);
}

int layer_convert(struct stream *stream, struct output data, struct output index,
		  struct layer_header *ret_header, struct cay_error *err)
{
	_cleanup_(tar_reader_free_p) struct tar_reader *tar =
		tar_reader_new(stream_read_raw, stream);
	_cleanup_(data_writer_free_p) struct data_writer *data_writer = data_writer_new(data);
	_cleanup_(index_writer_free_p) struct index_writer *index_writer = index_writer_new(index);
	struct converter converter = {
		.tar = tar, .stream = stream, .data = data_writer, .index = index_writer
	};
	const struct tar_entry *entry;
	int r;

	while ((r = tar_reader_next(tar, &entry, err)) > 0) {
		r = convert_entry(&converter, entry, err);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = stream_drain(stream, err);
	if (r == 0)
		r = data_writer_finish(data_writer, &converter.header.data_blocks, err);
	if (r < 0)
		return r;
	converter.header.tar_bytes = stream_bytes_out(stream);
	stream_digest(stream, converter.header.diff_id);
	r = index_writer_finish(index_writer, &converter.header, err);
	if (r == 0)
		*ret_header = converter.header;
	return r;
}
