/* SPDX-License-Identifier: Apache-2.0 */
/* What no honest guest asks of cay-files, and what becomes of it: nothing on the host. */
#include "files-client.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static struct client client;
static struct scratch scratch;

static int start_with(const char *flags)
{
	scratch_make(&scratch);
	put_file(&scratch, "a", "contents");
	assert_int_equal(mkdir(in_tree(&scratch, "d"), 0755), 0);
	assert_int_equal(symlink("../secret", in_tree(&scratch, "out")), 0);
	assert_int_equal(symlink("/", in_tree(&scratch, "root")), 0);
	assert_int_equal(mkfifo(in_tree(&scratch, "fifo"), 0666), 0);
	client_start(&client, (const char *[]){ flags, scratch.tree, NULL });
	return 0;
}

static int start(void **state)
{
	return start_with("rw");
}

static int start_read_only(void **state)
{
	return start_with("ro");
}

static int stop(void **state)
{
	assert_int_equal(client_stop(&client), 0);
	scratch_remove(&scratch);
	return 0;
}

static void test_names(void **state)
{
	const struct fuse_mkdir_in in = { .mode = 0755 };
	const struct {
		const char *name;
		int error;
	} names[] = {
		{ "..", -EINVAL },     { ".", -EINVAL },           { "", -ENOENT },
		{ "/", -EINVAL },      { "../secret", -EINVAL },   { "d/..", -EINVAL },
		{ "d/../a", -EINVAL }, { "/etc/passwd", -EINVAL },
	};
	char longest[257];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(client_lookup(&client, 1, names[i].name), names[i].error);
		assert_int_equal(client_name(&client, 0, FUSE_UNLINK, 1, NULL, 0, names[i].name),
				 names[i].error);
		assert_int_equal(
			client_name(&client, 0, FUSE_MKDIR, 1, &in, sizeof(in), names[i].name),
			names[i].error);
	}
	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	assert_int_equal(client_lookup(&client, 1, longest), -ENAMETOOLONG);
	longest[255] = '\0';
	assert_int_equal(client_lookup(&client, 1, longest), -ENOENT);
	/* A name without an end, one with something behind it, a second one that leads away. */
	assert_int_equal(client_call(&client, 0, FUSE_LOOKUP, 1, NULL, 0, "a", 1), -EINVAL);
	assert_int_equal(client_call(&client, 0, FUSE_LOOKUP, 1, NULL, 0, "a\0b", 4), -EINVAL);
	const struct fuse_rename_in rename_in = { .newdir = 1 };

	assert_int_equal(client_call(&client, 0, FUSE_RENAME, 1, &rename_in, sizeof(rename_in),
				     "a\0../b", 7),
			 -EINVAL);
	assert_contents(in_tree(&scratch, "a"), "contents");
	assert_contents(scratch.secret, "secret");
}

/* Links are the guest's to follow, with its own root: here they are what they are. */
static void test_symbolic_links(void **state)
{
	const struct fuse_getxattr_in xattr = { .size = 100 };
	struct stat before, after;
	uint64_t node, handle;
	int64_t out, root;

	assert_int_equal(stat(scratch.secret, &before), 0);
	out = client_lookup(&client, 1, "out");
	root = client_lookup(&client, 1, "root");
	assert_int_equal(client_open(&client, out, O_RDONLY), 0);
	assert_int_equal(client.header.error, -ENXIO);
	assert_int_equal(client_open(&client, root, O_RDONLY), 0);
	assert_int_equal(client_lookup(&client, (uint64_t)root, "etc"), -ENOTDIR);
	assert_int_equal(client_create(&client, (uint64_t)root, "x", O_RDWR, 0600, &node, &handle),
			 -ENOTDIR);
	/* One that stands where a file is to be made. */
	assert_int_equal(client_create(&client, 1, "out", O_RDWR | O_TRUNC, 0600, &node, &handle),
			 -ENXIO);
	assert_true(client_setattr(&client, out,
				   (struct fuse_setattr_in){ .valid = FATTR_SIZE, .size = 0 }) < 0);
	assert_true(client_setattr(&client, out,
				   (struct fuse_setattr_in){ .valid = FATTR_MODE, .mode = 0777 }) <
		    0);
	if (geteuid() == 0)
		assert_int_equal(
			client_setattr(&client, out,
				       (struct fuse_setattr_in){
					       .valid = FATTR_UID | FATTR_MTIME_NOW, .uid = 1 }),
			0);
	(void)client_name(&client, 0, FUSE_GETXATTR, (uint64_t)out, &xattr, sizeof(xattr),
			  "user.x");
	assert_true(client.header.error < 0);
	assert_int_equal(stat(scratch.secret, &after), 0);
	assert_int_equal(after.st_size, 6);
	assert_int_equal(after.st_uid, before.st_uid);
	assert_int_equal(after.st_mode, before.st_mode);
	assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
}

