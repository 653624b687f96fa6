/* SPDX-License-Identifier: Apache-2.0 */
/* What honest guests ask of a real cay-files, message by message. */
#include "files-client.h"

#include <sys/file.h>
#include <sys/xattr.h>

static struct client client;
static struct scratch scratch;

static int start(void **state)
{
	scratch_make(&scratch);
	client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
	return 0;
}

static int stop(void **state)
{
	assert_int_equal(client_stop(&client), 0);
	scratch_remove(&scratch);
	return 0;
}

static void test_contents(void **state)
{
	uint64_t node, handle, again;

	assert_int_equal(client_create(&client, 1, "a", O_RDWR, 0640, &node, &handle), 0);
	assert_int_equal(client_write(&client, handle, 0, "hello", 0), 0);
	assert_contents(in_tree(&scratch, "a"), "hello");
	assert_int_equal(client_read(&client, handle, 1, 4096), 0);
	assert_int_equal(client.size, 4);
	assert_memory_equal(client.data, "ello", 4);
	/* Behind the end there is nothing, and that is no error. */
	assert_int_equal(client_read(&client, handle, 100, 4096), 0);
	assert_int_equal(client.size, 0);
	/* O_TRUNC comes with the open. */
	again = client_open(&client, (int64_t)node, O_WRONLY | O_TRUNC);
	assert_true(again != 0);
	assert_contents(in_tree(&scratch, "a"), "");
	/* Descriptors say what they are open for. */
	assert_int_equal(client_read(&client, again, 0, 10), -EBADF);
}

static int append(uint64_t handle, uint32_t write_flags, const char *text)
{
	const struct fuse_write_in in = {
		.fh = handle,
		.size = (uint32_t)strlen(text),
		.flags = O_WRONLY | O_APPEND,
		.write_flags = write_flags,
	};

	return client_call(&client, 0, FUSE_WRITE, 1, &in, sizeof(in), text, strlen(text));
}

/* Two who append lose nothing; a mapping that is written back goes where it belongs. */
static void test_append(void **state)
{
	uint64_t handle;

	put_file(&scratch, "log", "one\n");
	handle = client_open(&client, client_lookup(&client, 1, "log"), O_RDWR | O_APPEND);
	put_file(&scratch, "log", "one\ntwo\n");
	assert_int_equal(append(handle, 0, "three\n"), 0);
	assert_contents(in_tree(&scratch, "log"), "one\ntwo\nthree\n");
	assert_int_equal(append(handle, FUSE_WRITE_CACHE, "ONE"), 0);
	assert_contents(in_tree(&scratch, "log"), "ONE\ntwo\nthree\n");
}

static void test_unlinked_while_open(void **state)
{
	uint64_t node, handle;
	struct stat st;

	assert_int_equal(client_create(&client, 1, "a", O_RDWR, 0600, &node, &handle), 0);
	assert_int_equal(client_name(&client, 0, FUSE_UNLINK, 1, NULL, 0, "a"), 0);
	assert_int_equal(client_lookup(&client, 1, "a"), -ENOENT);
	assert_int_equal(client_write(&client, handle, 0, "still", 0), 0);
	assert_int_equal(client_setattr(&client, (int64_t)node,
					(struct fuse_setattr_in){ .valid = FATTR_SIZE | FATTR_MODE,
								  .size = 2,
								  .mode = 0644 }),
			 0);
	const struct fuse_attr_out *out = (const void *)client.data;

	assert_int_equal(out->attr.nlink, 0);
	assert_int_equal(out->attr.size, 2);
	assert_int_equal(out->attr.mode, S_IFREG | 0644);
	assert_int_equal(client_read(&client, handle, 0, 10), 0);
	assert_int_equal(client.size, 2);
	/* The name is another file's now; the node stays what it was. */
	put_file(&scratch, "a", "other");
	assert_int_equal(client_call(&client, 0, FUSE_GETATTR, node, &(struct fuse_getattr_in){ 0 },
				     sizeof(struct fuse_getattr_in), NULL, 0),
			 0);
	assert_int_equal(stat(in_tree(&scratch, "a"), &st), 0);
	assert_int_not_equal(out->attr.ino, st.st_ino);
}

