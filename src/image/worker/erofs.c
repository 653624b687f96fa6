/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The EROFS writer. Three walks over the tree in one order, a directory's
 * children next to each other: the first counts links, the second gives every
 * inode its place, the third writes them, each with its attributes and, where
 * they fit into the same block, its link target or directory behind it. Larger
 * directories go into blocks of their own behind all inodes.
 */
#include "image/worker/erofs.h"

#include "base/alloc.h"
#include "base/file.h"
#include "image/worker/erofs-format.h"

#include <errno.h>
#include <sys/stat.h>

enum { OUT_SIZE = 256 * 1024, FIRST_INODE = 1152 /* behind the superblock */ };
#define METADATA_MAX (UINT64_C(8) << 30)

/* A window that moves forward over the file and fills gaps with zeros. */
struct out {
	int fd;
	uint64_t start;
	struct buf pending;
};

/* What a directory holds, "." and ".." among it, in order. */
struct listed {
	const char *name;
	uint8_t length;
	uint32_t inode;
};

struct writer {
	struct merge_tree *tree;
	const struct erofs_layer *layers;
	uint64_t *bases; /* the disk's block where each layer's data starts */
	struct listed *list;
	size_t list_count, list_room;
	uint32_t *directories; /* nodes, in the order of the walk */
	size_t directory_count, directory_room;
	uint64_t inode_end;   /* second walk: where the next inode may go */
	uint64_t block_count; /* second walk: blocks behind the inodes */
	uint64_t next_block;  /* third walk */
	uint64_t inode_count;
	struct out inodes, blocks;
};

static int out_flush(struct out *out, struct cay_error *err)
{
	int r = pwrite_full(out->fd, out->pending.data, out->pending.length, (off_t)out->start);

	if (r < 0)
		return cay_error_errno(err, r, "writing the image's metadata");
	out->start += out->pending.length;
	buf_clear(&out->pending);
	return 0;
}

/* Goes on to `position`, which is never behind. */
static void out_seek(struct out *out, uint64_t position)
{
	const size_t gap = (size_t)(position - out->start - out->pending.length);

	memset(buf_reserve(&out->pending, gap), 0, gap);
	out->pending.length += gap;
}

static int out_put(struct out *out, const void *data, size_t size, struct cay_error *err)
{
	buf_append(&out->pending, data, size);
	return out->pending.length >= OUT_SIZE ? out_flush(out, err) : 0;
}

static void list_add(struct writer *writer, const char *name, uint8_t length, uint32_t inode)
{
	if (writer->list_count == writer->list_room) {
		writer->list_room = writer->list_room ? writer->list_room * 2 : 64;
		writer->list =
			xreallocarray(writer->list, writer->list_room, sizeof(struct listed));
	}
	writer->list[writer->list_count++] = (struct listed){ name, length, inode };
}

/* Fills writer->list. "." and ".." stand where their bytes put them: behind "-a", before "0". */
static void list_directory(struct writer *writer, uint32_t node)
{
	static const char *const dots[] = { ".", ".." };
	const struct merge_node *nodes = writer->tree->nodes;
	uint32_t child = nodes[node].first_child;

	writer->list_count = 0;
	for (uint8_t i = 0; i < 2; i++) {
		for (; child; child = nodes[child].next_sibling) {
			const int order = memcmp(nodes[child].name, dots[i],
						 MIN(nodes[child].name_length, i + 1));

			if (order > 0 || (order == 0 && nodes[child].name_length > i + 1))
				break;
			list_add(writer, nodes[child].name, nodes[child].name_length,
				 nodes[child].inode);
		}
		list_add(writer, dots[i], (uint8_t)(i + 1),
			 nodes[i == 0 ? node : nodes[node].parent].inode);
	}
	for (; child; child = nodes[child].next_sibling)
		list_add(writer, nodes[child].name, nodes[child].name_length, nodes[child].inode);
}

/* How many of the listed names from `first` on go into one block, and the bytes they take. */
static size_t block_fill(const struct writer *writer, size_t first, size_t *ret_bytes)
{
	size_t bytes = 0, at = first;

	while (at < writer->list_count) {
		size_t size = sizeof(struct erofs_dirent) + writer->list[at].length;

		if (bytes + size > EROFS_BLOCK)
			break;
		bytes += size;
		at++;
	}
	*ret_bytes = bytes;
	return at - first;
}

/* Size of the listed directory: whole blocks and what is used of the last. */
static uint64_t directory_size(const struct writer *writer)
{
	uint64_t size = 0;
	size_t bytes = 0;

	for (size_t at = 0; at < writer->list_count; at += block_fill(writer, at, &bytes))
		size += at > 0 ? EROFS_BLOCK : 0;
	return size + bytes;
}