static void test_special_files(void **state)
{
	const mode_t devices[] = { S_IFCHR, S_IFBLK };

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		const struct fuse_mknod_in in = { .mode = devices[i] | 0666,
						  .rdev = makedev(1, 3) };

		assert_int_equal(client_name(&client, 0, FUSE_MKNOD, 1, &in, sizeof(in), "null"),
				 -EPERM);
	}
	for (const mode_t *mode = (const mode_t[]){ S_IFDIR, S_IFLNK, S_IFMT, 0 }; *mode; mode++) {
		const struct fuse_mknod_in in = { .mode = *mode | 0666 };

		assert_int_equal(client_name(&client, 0, FUSE_MKNOD, 1, &in, sizeof(in), "x"),
				 -EINVAL);
	}
	assert_int_equal(client_lookup(&client, 1, "null"), -ENOENT);
	/* Opening a FIFO would wait for ever for its other end, which is in the guest. */
	assert_int_equal(client_open(&client, client_lookup(&client, 1, "fifo"), O_RDONLY), 0);
	assert_int_equal(client.header.error, -ENXIO);
}

struct attempt {
	uint32_t opcode;
	size_t in_size;
	const char *tail;
	size_t tail_size;
};

/* Each, about the share's root, gets this error. */
static void assert_refused(uint32_t share, const struct attempt *attempts, size_t count, int error)
{
	static const uint32_t nothing[64]; /* any structure's beginning */

	for (size_t i = 0; i < count; i++)
		assert_int_equal(client_call(&client, share, attempts[i].opcode, 1, nothing,
					     attempts[i].in_size, attempts[i].tail,
					     attempts[i].tail_size),
				 error);
}

/* Every operation that changes something, on a share that may not change. */
static void test_read_only(void **state)
{
	static const struct attempt attempts[] = {
		{ FUSE_SETATTR, sizeof(struct fuse_setattr_in), NULL, 0 },
		{ FUSE_SYMLINK, 0, "n\0t", 4 },
		{ FUSE_MKNOD, sizeof(struct fuse_mknod_in), "n", 2 },
		{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in), "n", 2 },
		{ FUSE_UNLINK, 0, "a", 2 },
		{ FUSE_RMDIR, 0, "d", 2 },
		{ FUSE_RENAME, sizeof(struct fuse_rename_in), "a\0b", 4 },
		{ FUSE_RENAME2, sizeof(struct fuse_rename2_in), "a\0b", 4 },
		{ FUSE_LINK, sizeof(struct fuse_link_in), "n", 2 },
		{ FUSE_WRITE, sizeof(struct fuse_write_in), NULL, 0 },
		{ FUSE_SETXATTR, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.x", 7 },
		{ FUSE_REMOVEXATTR, 0, "user.x", 7 },
		{ FUSE_CREATE, sizeof(struct fuse_create_in), "n", 2 },
		{ FUSE_TMPFILE, sizeof(struct fuse_create_in), "/", 2 },
		{ FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), NULL, 0 },
		{ FUSE_COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in), NULL, 0 },
	};
	const uint32_t writing[] = { O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_ACCMODE };
	int64_t node = client_lookup(&client, 1, "a");

	assert_refused(0, attempts, ARRAY_SIZE(attempts), -EROFS);
	for (size_t i = 0; i < ARRAY_SIZE(writing); i++) {
		assert_int_equal(client_open(&client, node, writing[i]), 0);
		assert_int_equal(client.header.error, -EROFS);
	}
	assert_true(client_open(&client, node, O_RDONLY) != 0);
	assert_contents(in_tree(&scratch, "a"), "contents");
}

