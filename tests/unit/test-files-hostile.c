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

/* Every operation that changes something, on a share that may not change. */
static void test_read_only(void **state)
{
	static const uint32_t nothing[64]; /* any structure's beginning */
	const struct {
		uint32_t opcode;
		size_t in_size;
		const char *tail;
		size_t tail_size;
	} messages[] = {
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

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		assert_int_equal(client_call(&client, 0, messages[i].opcode, 1, nothing,
					     messages[i].in_size, messages[i].tail,
					     messages[i].tail_size),
				 -EROFS);
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

/* What is no frame ends the stream, and the program says so. */
static void test_frames(void **state)
{
	struct fuse_in_header header = { .len = sizeof(header), .opcode = FUSE_STATFS };
	const struct {
		uint32_t size, share;
		size_t length;
	} frames[] = {
		{ sizeof(header), 1, sizeof(header) }, /* a share that is not there */
		{ sizeof(header), UINT32_MAX, sizeof(header) },
		{ MESSAGE_MAX + 1, 0, sizeof(header) },
		{ UINT32_MAX, 0, sizeof(header) },
		{ sizeof(header) - 1, 0, sizeof(header) - 1 },
		{ 0, 0, 0 },
		{ sizeof(header), 0, sizeof(header) }, /* whose inner length is another */
	};

	header.len = 4711;
	for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
		struct client bad;

		client_start(&bad, (const char *[]){ "rw", scratch.tree, NULL });
		client_send_raw(&bad, frames[i].size, frames[i].share, &header, frames[i].length);
		assert_false(client_receive(&bad));
		assert_int_equal(client_stop(&bad), 1);
	}
}

/* A guest that leaves in mid-message. */
static void test_cut_off(void **state)
{
	struct client leaving;

	client_start(&leaving, (const char *[]){ "rw", scratch.tree, NULL });
	client_send_raw(&leaving, 1000, 0, "short", 5);
	assert_int_equal(client_stop(&leaving), 0);
}

/* A guest that asks and never reads: it waits, and the others' programs live on. */
static void test_never_reading(void **state)
{
	const struct fuse_read_in in = { .size = MESSAGE_DATA_MAX,
					 .fh = client_open(&client, client_lookup(&client, 1, "a"),
							   O_RDONLY) };
	struct pollfd writable = { .fd = client.stream, .events = POLLOUT };
	unsigned int sent = 0;

	assert_int_equal(truncate(in_tree(&scratch, "a"), 1 << 20), 0);
	for (; poll(&writable, 1, 500) == 1 && sent < 100000; sent++)
		(void)client_send(&client, 0, FUSE_READ, 1, &in, sizeof(in), NULL, 0);
	assert_true(sent < 100000);
	for (unsigned int i = 0; i < sent; i++) {
		assert_true(client_receive(&client));
		assert_int_equal(client.size, MESSAGE_DATA_MAX);
	}
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
	assert_int_equal(client_init(&client, 0), 0);
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
		cmocka_unit_test_setup_teardown(test_frames, start, stop),
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