static int rename_to(uint64_t from, const char *name, uint64_t to, const char *second,
		     uint32_t flags)
{
	const struct fuse_rename2_in in = { .newdir = client_node(0, to), .flags = flags };
	char names[512];
	size_t size = (size_t)snprintf(names, sizeof(names), "%s%c%s", name, 0, second) + 1;

	return client_call(&client, 0, FUSE_RENAME2, from, &in, sizeof(in), names, size);
}

static void test_renames(void **state)
{
	uint64_t handle;
	int64_t directory;

	put_file(&scratch, "a", "A");
	put_file(&scratch, "b", "B");
	assert_int_equal(mkdir(in_tree(&scratch, "d"), 0755), 0);
	directory = client_lookup(&client, 1, "d");
	handle = client_open(&client, client_lookup(&client, 1, "b"), O_RDONLY);
	assert_int_equal(rename_to(1, "a", 1, "b", 1 /* RENAME_NOREPLACE */), -EEXIST);
	assert_int_equal(rename_to(1, "a", 1, "b", 2 /* RENAME_EXCHANGE */), 0);
	assert_contents(in_tree(&scratch, "b"), "A");
	/* RENAME_WHITEOUT would make a device. */
	assert_int_equal(rename_to(1, "a", 1, "b", 4), -EINVAL);
	/* Over one that is open: who has it open reads on in it. */
	assert_int_equal(rename_to(1, "b", 1, "a", 0), 0);
	assert_int_equal(client_read(&client, handle, 0, 10), 0);
	assert_memory_equal(client.data, "B", 1);
	assert_int_equal(rename_to(1, "a", (uint64_t)directory, "c", 0), 0);
	assert_contents(in_tree(&scratch, "d/c"), "A");
	assert_int_equal(client_name(&client, 0, FUSE_RMDIR, 1, NULL, 0, "d"), -ENOTEMPTY);
}

static void test_links(void **state)
{
	const char link[] = "there\0../secret";
	struct fuse_link_in in;
	const struct fuse_entry_out *entry = (const void *)client.data;
	uint64_t inode;

	put_file(&scratch, "a", "A");
	in.oldnodeid = (uint64_t)client_lookup(&client, 1, "a");
	inode = entry->attr.ino;
	assert_int_equal(client_name(&client, 0, FUSE_LINK, 1, &in, sizeof(in), "b"), 0);
	/* One file, one node. */
	assert_int_equal(entry->nodeid, in.oldnodeid);
	assert_int_equal(entry->attr.nlink, 2);
	assert_int_equal(entry->attr.ino, inode);
	/* A symbolic link says what it says, and may itself have a second name. */
	assert_int_equal(client_call(&client, 0, FUSE_SYMLINK, 1, NULL, 0, link, sizeof(link)), 0);
	assert_true(S_ISLNK(entry->attr.mode));
	in.oldnodeid = entry->nodeid;
	assert_int_equal(client_name(&client, 0, FUSE_LINK, 1, &in, sizeof(in), "there2"), 0);
	assert_int_equal(entry->nodeid, in.oldnodeid);
	assert_int_equal(client_call(&client, 0, FUSE_READLINK, in.oldnodeid, NULL, 0, NULL, 0), 0);
	assert_int_equal(client.size, 9);
	assert_memory_equal(client.data, "../secret", 9);
}

static void test_attributes(void **state)
{
	const struct fuse_attr_out *out = (const void *)client.data;
	struct stat st;
	int64_t node;

	put_file(&scratch, "a", "A");
	node = client_lookup(&client, 1, "a");
	assert_int_equal(client_setattr(&client, node,
					(struct fuse_setattr_in){
						.valid = FATTR_MTIME | FATTR_ATIME_NOW,
						.mtime = 1000000000,
						.mtimensec = 123456789,
					}),
			 0);
	assert_int_equal(out->attr.mtime, 1000000000);
	assert_int_equal(out->attr.mtimensec, 123456789);
	assert_int_equal(stat(in_tree(&scratch, "a"), &st), 0);
	assert_int_equal(st.st_mtim.tv_nsec, 123456789);
	assert_true(st.st_atim.tv_sec > 1000000000);
	/* utimensat(2)'s own values in there are no way to something else. */
	assert_int_equal(client_setattr(&client, node,
					(struct fuse_setattr_in){ .valid = FATTR_MTIME,
								  .mtimensec = UTIME_OMIT }),
			 -EINVAL);
	if (geteuid() == 0) {
		assert_int_equal(
			client_setattr(&client, node,
				       (struct fuse_setattr_in){ .valid = FATTR_UID | FATTR_GID,
								 .uid = 0xfffffffe,
								 .gid = 70000 }),
			0);
		assert_int_equal(stat(in_tree(&scratch, "a"), &st), 0);
		assert_int_equal(st.st_uid, 0xfffffffe);
		assert_int_equal(st.st_gid, 70000);
	}
	assert_int_equal(
		client_setattr(&client, node,
			       (struct fuse_setattr_in){ .valid = FATTR_UID, .uid = (uint32_t)-1 }),
		-EINVAL);
}

