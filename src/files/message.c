/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of message.h: a table of what each operation's message is made of, and its reader. */
#include "files/message.h"

#include "base/macros.h"

#include <errno.h>
#include <string.h>

/* What stands behind an operation's structure. */
enum tail {
	TAIL_NONE,
	TAIL_ENTRY,       /* the name of a directory entry */
	TAIL_TWO_ENTRIES, /* of two */
	TAIL_LINK,        /* of one, then a symbolic link's target */
	TAIL_XATTR,       /* the name of an extended attribute */
	TAIL_XATTR_VALUE, /* the same, then its value */
	TAIL_WRITTEN,     /* what is written, which is not held */
	TAIL_FORGETS,     /* struct fuse_forget_one, as many as announced */
	TAIL_IGNORED,
};

struct shape {
	size_t structure; /* its size */
	enum tail tail;
	bool known;
};

static const struct shape shapes[] = {
	[FUSE_LOOKUP] = { 0, TAIL_ENTRY, true },
	[FUSE_FORGET] = { sizeof(struct fuse_forget_in), TAIL_NONE, true },
	[FUSE_GETATTR] = { sizeof(struct fuse_getattr_in), TAIL_NONE, true },
	[FUSE_SETATTR] = { sizeof(struct fuse_setattr_in), TAIL_NONE, true },
	[FUSE_READLINK] = { 0, TAIL_NONE, true },
	[FUSE_SYMLINK] = { 0, TAIL_LINK, true },
	[FUSE_MKNOD] = { sizeof(struct fuse_mknod_in), TAIL_ENTRY, true },
	[FUSE_MKDIR] = { sizeof(struct fuse_mkdir_in), TAIL_ENTRY, true },
	[FUSE_UNLINK] = { 0, TAIL_ENTRY, true },
	[FUSE_RMDIR] = { 0, TAIL_ENTRY, true },
	[FUSE_RENAME] = { sizeof(struct fuse_rename_in), TAIL_TWO_ENTRIES, true },
	[FUSE_LINK] = { sizeof(struct fuse_link_in), TAIL_ENTRY, true },
	[FUSE_OPEN] = { sizeof(struct fuse_open_in), TAIL_NONE, true },
	[FUSE_READ] = { sizeof(struct fuse_read_in), TAIL_NONE, true },
	[FUSE_WRITE] = { sizeof(struct fuse_write_in), TAIL_WRITTEN, true },
	[FUSE_STATFS] = { 0, TAIL_NONE, true },
	[FUSE_RELEASE] = { sizeof(struct fuse_release_in), TAIL_NONE, true },
	[FUSE_FSYNC] = { sizeof(struct fuse_fsync_in), TAIL_NONE, true },
	/* FUSE_SETXATTR_EXT is not negotiated, so it has the short form. */
	[FUSE_SETXATTR] = { FUSE_COMPAT_SETXATTR_IN_SIZE, TAIL_XATTR_VALUE, true },
	[FUSE_GETXATTR] = { sizeof(struct fuse_getxattr_in), TAIL_XATTR, true },
	[FUSE_LISTXATTR] = { sizeof(struct fuse_getxattr_in), TAIL_NONE, true },
	[FUSE_REMOVEXATTR] = { 0, TAIL_XATTR, true },
	[FUSE_FLUSH] = { sizeof(struct fuse_flush_in), TAIL_NONE, true },
	/* It was shorter once and may grow again. */
	[FUSE_INIT] = { offsetof(struct fuse_init_in, flags2), TAIL_IGNORED, true },
	[FUSE_OPENDIR] = { sizeof(struct fuse_open_in), TAIL_NONE, true },
	[FUSE_READDIR] = { sizeof(struct fuse_read_in), TAIL_NONE, true },
	[FUSE_RELEASEDIR] = { sizeof(struct fuse_release_in), TAIL_NONE, true },
	[FUSE_FSYNCDIR] = { sizeof(struct fuse_fsync_in), TAIL_NONE, true },
	[FUSE_GETLK] = { sizeof(struct fuse_lk_in), TAIL_NONE, true },
	[FUSE_SETLK] = { sizeof(struct fuse_lk_in), TAIL_NONE, true },
	[FUSE_SETLKW] = { sizeof(struct fuse_lk_in), TAIL_NONE, true },
	[FUSE_CREATE] = { sizeof(struct fuse_create_in), TAIL_ENTRY, true },
	[FUSE_INTERRUPT] = { sizeof(struct fuse_interrupt_in), TAIL_NONE, true },
	[FUSE_DESTROY] = { 0, TAIL_NONE, true },
	[FUSE_BATCH_FORGET] = { sizeof(struct fuse_batch_forget_in), TAIL_FORGETS, true },
	[FUSE_FALLOCATE] = { sizeof(struct fuse_fallocate_in), TAIL_NONE, true },
	[FUSE_READDIRPLUS] = { sizeof(struct fuse_read_in), TAIL_NONE, true },
	[FUSE_RENAME2] = { sizeof(struct fuse_rename2_in), TAIL_TWO_ENTRIES, true },
	[FUSE_LSEEK] = { sizeof(struct fuse_lseek_in), TAIL_NONE, true },
	[FUSE_COPY_FILE_RANGE] = { sizeof(struct fuse_copy_file_range_in), TAIL_NONE, true },
	[FUSE_SYNCFS] = { sizeof(struct fuse_syncfs_in), TAIL_NONE, true },
	/* Its name is that of a file without one. */
	[FUSE_TMPFILE] = { sizeof(struct fuse_create_in), TAIL_IGNORED, true },
};