static struct str inode_xattrs(const struct merge_inode *inode)
{
	return inode->record ? index_strings_of(inode->record).xattrs : (struct str){ 0 };
}

/* Bytes of the inode and its attributes. */
static size_t inode_size(const struct merge_inode *inode)
{
	return erofs_inode_size(inode_xattrs(inode).length);
}

static enum layer_kind inode_kind(const struct merge_inode *inode)
{
	return inode->is_directory ? LAYER_DIRECTORY : (enum layer_kind)inode->record->kind;
}

/* Whether the inode that stands in its layer's data is the one to use. */
static bool is_shared(const struct merge_inode *inode)
{
	return inode_kind(inode) == LAYER_PACKED && inode->links == 1;
}

/* Bytes of what goes with an inode: a directory's list, a link's target, a packed file's contents.
 */
static uint64_t payload_size(struct writer *writer, uint32_t node)
{
	const struct merge_inode *inode = &writer->tree->inodes[writer->tree->nodes[node].inode];

	switch (inode_kind(inode)) {
	case LAYER_DIRECTORY:
		list_directory(writer, node);
		return directory_size(writer);
	case LAYER_SYMLINK:
		return index_strings_of(inode->record).link.length;
	case LAYER_PACKED:
		return inode->record->size;
	default:
		return 0;
	}
}

static bool goes_inline(const struct merge_inode *inode, uint64_t payload)
{
	return payload > 0 && inode_size(inode) + payload <= EROFS_BLOCK;
}

/*
 * Second walk: the place of one inode. Inodes start at multiples of their own 64 bytes, so that
 * none crosses a block; one with something inline stands in a block as a whole.
 */
static int place(struct writer *writer, uint32_t node, struct cay_error *err)
{
	struct merge_inode *inode = &writer->tree->inodes[writer->tree->nodes[node].inode];
	const uint64_t payload = payload_size(writer, node);
	const bool is_inline = goes_inline(inode, payload);
	const uint64_t size = inode_size(inode) + (is_inline ? payload : 0);
	uint64_t at = (writer->inode_end + 63) / 64 * 64;

	if (is_inline && at % EROFS_BLOCK + size > EROFS_BLOCK)
		at = (at + EROFS_BLOCK - 1) / EROFS_BLOCK * EROFS_BLOCK;
	if (!is_inline)
		writer->block_count += (payload + EROFS_BLOCK - 1) / EROFS_BLOCK;
	inode->nid = (uint32_t)(at / EROFS_SLOT);
	writer->inode_end = at + size;
	writer->inode_count++;
	if (writer->inode_end + writer->block_count * EROFS_BLOCK > METADATA_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG,
				     "the image's names and attributes are too large");
	return 0;
}

static void walk_later(struct writer *writer, uint32_t node)
{
	if (writer->directory_count == writer->directory_room) {
		writer->directory_room = writer->directory_room ? writer->directory_room * 2 : 1024;
		writer->directories = xreallocarray(writer->directories, writer->directory_room,
						    sizeof(*writer->directories));
	}
	writer->directories[writer->directory_count++] = node;
}

/* First walk: every inode's links, and the directories in the order of all walks. */
static void count_links(struct writer *writer)
{
	const struct merge_node *nodes = writer->tree->nodes;
	struct merge_inode *inodes = writer->tree->inodes;

	inodes[nodes[MERGE_ROOT].inode].links = 2;
	walk_later(writer, MERGE_ROOT);
	for (size_t i = 0; i < writer->directory_count; i++) {
		const uint32_t directory = writer->directories[i];

		for (uint32_t at = nodes[directory].first_child; at; at = nodes[at].next_sibling) {
			struct merge_inode *inode = &inodes[nodes[at].inode];

			inode->links++;
			if (inode->is_directory) {
				inode->links++;
				inodes[nodes[directory].inode].links++;
				walk_later(writer, at);
			}
		}
	}
}

static int place_all(struct writer *writer, struct cay_error *err)
{
	const struct merge_node *nodes = writer->tree->nodes;
	int r = place(writer, MERGE_ROOT, err);

	for (size_t i = 0; r == 0 && i < writer->directory_count; i++)
		for (uint32_t at = nodes[writer->directories[i]].first_child; r == 0 && at;
		     at = nodes[at].next_sibling) {
			const struct merge_inode *inode = &writer->tree->inodes[nodes[at].inode];

			if (is_shared(inode))
				writer->inode_count++;
			else if (inode->nid == 0)
				r = place(writer, at, err);
		}
	return r;
}