/* Numbers that nobody gave out, of the other kind, and of what is gone. */
static void test_numbers(void **state)
{
	const uint64_t numbers[] = { 0, 2, 77, 1U << 20, UINT32_MAX, UINT64_MAX };
	const struct fuse_getattr_in in = { 0 };
	uint64_t handle;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_int_equal(
			client_call(&client, 0, FUSE_GETATTR, numbers[i], &in, sizeof(in), NULL, 0),
			-ESTALE);
		assert_int_equal(client_read(&client, numbers[i], 0, 100), -EBADF);
		assert_int_equal(client_lookup(&client, numbers[i], "a"), -ESTALE);
	}
	handle = client_open(&client, client_lookup(&client, 1, "a"), O_RDONLY);
	for (unsigned int i = 0; i < 2; i++) {
		const struct fuse_release_in release = { .fh = handle };

		assert_int_equal(client_call(&client, 0, FUSE_RELEASE, 1, &release, sizeof(release),
					     NULL, 0),
				 0);
		assert_int_equal(client_read(&client, handle, 0, 100), -EBADF);
	}
	/* The next one has another number, though it is in the same place. */
	assert_int_not_equal(client_open(&client, client_lookup(&client, 1, "a"), O_RDONLY),
			     handle);
	assert_int_equal(client_read(&client, handle, 0, 100), -EBADF);
	assert_int_equal(client_read(&client,
				     client_open(&client, client_lookup(&client, 1, "a"), O_RDONLY),
				     0, UINT32_MAX),
			 -EINVAL);
}

static void test_ids(void **state)
{
	uint64_t node, handle;

	client.uid = (uint32_t)-1;
	assert_int_equal(client_create(&client, 1, "x", O_RDWR, 0600, &node, &handle), -EINVAL);
	client.uid = 0;
	client.gid = (uint32_t)-1;
	assert_int_equal(client_create(&client, 1, "x", O_RDWR, 0600, &node, &handle), -EINVAL);
	client.gid = 0;
	assert_int_equal(client_lookup(&client, 1, "x"), -ENOENT);
	assert_int_equal(client_create(&client, 1, "x", O_RDWR, 0600, &node, &handle), 0);
}

static void test_unknown_operations(void **state)
{
	const uint32_t opcodes[] = { 0,         7,           19,        FUSE_IOCTL,
				     FUSE_POLL, FUSE_ACCESS, FUSE_BMAP, FUSE_SETUPMAPPING,
				     52,        4096,        UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++)
		assert_int_equal(client_call(&client, 0, opcodes[i], 1, NULL, 0, NULL, 0), -ENOSYS);
	/* Structures that are cut short or too long. */
	assert_int_equal(client_call(&client, 0, FUSE_GETATTR, 1, "1234", 4, NULL, 0), -EINVAL);
	assert_int_equal(client_call(&client, 0, FUSE_STATFS, 1, "1234", 4, NULL, 0), -EINVAL);
	const struct fuse_write_in in = { .size = 100 };

	assert_int_equal(client_call(&client, 0, FUSE_WRITE, 1, &in, sizeof(in), "1234", 4),
			 -EINVAL);
	assert_int_equal(client_call(&client, 0, FUSE_LOOKUP, 1, NULL, 0, "a", 2), 0);
}