struct cursor {
	const char *at;
	size_t left;
	size_t beyond; /* bytes of the message that are not held */
};

/* A text that ends with a NUL within what is left. */
static int take_text(struct cursor *cursor, size_t max, const char **ret_text)
{
	const char *end = memchr(cursor->at, '\0', cursor->left);

	if (!end || end == cursor->at)
		return end ? -ENOENT : -EINVAL;
	if ((size_t)(end - cursor->at) > max)
		return -ENAMETOOLONG;
	*ret_text = cursor->at;
	cursor->left -= (size_t)(end - cursor->at) + 1;
	cursor->at = end + 1;
	return 0;
}

/* One component: never a way to another directory. */
static int take_entry(struct cursor *cursor, const char **ret_name)
{
	const char *name;
	int r = take_text(cursor, MESSAGE_NAME_MAX, &name);

	if (r < 0)
		return r;
	if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	*ret_name = name;
	return 0;
}

static int take_data(struct cursor *cursor, size_t announced, size_t max, struct message *message)
{
	if (announced != cursor->left || announced > max)
		return -EINVAL;
	message->data = cursor->at;
	message->size = announced;
	cursor->left = 0;
	return 0;
}

static int take_xattr_value(struct cursor *cursor, struct message *message)
{
	/* Only the part that FUSE_COMPAT_SETXATTR_IN_SIZE covers may be looked at. */
	const uint32_t *announced = message->in;
	int r = take_text(cursor, MESSAGE_XATTR_NAME_MAX, &message->name);

	return r < 0 ? r : take_data(cursor, *announced, MESSAGE_XATTR_MAX, message);
}

static int take_forgets(struct cursor *cursor, struct message *message)
{
	const struct fuse_batch_forget_in *in = message->in;

	return take_data(cursor, in->count * sizeof(struct fuse_forget_one), MESSAGE_MAX, message);
}

static int take_written(struct cursor *cursor, struct message *message)
{
	const struct fuse_write_in *in = message->in;

	if (cursor->left > 0 || in->size != cursor->beyond || in->size > MESSAGE_DATA_MAX)
		return -EINVAL;
	message->size = in->size;
	cursor->beyond = 0;
	return 0;
}

static int take_tail(struct cursor *cursor, enum tail tail, struct message *message)
{
	int r;

	switch (tail) {
	case TAIL_NONE:
		return 0;
	case TAIL_ENTRY:
		return take_entry(cursor, &message->name);
	case TAIL_TWO_ENTRIES:
		r = take_entry(cursor, &message->name);
		return r < 0 ? r : take_entry(cursor, &message->second_name);
	case TAIL_LINK:
		r = take_entry(cursor, &message->name);
		return r < 0 ? r : take_text(cursor, MESSAGE_TARGET_MAX, &message->second_name);
	case TAIL_XATTR:
		return take_text(cursor, MESSAGE_XATTR_NAME_MAX, &message->name);
	case TAIL_XATTR_VALUE:
		return take_xattr_value(cursor, message);
	case TAIL_WRITTEN:
		return take_written(cursor, message);
	case TAIL_FORGETS:
		return take_forgets(cursor, message);
	case TAIL_IGNORED:
		cursor->left = 0;
		return 0;
	}
	return -EINVAL;
}

int message_parse(const void *bytes, size_t held, size_t size, struct message *ret_message)
{
	const struct fuse_in_header *header = bytes;
	struct message message = { .header = header };
	const struct shape *shape;
	struct cursor cursor;
	int r;

	if (held < sizeof(*header) || held > MESSAGE_MAX || held > size || header->len != size)
		return -EPROTO;
	*ret_message = message;
	if (header->opcode >= ARRAY_SIZE(shapes) || !shapes[header->opcode].known)
		return -ENOSYS;
	shape = &shapes[header->opcode];
	cursor = (struct cursor){ (const char *)bytes + sizeof(*header), held - sizeof(*header),
				  size - held };
	if (header->total_extlen != 0 || cursor.left < shape->structure)
		return -EINVAL;
	if (shape->structure > 0)
		message.in = cursor.at;
	cursor.at += shape->structure;
	cursor.left -= shape->structure;
	r = take_tail(&cursor, shape->tail, &message);
	if (r < 0)
		return r;
	if (cursor.left > 0 || cursor.beyond > 0)
		return -EINVAL;
	*ret_message = message;
	return 0;
}
