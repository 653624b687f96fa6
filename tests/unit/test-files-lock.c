/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of a guest's processes against each other, another guest's and the host's. */
#include "files-client.h"

#include <sys/file.h>

static struct client client, other;
static struct scratch scratch;

static int start(void **state)
{
	scratch_make(&scratch);
	put_file(&scratch, "a", "contents");
	client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
	client_start(&other, (const char *[]){ "rw", scratch.tree, NULL });
	return 0;
}

static int stop(void **state)
{
	assert_int_equal(client_stop(&client), 0);
	assert_int_equal(client_stop(&other), 0);
	scratch_remove(&scratch);
	return 0;
}

struct file {
	struct client *client;
	uint64_t node, handle;
};

static struct file open_file(struct client *in)
{
	struct file file = { .client = in };

	file.node = (uint64_t)client_lookup(in, 1, "a");
	file.handle = client_open(in, (int64_t)file.node, O_RDWR);
	return file;
}

static struct fuse_lk_in lock_in(const struct file *file, uint64_t owner, uint32_t type,
				 uint64_t first, uint64_t last)
{
	return (struct fuse_lk_in){
		.fh = file->handle,
		.owner = owner,
		.lk = { .start = first, .end = last, .type = type },
	};
}

static int call(const struct file *file, uint32_t opcode, const struct fuse_lk_in *in)
{
	return client_call(file->client, 0, opcode, file->node, in, sizeof(*in), NULL, 0);
}

static int set(const struct file *file, uint64_t owner, uint32_t type, uint64_t first,
	       uint64_t last)
{
	const struct fuse_lk_in in = lock_in(file, owner, type, first, last);

	return call(file, FUSE_SETLK, &in);
}

static int set_whole(const struct file *file, uint32_t type)
{
	struct fuse_lk_in in = lock_in(file, file->handle, type, 0, INT64_MAX);

	in.lk_flags = FUSE_LK_FLOCK;
	return call(file, FUSE_SETLK, &in);
}