/* Where an inode is on the disk. */
static uint64_t inode_nid(const struct writer *writer, const struct merge_inode *inode)
{
	if (is_shared(inode))
		return (writer->bases[inode->layer] * EROFS_BLOCK + inode->record->place) /
			EROFS_SLOT;
	return inode->nid;
}

static uint16_t inode_type(const struct merge_inode *inode)
{
	static const uint16_t types[LAYER_KIND_COUNT] = {
		[LAYER_FILE] = S_IFREG,         [LAYER_DIRECTORY] = S_IFDIR,
		[LAYER_SYMLINK] = S_IFLNK,      [LAYER_CHARACTER] = S_IFCHR,
		[LAYER_BLOCK_DEVICE] = S_IFBLK, [LAYER_FIFO] = S_IFIFO,
		[LAYER_PACKED] = S_IFREG,
	};

	return types[inode_kind(inode)];
}

/* The FT_ numbers of linux/fs_types.h. */
static uint8_t dirent_type(const struct merge_inode *inode)
{
	switch (inode_type(inode)) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFCHR:
		return 3;
	case S_IFBLK:
		return 4;
	case S_IFIFO:
		return 5;
	case S_IFLNK:
		return 7;
	default:
		return 0;
	}
}

/* The listed directory, all its blocks. */
static int write_directory(struct writer *writer, struct out *out, struct cay_error *err)
{
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < writer->list_count) {
		size_t bytes, count = block_fill(writer, at, &bytes);
		size_t offset = count * sizeof(struct erofs_dirent);

		for (size_t i = 0; i < count; i++) {
			const struct listed *item = &writer->list[at + i];
			const struct merge_inode *inode = &writer->tree->inodes[item->inode];
			const struct erofs_dirent dirent = {
				.nid = inode_nid(writer, inode),
				.name_offset = (uint16_t)offset,
				.type = dirent_type(inode),
			};

			offset += item->length;
			buf_append(&out->pending, &dirent, sizeof(dirent));
		}
		for (size_t i = 0; i < count; i++)
			buf_append(&out->pending, writer->list[at + i].name,
				   writer->list[at + i].length);
		at += count;
		if (at < writer->list_count) {
			memset(buf_reserve(&out->pending, EROFS_BLOCK - bytes), 0,
			       EROFS_BLOCK - bytes);
			out->pending.length += EROFS_BLOCK - bytes;
		}
		r = out_put(out, "", 0, err);
	}
	return r;
}

/* The inode's own 64 bytes. */
static struct erofs_inode encode_inode(const struct writer *writer, const struct merge_inode *inode,
				       uint64_t payload)
{
	static const struct layer_record unspoken = { .mode = 0755 };
	const struct layer_record *record = inode->record ? inode->record : &unspoken;
	const size_t xattrs = inode_xattrs(inode).length;
	const uint16_t type = inode_type(inode);
	struct erofs_inode raw = {
		.format = (uint16_t)(EROFS_LAYOUT_EXTENDED |
				     (goes_inline(inode, payload) ? EROFS_FLAT_INLINE
								  : EROFS_FLAT_PLAIN)),
		.xattr_count = (uint16_t)(xattrs ? xattrs / 4 + 1 : 0),
		.mode = (uint16_t)(type | record->mode),
		.size = payload,
		.ino = inode->nid,
		.uid = record->uid,
		.gid = record->gid,
		.mtime = (uint64_t)record->mtime,
		.mtime_nsec = record->mtime_ns,
		.links = inode->links,
	};

	if (inode_kind(inode) == LAYER_FILE) {
		raw.size = record->size;
		if (record->size > 0)
			raw.place = (uint32_t)(writer->bases[inode->layer] + record->place);
	} else if (type == S_IFCHR || type == S_IFBLK) {
		raw.place = record->device;
	} else if (payload > 0 && !goes_inline(inode, payload)) {
		raw.place = (uint32_t)writer->next_block;
	}
	return raw;
}

/* Appends the contents of a packed file from its layer's data. */
static int copy_packed(struct writer *writer, const struct merge_inode *inode, struct buf *out,
		       struct cay_error *err)
{
	const size_t size = inode->record->size;
	const uint64_t at = inode->record->place + inode_size(inode);
	ssize_t n = pread_full(writer->layers[inode->layer].data_fd, buf_reserve(out, size), size,
			       (off_t)at);

	if (n < 0)
		return cay_error_errno(err, (int)n, "reading the data of layer %u",
				       inode->layer + 1);
	if ((size_t)n < size)
		return cay_error_set(err, CAY_CORRUPT, EBADMSG, "the data of layer %u is too short",
				     inode->layer + 1);
	out->length += size;
	return 0;
}