/* A chain of the guest's that can't be right, made from a good one in this slot. */
struct bad_chain {
	const char *what;
	void (*make)(struct front *front, struct vring_desc *table, struct vring_desc *desc);
};

static void loop(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[0].next = 0;
}

static void loop_in_ring(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	*desc = (struct vring_desc){ table[0].addr, 40, VRING_DESC_F_NEXT, 0 };
}

static void next_outside(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[0].next = 2;
}

static void nowhere(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[0].addr = 0;
}

static void over_the_end(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[1].addr = FRONT_GUEST + FRONT_SIZE - 100;
}

static void wrapping(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[1].addr = UINT64_MAX - 8;
	table[1].len = 64;
}

static void table_nowhere(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	desc->addr = UINT64_MAX - 15;
}

static void table_cut(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	desc->len = 24;
}

static void table_empty(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	desc->len = 0;
}

static void table_long(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	desc->len = UINT32_MAX & ~15U;
}

static void table_in_table(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[0].flags |= VRING_DESC_F_INDIRECT;
}

static void read_behind_written(struct front *front, struct vring_desc *table,
				struct vring_desc *desc)
{
	table[0].flags |= VRING_DESC_F_WRITE;
	table[1].flags = 0;
}

static void no_header(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[0].len = sizeof(struct fuse_in_header) - 1;
}

static void other_length(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[0].len++;
}

static void too_long(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	table[0].len = MESSAGE_MAX + 1;
}

static void too_many_at_once(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	front->queues[FRONT_REQUESTS].avail->idx += FRONT_SLOTS + 1;
}

static void head_outside(struct front *front, struct vring_desc *table, struct vring_desc *desc)
{
	front_offer(front, FRONT_REQUESTS, FRONT_SLOTS);
}

/* Each ends the server, which says so. */
static void test_chains(void **state)
{
	const struct bad_chain chains[] = {
		{ "a loop in a table", loop },
		{ "a loop in the ring", loop_in_ring },
		{ "a next one outside", next_outside },
		{ "an address outside", nowhere },
		{ "a piece over the end", over_the_end },
		{ "a piece that wraps", wrapping },
		{ "a table outside", table_nowhere },
		{ "half a descriptor", table_cut },
		{ "no descriptor", table_empty },
		{ "a table without end", table_long },
		{ "a table in a table", table_in_table },
		{ "a message behind its answer", read_behind_written },
		{ "no header", no_header },
		{ "another length", other_length },
		{ "a long message", too_long },
		{ "more than the ring has", too_many_at_once },
		{ "a head outside", head_outside },
	};

	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		struct vring_desc *table, *desc;
		struct client bad;

		client_start(&bad, (const char *[]){ "rw", scratch.tree, NULL });
		table = front_table(&bad.front, FRONT_REQUESTS, 0);
		desc = bad.front.queues[FRONT_REQUESTS].desc;
		/* A good one of each operation first, so that slot 0 is free and filled. */
		assert_int_equal(client_call(&bad, 0, FUSE_STATFS, 1, NULL, 0, NULL, 0), 0);
		chains[i].make(&bad.front, table, desc);
		bad.front.queues[FRONT_REQUESTS].taken[0] = true;
		front_offer(&bad.front, FRONT_REQUESTS, 0);
		if (client_receive(&bad) || client_stop(&bad) != 1)
			fail_msg("%s", chains[i].what);
	}
}