static int host_lock(int fd, short type, off_t first, off_t length)
{
	struct flock lock = { .l_type = type, .l_start = first, .l_len = length };

	return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

static void test_ranges(void **state)
{
	struct file file = open_file(&client), theirs = open_file(&other);
	int fd = open(in_tree(&scratch, "a"), O_RDWR | O_CLOEXEC);
	struct fuse_lk_in in;

	assert_int_equal(set(&file, 1, F_WRLCK, 0, 9), 0);
	assert_int_equal(set(&file, 2, F_RDLCK, 9, 20), -EAGAIN);
	assert_int_equal(set(&file, 2, F_RDLCK, 10, 20), 0);
	assert_int_equal(set(&theirs, 1, F_WRLCK, 20, INT64_MAX), -EAGAIN);
	assert_int_equal(set(&theirs, 1, F_WRLCK, 21, INT64_MAX), 0);
	assert_int_equal(host_lock(fd, F_WRLCK, 5, 1), -EAGAIN);
	assert_int_equal(host_lock(fd, F_RDLCK, 10, 1), 0);
	assert_int_equal(set(&file, 2, F_WRLCK, 10, 10), -EAGAIN);
	/* Who is in the way, from where to where. */
	in = lock_in(&theirs, 3, F_WRLCK, 5, 5);
	assert_int_equal(call(&theirs, FUSE_GETLK, &in), 0);
	const struct fuse_lk_out *out = (const void *)other.data;

	assert_int_equal(out->lk.type, F_WRLCK);
	assert_int_equal(out->lk.start, 0);
	assert_int_equal(out->lk.end, 9);
	/* One's own is not. */
	in = lock_in(&file, 1, F_WRLCK, 5, 5);
	assert_int_equal(call(&file, FUSE_GETLK, &in), 0);
	assert_int_equal(((const struct fuse_lk_out *)client.data)->lk.type, F_UNLCK);
	/* A part given back; then all of it, with any descriptor that is closed. */
	assert_int_equal(set(&file, 1, F_UNLCK, 5, 5), 0);
	assert_int_equal(host_lock(fd, F_WRLCK, 5, 1), 0);
	const struct fuse_flush_in flush = { .lock_owner = 1 };

	assert_int_equal(
		client_call(&client, 0, FUSE_FLUSH, file.node, &flush, sizeof(flush), NULL, 0), 0);
	assert_int_equal(host_lock(fd, F_WRLCK, 0, 10), 0);
	(void)close(fd);
}

static void test_bad_ranges(void **state)
{
	struct file file = open_file(&client);

	assert_int_equal(set(&file, 1, F_WRLCK, 5, 4), -EINVAL);
	assert_int_equal(set(&file, 1, F_WRLCK, 0, UINT64_MAX), -EINVAL);
	assert_int_equal(set(&file, 1, 77, 0, 1), -EINVAL);
	/* What is not locked can be unlocked. */
	assert_int_equal(set(&file, 1, F_UNLCK, 0, INT64_MAX), 0);
}

static void test_whole_files(void **state)
{
	struct file file = open_file(&client), theirs = open_file(&other);
	int fd = open(in_tree(&scratch, "a"), O_RDWR | O_CLOEXEC);

	assert_int_equal(set_whole(&file, F_WRLCK), 0);
	assert_int_equal(set_whole(&theirs, F_RDLCK), -EAGAIN);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
	/* Ranges are another matter. */
	assert_int_equal(set(&theirs, 1, F_WRLCK, 0, INT64_MAX), 0);
	assert_int_equal(set_whole(&file, F_RDLCK), 0);
	assert_int_equal(set_whole(&theirs, F_RDLCK), 0);
	/* It goes with its open file. */
	const struct fuse_release_in in = { .fh = file.handle };

	assert_int_equal(client_call(&client, 0, FUSE_RELEASE, file.node, &in, sizeof(in), NULL, 0),
			 0);
	assert_int_equal(set_whole(&theirs, F_UNLCK), 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	(void)close(fd);
}

/* Locks that an open file has itself: no process closes them, they go with the file. */
static void test_open_file_locks(void **state)
{
	struct file file = open_file(&client), theirs = open_file(&other);
	const struct fuse_flush_in flush = { .fh = file.handle, .lock_owner = 1 };
	struct fuse_release_in release = { .fh = file.handle, .lock_owner = 7 };

	assert_int_equal(set(&file, 7, F_WRLCK, 0, INT64_MAX), 0);
	assert_int_equal(
		client_call(&client, 0, FUSE_FLUSH, file.node, &flush, sizeof(flush), NULL, 0), 0);
	assert_int_equal(set(&theirs, 1, F_WRLCK, 0, INT64_MAX), -EAGAIN);
	assert_int_equal(client_call(&client, 0, FUSE_RELEASE, file.node, &release, sizeof(release),
				     NULL, 0),
			 0);
	assert_int_equal(set(&theirs, 1, F_WRLCK, 0, INT64_MAX), 0);
	/* Of a file that nobody knows there is nothing to release. */
	release.lock_owner = 1;
	(void)client_call(&client, 0, FUSE_RELEASE, file.node + 100, &release, sizeof(release),
			  NULL, 0);
	assert_int_equal(client_read(&other, theirs.handle, 0, 8), 0);
}

/* One that waits gets it when it is free, and nobody waits for it meanwhile. */
static void test_waiting(void **state)
{
	struct file file = open_file(&client), theirs = open_file(&other);
	uint64_t waiting[20];
	struct fuse_lk_in in;

	assert_int_equal(set(&theirs, 1, F_WRLCK, 0, INT64_MAX), 0);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		in = lock_in(&file, 100 + i, F_RDLCK, 0, 0);
		waiting[i] =
			client_send(&client, 0, FUSE_SETLKW, file.node, &in, sizeof(in), NULL, 0);
	}
	assert_int_equal(client_read(&client, file.handle, 0, 8), 0);
	assert_memory_equal(client.data, "contents", 8);
	assert_int_equal(set(&theirs, 1, F_UNLCK, 0, INT64_MAX), 0);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		bool known = false;

		assert_true(client_receive(&client));
		assert_int_equal(client.header.error, 0);
		for (size_t k = 0; k < ARRAY_SIZE(waiting); k++)
			known = known || waiting[k] == client.header.unique;
		assert_true(known);
	}
}

