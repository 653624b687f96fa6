/* SPDX-License-Identifier: Apache-2.0 */
/* A host that allows few descriptors: what is refused for that leaves nothing behind. */
#include "files-client.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { LIMIT = 400, FILES = 500 };

static struct client client;
static struct scratch scratch;

static int start(void **state)
{
	char name[16];

	scratch_make(&scratch);
	for (unsigned int i = 0; i < FILES; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		put_file(&scratch, name, "contents");
	}
	client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
	return 0;
}

static int stop(void **state)
{
	assert_int_equal(client_stop(&client), 0);
	scratch_remove(&scratch);
	return 0;
}

/* Looks files up until there is no room; how many went, and the node of the last. */
static unsigned int fill(int64_t *ret_last)
{
	unsigned int count = 0;
	char name[16];
	int64_t node;

	for (;;) {
		(void)snprintf(name, sizeof(name), "f%u", count);
		node = client_lookup(&client, 1, name);
		if (node < 0)
			break;
		*ret_last = node;
		count++;
		assert_true(count < FILES);
	}
	assert_int_equal(node, -ENFILE);
	return count;
}

static void forget(int64_t node)
{
	const struct fuse_forget_in in = { .nlookup = 1 };

	(void)client_send(&client, 0, FUSE_FORGET, (uint64_t)node, &in, sizeof(in), NULL, 0);
}

static int make_directory(const char *name)
{
	const struct fuse_mkdir_in in = { .mode = 0755 };

	return client_name(&client, 0, FUSE_MKDIR, 1, &in, sizeof(in), name);
}

static void test_full(void **state)
{
	const struct fuse_mknod_in special = { .mode = S_IFIFO | 0600 };
	uint64_t made, handle;
	int64_t last, first;
	int r;

	assert_in_range(fill(&last), LIMIT * 2 / 3, LIMIT);
	first = client_lookup(&client, 1, "f0"); /* is known */
	assert_true(first > 1);
	assert_int_equal(client_open(&client, first, O_RDWR | O_TRUNC), 0);
	assert_int_equal(client.header.error, -ENFILE);
	assert_int_equal(make_directory("new"), -ENFILE);
	assert_int_equal(client_name(&client, 0, FUSE_MKNOD, 1, &special, sizeof(special), "new"),
			 -ENFILE);
	assert_int_equal(client_create(&client, 1, "new", O_RDWR | O_EXCL, 0600, &made, &handle),
			 -ENFILE);
	assert_int_equal(access(in_tree(&scratch, "new"), F_OK), -1);
	forget(last);
	/* Messages may overtake each other inside. */
	do
		r = make_directory("new");
	while (r == -ENFILE);
	assert_int_equal(r, 0);
	assert_int_equal(make_directory("newer"), -ENFILE);
}

static int lock_for(int64_t node, uint64_t handle, uint64_t owner)
{
	const struct fuse_lk_in in = { .fh = handle, .owner = owner, .lk = { .type = F_RDLCK } };

	return client_call(&client, 0, FUSE_SETLK, (uint64_t)node, &in, sizeof(in), NULL, 0);
}

/* Files, open files and locks have one limit. */
static void test_shared_limit(void **state)
{
	int64_t node = client_lookup(&client, 1, "f0"), last;
	uint64_t handle = client_open(&client, node, O_RDONLY);
	unsigned int locks = 0;

	while (locks < LIMIT / 2 && lock_for(node, handle, locks) == 0)
		locks++;
	assert_int_equal(locks, LIMIT / 2);
	assert_in_range(fill(&last), 1, LIMIT / 2);
	assert_int_equal(lock_for(node, handle, locks), -ENOLCK);
	assert_int_equal(client_read(&client, handle, 0, 100), 0);
}

/* What fails, and what ends, gives back what it took. */
static void test_nothing_is_lost(void **state)
{
	int64_t last, directory = 1;
	unsigned int before = fill(&last);
	uint64_t made, handle;

	assert_int_equal(client_call(&client, 0, FUSE_DESTROY, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(client_init(&client), 0);
	for (unsigned int i = 0; i < LIMIT; i++) {
		assert_int_equal(make_directory("f0"), -EEXIST);
		assert_int_equal(
			client_create(&client, 1, "f0", O_RDWR | O_EXCL, 0600, &made, &handle),
			-EEXIST);
		assert_int_equal(client_open(&client, directory, O_RDONLY), 0);
		assert_int_equal(client.header.error, -EISDIR);
		assert_int_equal(client_lookup(&client, 1, "none"), -ENOENT);
	}
	/* It is there already: opened by one message, and closed. */
	for (unsigned int i = 0; i < LIMIT; i++) {
		assert_int_equal(client_create(&client, 1, "f0", O_RDWR, 0600, &made, &handle), 0);
		const struct fuse_release_in release = { .fh = handle };

		assert_int_equal(client_call(&client, 0, FUSE_RELEASE, made, &release,
					     sizeof(release), NULL, 0),
				 0);
	}
	assert_int_equal(fill(&last), before);
}

int main(void)
{
	const struct rlimit limit = { LIMIT, LIMIT };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_full, start, stop),
		cmocka_unit_test_setup_teardown(test_shared_limit, start, stop),
		cmocka_unit_test_setup_teardown(test_nothing_is_lost, start, stop),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	/* Root would raise it again. */
	(void)prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1;
	return cmocka_run_group_tests_name("files-places", tests, NULL, NULL);
}