/* An answer finds less room than it needs, or none: that is an error, and nothing else happens. */
static void test_little_room(void **state)
{
	const uint32_t rooms[] = { 0, 1, 15, 16, 17, 100 };
	const struct fuse_read_in read_in = {
		.fh = client_open(&client, client_lookup(&client, 1, "a"), O_RDONLY),
		.size = 100,
	};
	struct front *front = &client.front;

	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		struct {
			struct fuse_in_header header;
			struct fuse_read_in in;
		} *message = (void *)front_message(front, FRONT_REQUESTS, 0);
		uint8_t *answer = front_answer(front, FRONT_REQUESTS, 0);
		uint32_t length = 0;

		for (unsigned int k = 0; k < 2; k++) {
			*message = (typeof(*message)){
				.header = { .len = k ? 40 : 80,
					    .opcode = k ? FUSE_STATFS : FUSE_READ,
					    .nodeid = client_node(0, 1) },
				.in = read_in,
			};
			memset(answer, 'x', 200);
			front_send(front, FRONT_REQUESTS, 0, message->header.len, rooms[i]);
			assert_int_equal(front_receive(front, FRONT_REQUESTS, &length), 0);
			assert_true(length <= rooms[i]);
			assert_true(rooms[i] < 16 ? length == 0 : length >= 16);
			assert_int_equal(answer[rooms[i]], 'x');
		}
	}
	/* A file of eight bytes, of which there is room for one. */
	assert_int_equal(client_read(&client, read_in.fh, 0, 100), 0);
	assert_int_equal(client.size, 8);
}

/* QEMU leaves in mid-message. */
static void test_cut_off(void **state)
{
	const uint32_t half[2] = { VHOST_SET_FEATURES, VHOST_VERSION };
	struct client leaving;

	client_start(&leaving, (const char *[]){ "rw", scratch.tree, NULL });
	assert_int_equal(write(leaving.front.socket, half, sizeof(half)), sizeof(half));
	assert_int_equal(client_stop(&leaving), 0);
}

/* A guest that asks for as much as there can be at once, and looks at no answer before. */
static void test_never_reading(void **state)
{
	const struct fuse_read_in in = { .size = MESSAGE_DATA_MAX,
					 .fh = client_open(&client, client_lookup(&client, 1, "a"),
							   O_RDONLY) };
	unsigned int sent = 0;

	assert_int_equal(truncate(in_tree(&scratch, "a"), 1 << 20), 0);
	for (; front_find_slot(&client.front, FRONT_REQUESTS) >= 0; sent++)
		(void)client_send(&client, 0, FUSE_READ, 1, &in, sizeof(in), NULL, 0);
	assert_int_equal(sent, FRONT_SLOTS);
	for (unsigned int i = 0; i < sent; i++) {
		assert_true(client_receive(&client));
		assert_int_equal(client.size, MESSAGE_DATA_MAX);
	}
}

/* What goes from one share to another, by numbers. */
static void test_other_shares(void **state)
{
	const struct fuse_open_in open_in = { .flags = O_RDWR };
	const struct fuse_getattr_in getattr_in = { 0 };
	struct fuse_copy_file_range_in copy = { .len = 4 };
	struct fuse_rename2_in rename_in = { .newdir = client_node(1, 1) };
	struct fuse_link_in link_in;
	struct fuse_read_in read_in = { .size = 100 };
	struct client two;
	int64_t node;

	client_start(&two, (const char *[]){ "rw", scratch.tree, "ro", scratch.tree, NULL });
	node = client_lookup(&two, 1, "a");
	link_in.oldnodeid = (uint64_t)node;
	assert_int_equal(client_name(&two, 1, FUSE_LINK, 1, &link_in, sizeof(link_in), "b"),
			 -EROFS);
	assert_int_equal(
		client_call(&two, 0, FUSE_RENAME2, 1, &rename_in, sizeof(rename_in), "a\0b", 4),
		-EXDEV);
	link_in.oldnodeid = client_node(1, 1);
	assert_int_equal(client_name(&two, 0, FUSE_LINK, 1, &link_in, sizeof(link_in), "b"),
			 -EXDEV);
	read_in.fh = copy.fh_in = copy.fh_out = client_open(&two, node, O_RDWR);
	copy.nodeid_out = client_node(1, 1);
	assert_int_equal(client_call(&two, 0, FUSE_COPY_FILE_RANGE, (uint64_t)node, &copy,
				     sizeof(copy), NULL, 0),
			 -EXDEV);
	/* A handle of the other's, a share that is not there, a node of the mount's own. */
	assert_int_equal(client_call(&two, 1, FUSE_READ, 1, &read_in, sizeof(read_in), NULL, 0),
			 -EBADF);
	assert_int_equal(
		client_call(&two, 2, FUSE_GETATTR, 1, &getattr_in, sizeof(getattr_in), NULL, 0),
		-ESTALE);
	assert_int_equal(client_call(&two, CLIENT_MOUNT, FUSE_GETATTR, 2, &getattr_in,
				     sizeof(getattr_in), NULL, 0),
			 -ESTALE);
	/* The one that is read-only stays so by its own number. */
	assert_int_equal(client_name(&two, 1, FUSE_LOOKUP, 1, NULL, 0, "a"), 0);
	node = (int64_t)((const struct fuse_entry_out *)two.data)->nodeid;
	assert_int_equal(
		client_call(&two, 0, FUSE_OPEN, (uint64_t)node, &open_in, sizeof(open_in), NULL, 0),
		-EROFS);
	assert_int_equal(client_stop(&two), 0);
	assert_contents(in_tree(&scratch, "a"), "contents");
}