/* A directory of so many entries that it takes several replies, and a position to come back to. */
static void test_listing(void **state)
{
	const struct fuse_open_in open_in = { .flags = O_RDONLY };
	struct fuse_read_in in = { .size = 4096 };
	uint64_t third = 0;
	size_t count = 0;

	for (unsigned int i = 0; i < 500; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "file-%03u", i);
		put_file(&scratch, name, "");
	}
	assert_int_equal(
		client_call(&client, 0, FUSE_OPENDIR, 1, &open_in, sizeof(open_in), NULL, 0), 0);
	in.fh = ((const struct fuse_open_out *)client.data)->fh;
	for (;;) {
		assert_int_equal(client_call(&client, 0, FUSE_READDIR, 1, &in, sizeof(in), NULL, 0),
				 0);
		assert_true(client.size <= in.size);
		if (client.size == 0)
			break;
		for (size_t at = 0; at < client.size;) {
			const struct fuse_dirent *entry = (const void *)(client.data + at);

			count++;
			if (count == 3)
				third = entry->off;
			in.offset = entry->off;
			at += FUSE_DIRENT_SIZE(entry);
		}
	}
	assert_int_equal(count, 502);
	in.offset = third;
	assert_int_equal(client_call(&client, 0, FUSE_READDIRPLUS, 1, &in, sizeof(in), NULL, 0), 0);
	assert_true(client.size > 20 * sizeof(struct fuse_direntplus));
	/* A file's handle is no directory's. */
	in.fh = client_open(&client, client_lookup(&client, 1, "file-001"), O_RDONLY);
	assert_int_equal(client_call(&client, 0, FUSE_READDIR, 1, &in, sizeof(in), NULL, 0),
			 -EBADF);
}

static int set_xattr(int64_t node, const char *name, const char *value, uint32_t flags)
{
	const struct {
		uint32_t size, flags;
	} in = { (uint32_t)strlen(value), flags };
	char tail[256];
	size_t size = (size_t)snprintf(tail, sizeof(tail), "%s%c%s", name, 0, value);

	return client_call(&client, 0, FUSE_SETXATTR, (uint64_t)node, &in, sizeof(in), tail, size);
}

static void test_xattrs(void **state)
{
	struct fuse_getxattr_in in = { .size = 100 };
	char value[16] = { 0 };
	int64_t node;

	put_file(&scratch, "a", "");
	node = client_lookup(&client, 1, "a");
	assert_int_equal(set_xattr(node, "user.x", "one", 0), 0);
	assert_int_equal(set_xattr(node, "user.x", "one", XATTR_CREATE), -EEXIST);
	assert_int_equal(getxattr(in_tree(&scratch, "a"), "user.x", value, sizeof(value)), 3);
	assert_string_equal(value, "one");
	assert_int_equal(
		client_name(&client, 0, FUSE_GETXATTR, (uint64_t)node, &in, sizeof(in), "user.x"),
		0);
	assert_int_equal(client.size, 3);
	in.size = 2;
	assert_int_equal(
		client_name(&client, 0, FUSE_GETXATTR, (uint64_t)node, &in, sizeof(in), "user.x"),
		-ERANGE);
	in.size = 0;
	assert_int_equal(
		client_call(&client, 0, FUSE_LISTXATTR, (uint64_t)node, &in, sizeof(in), NULL, 0),
		0);
	assert_int_equal(((const struct fuse_getxattr_out *)client.data)->size, 7);
	assert_int_equal(
		client_name(&client, 0, FUSE_REMOVEXATTR, (uint64_t)node, NULL, 0, "user.x"), 0);
	assert_int_equal(
		client_name(&client, 0, FUSE_GETXATTR, (uint64_t)node, &in, sizeof(in), "user.x"),
		-ENODATA);
}