/* Third walk: one inode and what belongs to it. */
static int write_inode(struct writer *writer, uint32_t node, struct cay_error *err)
{
	static const struct erofs_xattr_header xattr_header;
	struct merge_inode *inode = &writer->tree->inodes[writer->tree->nodes[node].inode];
	const uint64_t payload = payload_size(writer, node);
	const struct erofs_inode raw = encode_inode(writer, inode, payload);
	const struct str xattrs = inode_xattrs(inode);
	struct out *out = &writer->inodes;

	inode->written = true;
	out_seek(out, (uint64_t)inode->nid * EROFS_SLOT);
	buf_append(&out->pending, &raw, sizeof(raw));
	if (xattrs.length > 0) {
		buf_append(&out->pending, &xattr_header, sizeof(xattr_header));
		buf_append(&out->pending, xattrs.data, xattrs.length);
	}
	if (payload > 0 && !goes_inline(inode, payload)) {
		out = &writer->blocks;
		out_seek(out, writer->next_block * EROFS_BLOCK);
		writer->next_block += (payload + EROFS_BLOCK - 1) / EROFS_BLOCK;
	}
	if (inode->is_directory)
		return write_directory(writer, out, err);
	if (inode_kind(inode) == LAYER_PACKED) {
		int r = copy_packed(writer, inode, &out->pending, err);

		return r < 0 ? r : out_put(out, "", 0, err);
	}
	if (payload > 0)
		return out_put(out, index_strings_of(inode->record).link.data, payload, err);
	return out_put(out, "", 0, err);
}

static int write_all(struct writer *writer, struct cay_error *err)
{
	const struct merge_node *nodes = writer->tree->nodes;
	int r = write_inode(writer, MERGE_ROOT, err);

	for (size_t i = 0; r == 0 && i < writer->directory_count; i++)
		for (uint32_t at = nodes[writer->directories[i]].first_child; r == 0 && at;
		     at = nodes[at].next_sibling)
			if (!writer->tree->inodes[nodes[at].inode].written &&
			    !is_shared(&writer->tree->inodes[nodes[at].inode]))
				r = write_inode(writer, at, err);
	return r;
}

static void write_super(struct writer *writer, uint64_t blocks)
{
	const struct erofs_super super = {
		.magic = EROFS_MAGIC,
		.feature_compat = EROFS_FEATURE_COMPAT_MTIME,
		.block_bits = 12,
		.root_nid = FIRST_INODE / EROFS_SLOT,
		.inode_count = writer->inode_count,
		.blocks = (uint32_t)blocks,
		.volume_name = "cay",
	};

	out_seek(&writer->inodes, EROFS_SUPER_OFFSET);
	buf_append(&writer->inodes.pending, &super, sizeof(super));
}

/* Where everything stands, once all inodes have their place; the disk's size in blocks. */
static int lay_out(struct writer *writer, size_t count, uint64_t *ret_blocks, struct cay_error *err)
{
	uint64_t blocks;

	writer->next_block = (writer->inode_end + EROFS_BLOCK - 1) / EROFS_BLOCK;
	blocks = writer->next_block + writer->block_count;
	for (size_t i = 0; i < count; i++) {
		writer->bases[i] = blocks;
		blocks += writer->layers[i].index.header.data_blocks;
	}
	if (blocks > UINT32_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, EFBIG, "the image is larger than 16 TiB");
	*ret_blocks = blocks;
	return 0;
}

static void writer_done(struct writer *writer)
{
	free(writer->bases);
	free(writer->list);
	free(writer->directories);
	buf_done(&writer->inodes.pending);
	buf_done(&writer->blocks.pending);
}

int erofs_write(struct merge_tree *tree, const struct erofs_layer *layers, size_t count, int fd,
		struct cay_error *err)
{
	_cleanup_(writer_done) struct writer writer = {
		.tree = tree,
		.layers = layers,
		.bases = xcalloc(count + 1, sizeof(uint64_t)),
		.inode_end = FIRST_INODE,
		.inodes = { .fd = fd },
		.blocks = { .fd = fd },
	};
	uint64_t blocks = 0, behind_inodes;
	int r;

	count_links(&writer);
	r = place_all(&writer, err);
	if (r == 0)
		r = lay_out(&writer, count, &blocks, err);
	if (r < 0)
		return r;
	behind_inodes = writer.next_block * EROFS_BLOCK;
	writer.blocks.start = behind_inodes;
	write_super(&writer, blocks);
	r = write_all(&writer, err);
	if (r < 0)
		return r;
	out_seek(&writer.inodes, behind_inodes);
	out_seek(&writer.blocks, behind_inodes + writer.block_count * EROFS_BLOCK);
	r = out_flush(&writer.inodes, err);
	return r < 0 ? r : out_flush(&writer.blocks, err);
}