/* The mount's root shows the shares, and can do nothing else. */
static void test_mount_root(void **state)
{
	const char *const names[] = { "1", "00", "-1", "0x0", " 0", "a", "18446744073709551616" };
	const struct fuse_entry_out *entry = (const void *)client.data;
	const struct fuse_read_in read_in = { .size = 4096 };
	static const struct attempt attempts[] = {
		{ FUSE_SETATTR, sizeof(struct fuse_setattr_in), NULL, 0 },
		{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in), "n", 2 },
		{ FUSE_UNLINK, 0, "0", 2 },
		{ FUSE_RMDIR, 0, "0", 2 },
		{ FUSE_RENAME2, sizeof(struct fuse_rename2_in), "0\0b", 4 },
		{ FUSE_CREATE, sizeof(struct fuse_create_in), "n", 2 },
		{ FUSE_OPEN, sizeof(struct fuse_open_in), NULL, 0 },
		{ FUSE_READ, sizeof(struct fuse_read_in), NULL, 0 },
		{ FUSE_SETLKW, sizeof(struct fuse_lk_in), NULL, 0 },
		{ FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in), NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(
			client_name(&client, CLIENT_MOUNT, FUSE_LOOKUP, 1, NULL, 0, names[i]),
			-ENOENT);
	assert_refused(CLIENT_MOUNT, attempts, ARRAY_SIZE(attempts), -EPERM);
	assert_int_equal(client_name(&client, CLIENT_MOUNT, FUSE_LOOKUP, 1, NULL, 0, "0"), 0);
	assert_int_equal(entry->nodeid, client_node(0, 1));
	assert_int_equal(entry->attr.flags, FUSE_ATTR_SUBMOUNT);
	assert_int_equal(client_call(&client, CLIENT_MOUNT, FUSE_READDIR, 1, &read_in,
				     sizeof(read_in), NULL, 0),
			 0);
	assert_int_equal(((const struct fuse_dirent *)client.data)->name[0], '0');
	assert_int_equal(client.size, FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + 1));
}

/* All that it may have open, and one more. Others of its files go on. */
static void test_too_many_open(void **state)
{
	const struct fuse_open_in in = { .flags = O_RDONLY };
	int64_t node = client_lookup(&client, 1, "a");
	uint64_t first = client_open(&client, node, O_RDONLY);
	unsigned int open = 1;

	while (client_call(&client, 0, FUSE_OPEN, (uint64_t)node, &in, sizeof(in), NULL, 0) == 0)
		open++;
	assert_true(client.header.error == -ENFILE || client.header.error == -EMFILE);
	assert_in_range(open, 500, 65536);
	assert_int_equal(client_read(&client, first, 0, 100), 0);
	const struct fuse_release_in release = { .fh = first };

	assert_int_equal(
		client_call(&client, 0, FUSE_RELEASE, 1, &release, sizeof(release), NULL, 0), 0);
	assert_true(client_open(&client, node, O_RDONLY) != 0);
}