/* As on any local file system: who may not keep them loses set-id bits by writing. */
static void test_set_id_bits(void **state)
{
	struct stat st;
	uint64_t handle;

	if (geteuid() != 0)
		skip();
	put_file(&scratch, "a", "");
	assert_int_equal(chmod(in_tree(&scratch, "a"), 06755), 0);
	handle = client_open(&client, client_lookup(&client, 1, "a"), O_WRONLY);
	assert_int_equal(client_write(&client, handle, 0, "x", 0), 0);
	assert_int_equal(stat(in_tree(&scratch, "a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 06755);
	assert_int_equal(client_write(&client, handle, 0, "x", FUSE_WRITE_KILL_SUIDGID), 0);
	assert_int_equal(stat(in_tree(&scratch, "a"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
}

/* The same where the guest's kernel has no word for it: who asks decides. */
static void test_set_id_bits_by_owner(void **state)
{
	struct fuse_fallocate_in allocate = { .length = 4096 };
	struct fuse_copy_file_range_in copy = { .off_out = 100, .len = 4 };
	struct stat st;
	uint64_t node;

	if (geteuid() != 0)
		skip();
	put_file(&scratch, "a", "contents");
	node = copy.nodeid_out = (uint64_t)client_lookup(&client, 1, "a");
	allocate.fh = copy.fh_in = copy.fh_out = client_open(&client, (int64_t)node, O_RDWR);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(chmod(in_tree(&scratch, "a"), 06755), 0);
		client.uid = i < 2 ? 0 : 1234;
		if (i % 2 == 0)
			assert_int_equal(client_call(&client, 0, FUSE_FALLOCATE, node, &allocate,
						     sizeof(allocate), NULL, 0),
					 0);
		else
			assert_int_equal(client_call(&client, 0, FUSE_COPY_FILE_RANGE, node, &copy,
						     sizeof(copy), NULL, 0),
					 0);
		client.uid = 0;
		assert_int_equal(stat(in_tree(&scratch, "a"), &st), 0);
		assert_int_equal(st.st_mode & 07777, i < 2 ? 06755 : 0755);
	}
}

/* What is made belongs to who asked, with their umask; a set-gid directory gives its group on. */
static void test_owners(void **state)
{
	const struct fuse_mkdir_in directory = { .mode = 0777, .umask = 022 };
	const struct fuse_mknod_in fifo = { .mode = S_IFIFO | 0666, .umask = 077 };
	const char link[] = "l\0x";
	uint64_t node, handle;
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(in_tree(&scratch, "shared"), 0755), 0);
	assert_int_equal(chown(in_tree(&scratch, "shared"), 0, 4242), 0);
	assert_int_equal(chmod(in_tree(&scratch, "shared"), 02700), 0);
	/* The guest's kernel let them in, by a group of theirs that is not known here. */
	const uint64_t shared = (uint64_t)client_lookup(&client, 1, "shared");

	client.uid = 1234;
	client.gid = 5678;
	assert_int_equal(client_create(&client, 1, "a", O_RDWR, 0666, &node, &handle), 0);
	assert_int_equal(client_create(&client, shared, "b", O_RDWR, 0666, &node, &handle), 0);
	assert_int_equal(client_name(&client, 0, FUSE_MKDIR, 1, &directory, sizeof(directory), "d"),
			 0);
	assert_int_equal(client_name(&client, 0, FUSE_MKNOD, 1, &fifo, sizeof(fifo), "f"), 0);
	assert_int_equal(client_call(&client, 0, FUSE_SYMLINK, 1, NULL, 0, link, sizeof(link)), 0);
	client.uid = client.gid = 0;
	for (const char *const *name = (const char *[]){ "a", "d", "f", "l", NULL }; *name;
	     name++) {
		assert_int_equal(lstat(in_tree(&scratch, *name), &st), 0);
		assert_int_equal(st.st_uid, 1234);
		assert_int_equal(st.st_gid, 5678);
	}
	assert_int_equal(stat(in_tree(&scratch, "shared/b"), &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4242);
	assert_int_equal(stat(in_tree(&scratch, "d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(stat(in_tree(&scratch, "f"), &st), 0);
	assert_int_equal(st.st_mode, S_IFIFO | 0600);
	/* It is root again afterwards. */
	assert_int_equal(client_create(&client, 1, "r", O_RDWR, 0600, &node, &handle), 0);
	assert_int_equal(stat(in_tree(&scratch, "r"), &st), 0);
	assert_int_equal(st.st_uid, 0);
}

static void test_holes(void **state)
{
	struct fuse_lseek_in seek = { .whence = SEEK_DATA };
	struct fuse_fallocate_in allocate = { .mode = 3 /* punch a hole */, .length = 65536 };
	struct fuse_copy_file_range_in copy = { .len = 4 };
	uint64_t node, handle;

	assert_int_equal(client_create(&client, 1, "a", O_RDWR, 0600, &node, &handle), 0);
	assert_int_equal(client_write(&client, handle, 0, "data", 0), 0);
	assert_int_equal(client_write(&client, handle, 1 << 20, "more", 0), 0);
	allocate.fh = seek.fh = copy.fh_in = copy.fh_out = handle;
	assert_int_equal(
		client_call(&client, 0, FUSE_FALLOCATE, node, &allocate, sizeof(allocate), NULL, 0),
		0);
	assert_int_equal(client_call(&client, 0, FUSE_LSEEK, node, &seek, sizeof(seek), NULL, 0),
			 0);
	assert_int_equal(((const struct fuse_lseek_out *)client.data)->offset, 1 << 20);
	/* Only these two ways to seek are the server's. */
	seek.whence = SEEK_END;
	assert_int_equal(client_call(&client, 0, FUSE_LSEEK, node, &seek, sizeof(seek), NULL, 0),
			 -EINVAL);
	copy.off_in = 1 << 20;
	copy.nodeid_out = node;
	assert_int_equal(
		client_call(&client, 0, FUSE_COPY_FILE_RANGE, node, &copy, sizeof(copy), NULL, 0),
		0);
	assert_int_equal(client_read(&client, handle, 0, 4), 0);
	assert_memory_equal(client.data, "more", 4);
}

/* Cached data stays over an open, except where a change within the clock's tick can't be seen. */
static void test_cache_over_opens(void **state)
{
	const struct fuse_open_out *out = (const void *)client.data;
	const struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	int64_t node;

	put_file(&scratch, "a", "A");
	assert_int_equal(utimensat(AT_FDCWD, in_tree(&scratch, "a"), old, 0), 0);
	node = client_lookup(&client, 1, "a");
	(void)client_open(&client, node, O_RDONLY);
	assert_int_equal(out->open_flags, FOPEN_KEEP_CACHE);
	/* Changed just now: what the guest reads may be changed again without a trace. */
	put_file(&scratch, "a", "B");
	assert_int_equal(client_lookup(&client, 1, "a"), node);
	(void)client_open(&client, node, O_RDONLY);
	assert_int_equal(out->open_flags, 0);
	/* Long ago, and nothing read since. */
	assert_int_equal(utimensat(AT_FDCWD, in_tree(&scratch, "a"), old, 0), 0);
	assert_int_equal(client_lookup(&client, 1, "a"), node);
	(void)client_open(&client, node, O_RDONLY);
	assert_int_equal(out->open_flags, FOPEN_KEEP_CACHE);
}

static void assert_validity(const char *name, uint64_t entry_ns, uint64_t attributes_ns)
{
	const struct fuse_entry_out *entry = (const void *)client.data;

	assert_true(client_lookup(&client, 1, name) > 0);
	assert_int_equal(entry->entry_valid * 1000000000 + entry->entry_valid_nsec, entry_ns);
	assert_int_equal(entry->attr_valid * 1000000000 + entry->attr_valid_nsec, attributes_ns);
}

/* Files are asked for by every path; only a "cached" share is believed for a second. */
static void test_validity(void **state)
{
	struct scratch own;

	scratch_make(&own);
	put_file(&own, "a", "");
	assert_int_equal(mkdir(in_tree(&own, "d"), 0755), 0);
	client_start(&client, (const char *[]){ "rw", own.tree, NULL });
	assert_validity("a", 0, 1);
	assert_validity("d", 1, 1);
	assert_int_equal(client_lookup(&client, 1, "none"), -ENOENT);
	assert_int_equal(client_stop(&client), 0);
	client_start(&client, (const char *[]){ "rw,cached", own.tree, NULL });
	assert_validity("a", 1000000000, 1000000000);
	assert_validity("d", 1000000000, 1000000000);
	assert_int_equal(client_lookup(&client, 1, "none"), 0);
	assert_int_equal(client_stop(&client), 0);
	scratch_remove(&own);
}

static void test_forgotten(void **state)
{
	const struct fuse_forget_in one = { .nlookup = 1 };
	const struct fuse_batch_forget_in batch = { .count = 2 };
	struct fuse_forget_one forgets[2] = { { client_node(0, 1), 1000 } };
	int64_t node;

	put_file(&scratch, "a", "A");
	node = client_lookup(&client, 1, "a");
	assert_int_equal(client_lookup(&client, 1, "a"), node);
	(void)client_send(&client, 0, FUSE_FORGET, (uint64_t)node, &one, sizeof(one), NULL, 0);
	const struct fuse_getattr_in attributes = { 0 };

	assert_int_equal(client_call(&client, 0, FUSE_GETATTR, (uint64_t)node, &attributes,
				     sizeof(attributes), NULL, 0),
			 0);
	/* More than it has, the root's too: that one stays. */
	forgets[1] = (struct fuse_forget_one){ (uint64_t)node, 1000 };
	(void)client_send(&client, 0, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), forgets,
			  sizeof(forgets));
	/* Messages may overtake each other inside; the node goes soon. */
	while (client_call(&client, 0, FUSE_GETATTR, (uint64_t)node, &attributes,
			   sizeof(attributes), NULL, 0) == 0)
		;
	assert_int_equal(client.header.error, -ESTALE);
	assert_int_equal(
		client_call(&client, 0, FUSE_GETATTR, 1, &attributes, sizeof(attributes), NULL, 0),
		0);
	assert_true(client_lookup(&client, 1, "a") > 1);
}

/* The share is one file. */
static void test_file_share(void **state)
{
	struct scratch own;
	uint64_t handle;

	scratch_make(&own);
	put_file(&own, "conf", "A");
	client_start(&client, (const char *[]){ "rw", in_tree(&own, "conf"), NULL });
	handle = client_open(&client, 1, O_RDWR);
	assert_true(handle != 0);
	assert_int_equal(client_write(&client, handle, 1, "B", 0), 0);
	assert_contents(in_tree(&own, "conf"), "AB");
	assert_int_equal(client_lookup(&client, 1, "conf"), -ENOTDIR);
	assert_int_equal(client_stop(&client), 0);
	scratch_remove(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_contents, start, stop),
		cmocka_unit_test_setup_teardown(test_append, start, stop),
		cmocka_unit_test_setup_teardown(test_unlinked_while_open, start, stop),
		cmocka_unit_test_setup_teardown(test_renames, start, stop),
		cmocka_unit_test_setup_teardown(test_links, start, stop),
		cmocka_unit_test_setup_teardown(test_attributes, start, stop),
		cmocka_unit_test_setup_teardown(test_listing, start, stop),
		cmocka_unit_test_setup_teardown(test_xattrs, start, stop),
		cmocka_unit_test_setup_teardown(test_set_id_bits_by_owner, start, stop),
		cmocka_unit_test_setup_teardown(test_set_id_bits, start, stop),
		cmocka_unit_test_setup_teardown(test_owners, start, stop),
		cmocka_unit_test_setup_teardown(test_holes, start, stop),
		cmocka_unit_test_setup_teardown(test_cache_over_opens, start, stop),
		cmocka_unit_test_setup_teardown(test_forgotten, start, stop),
		cmocka_unit_test(test_file_share),
		cmocka_unit_test(test_validity),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("files-server", tests, NULL, NULL);
}