static void interrupt(uint64_t unique)
{
	const struct fuse_interrupt_in in = { .unique = unique };

	(void)client_send(&client, 0, FUSE_INTERRUPT, 0, &in, sizeof(in), NULL, 0);
}

static void test_interrupted(void **state)
{
	struct file file = open_file(&client), theirs = open_file(&other);
	struct fuse_lk_in in;
	uint64_t unique;

	assert_int_equal(set(&theirs, 1, F_WRLCK, 0, INT64_MAX), 0);
	assert_int_equal(set_whole(&theirs, F_WRLCK), 0);
	/* As often as it takes to meet each moment: before the wait, at its start, in it. */
	for (unsigned int i = 0; i < 200; i++) {
		in = lock_in(&file, i, F_WRLCK, 0, 0);
		in.lk_flags = i % 2 ? FUSE_LK_FLOCK : 0;
		unique = client_send(&client, 0, FUSE_SETLKW, file.node, &in, sizeof(in), NULL, 0);
		if (i % 4 < 2)
			assert_int_equal(poll(NULL, 0, 2), 0);
		interrupt(unique);
		assert_true(client_receive(&client));
		assert_int_equal(client.header.unique, unique);
		assert_int_equal(client.header.error, -EINTR);
	}
	/* None of them has it now. */
	assert_int_equal(set(&theirs, 1, F_UNLCK, 0, INT64_MAX), 0);
	assert_int_equal(set(&theirs, 1, F_WRLCK, 0, INT64_MAX), 0);
	/* One that nobody knows is nobody's. */
	interrupt(4711);
	assert_int_equal(client_read(&client, file.handle, 0, 8), 0);
}

/* A guest that waits for more than it may is told so, and what it waited for ends with it. */
static void test_too_many(void **state)
{
	struct file file = open_file(&client), theirs = open_file(&other);
	struct fuse_lk_in in;

	assert_int_equal(set(&theirs, 1, F_WRLCK, 0, INT64_MAX), 0);
	for (unsigned int i = 0; i < 129; i++) {
		in = lock_in(&file, i, F_WRLCK, 0, 0);
		(void)client_send(&client, 0, FUSE_SETLKW, file.node, &in, sizeof(in), NULL, 0);
	}
	assert_true(client_receive(&client));
	assert_int_equal(client.header.error, -ENOLCK);
}

static void test_too_many_owners(void **state)
{
	struct file file = open_file(&client);
	unsigned int got = 0;

	while (set(&file, got, F_RDLCK, 0, 0) == 0)
		got++;
	assert_int_equal(client.header.error, -ENOLCK);
	assert_int_equal(got, 4096);
	assert_int_equal(client_read(&client, file.handle, 0, 8), 0);
}

/* On a read-only share there is nothing to write, and reading may be guarded. */
static void test_read_only(void **state)
{
	struct client reader;
	struct file file = { .client = &reader };

	client_start(&reader, (const char *[]){ "ro", scratch.tree, NULL });
	file.node = (uint64_t)client_lookup(&reader, 1, "a");
	file.handle = client_open(&reader, (int64_t)file.node, O_RDONLY);
	assert_int_equal(set(&file, 1, F_RDLCK, 0, 0), 0);
	assert_int_equal(set(&file, 1, F_WRLCK, 0, 0), -EBADF);
	assert_int_equal(set_whole(&file, F_WRLCK), 0);
	assert_int_equal(client_stop(&reader), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranges, start, stop),
		cmocka_unit_test_setup_teardown(test_bad_ranges, start, stop),
		cmocka_unit_test_setup_teardown(test_whole_files, start, stop),
		cmocka_unit_test_setup_teardown(test_open_file_locks, start, stop),
		cmocka_unit_test_setup_teardown(test_waiting, start, stop),
		cmocka_unit_test_setup_teardown(test_interrupted, start, stop),
		cmocka_unit_test_setup_teardown(test_too_many, start, stop),
		cmocka_unit_test_setup_teardown(test_too_many_owners, start, stop),
		cmocka_unit_test_setup_teardown(test_read_only, start, stop),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("files-lock", tests, NULL, NULL);
}