/* The mount in the guest ends, and another one begins. */
static void test_destroy(void **state)
{
	int64_t node = client_lookup(&client, 1, "a");
	uint64_t handle = client_open(&client, node, O_RDONLY);

	assert_int_equal(client_call(&client, 0, FUSE_DESTROY, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(client_read(&client, handle, 0, 100), -EBADF);
	assert_int_equal(client_open(&client, node, O_RDONLY), 0);
	assert_int_equal(client_init(&client), 0);
	assert_true(client_lookup(&client, 1, "a") > 1);
}

/* The tree goes away on the host, under the guest's hands. */
static void test_vanished(void **state)
{
	struct cay_error err = { 0 };
	int64_t directory = client_lookup(&client, 1, "d");
	uint64_t node, handle;

	assert_int_equal(client_create(&client, 1, "x", O_RDWR, 0600, &node, &handle), 0);
	assert_ok(remove_tree(scratch.tree, &err));
	assert_int_equal(client_lookup(&client, 1, "a"), -ENOENT);
	/* What was found there a moment ago may be elsewhere: the guest's kernel looks anew. */
	assert_int_equal(client_lookup(&client, (uint64_t)directory, "y"), -ESTALE);
	assert_int_equal(
		client_create(&client, (uint64_t)directory, "y", O_RDWR, 0600, &node, &handle),
		-ESTALE);
	assert_int_equal(client_call(&client, 0, FUSE_STATFS, 1, NULL, 0, NULL, 0), 0);
}

/* The host's disk is full: the guest is told as a program on the host would be. */
static void test_full(void **state)
{
	_cleanup_free_ uint8_t *data = xcalloc(1, MESSAGE_DATA_MAX);
	struct fuse_write_in in = { .size = MESSAGE_DATA_MAX };
	struct client small;
	uint64_t node;
	int r;

	/* Mounts of this test's own. */
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("cay", in_tree(&scratch, "d"), "tmpfs", 0, "size=2m") < 0)
		skip();
	client_start(&small, (const char *[]){ "rw", in_tree(&scratch, "d"), NULL });
	assert_int_equal(client_create(&small, 1, "x", O_RDWR, 0600, &node, &in.fh), 0);
	do {
		r = client_call(&small, 0, FUSE_WRITE, node, &in, sizeof(in), data, in.size);
		in.offset += in.size;
	} while (r == 0 && in.offset < 10 * MIB);
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(client_stop(&small), 0);
	assert_int_equal(umount(in_tree(&scratch, "d")), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, start, stop),
		cmocka_unit_test_setup_teardown(test_symbolic_links, start, stop),
		cmocka_unit_test_setup_teardown(test_special_files, start, stop),
		cmocka_unit_test_setup_teardown(test_read_only, start_read_only, stop),
		cmocka_unit_test_setup_teardown(test_numbers, start, stop),
		cmocka_unit_test_setup_teardown(test_ids, start, stop),
		cmocka_unit_test_setup_teardown(test_unknown_operations, start, stop),
		cmocka_unit_test_setup_teardown(test_chains, start, stop),
		cmocka_unit_test_setup_teardown(test_little_room, start, stop),
		cmocka_unit_test_setup_teardown(test_other_shares, start, stop),
		cmocka_unit_test_setup_teardown(test_mount_root, start, stop),
		cmocka_unit_test_setup_teardown(test_cut_off, start, stop),
		cmocka_unit_test_setup_teardown(test_never_reading, start, stop),
		cmocka_unit_test_setup_teardown(test_too_many_open, start, stop),
		cmocka_unit_test_setup_teardown(test_destroy, start, stop),
		cmocka_unit_test_setup_teardown(test_vanished, start, stop),
		cmocka_unit_test_setup_teardown(test_full, start, stop),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("files-hostile", tests, NULL, NULL);
}
