/* SPDX-License-Identifier: Apache-2.0 */
/* The wall around cay-files, looked at from outside; and what is on its inner side. */
#include "files-client.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static struct client client;
static struct scratch scratch;

/* All tests look through mounts of this process's own. */
static int enter(void **state)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		return 0;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int start(void **state)
{
	scratch_make(&scratch);
	assert_int_equal(mkdir(in_tree(&scratch, "below"), 0755), 0);
	put_file(&scratch, "a", "A");
	return 0;
}

static int stop(void **state)
{
	(void)umount2(in_tree(&scratch, "below"), MNT_DETACH);
	(void)umount2(scratch.tree, MNT_DETACH);
	scratch_remove(&scratch);
	return 0;
}

static void of_process(char path[64], const char *what)
{
	(void)snprintf(path, 64, "/proc/%d/%s", client.pid, what);
}

static uint64_t status_value(const char *name, int base)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };
	char path[64];
	const char *at;

	of_process(path, "status");
	assert_ok(file_read(path, 64 * KIB, &text, &err));
	at = strstr(buf_text(&text), name);
	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, base);
}

static void test_privileges(void **state)
{
	const unsigned int keep = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER |
		1U << CAP_FSETID | 1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_SETFCAP;

	client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
	assert_int_equal(status_value("\nNoNewPrivs:", 10), 1);
#ifndef CAY_SANITIZED
	assert_int_equal(status_value("\nSeccomp:", 10), 2);
#endif
	if (geteuid() == 0) {
		assert_int_equal(status_value("\nCapEff:", 16), keep);
		assert_int_equal(status_value("\nCapPrm:", 16), keep);
		assert_int_equal(status_value("\nCapBnd:", 16), keep);
		assert_int_equal(status_value("\nCapAmb:", 16), 0);
		assert_int_equal(status_value("\nCapInh:", 16), 0);
	}
	assert_int_equal(client_stop(&client), 0);
}

static void test_namespaces(void **state)
{
	const char *const kinds[] = { "ns/mnt", "ns/net", "ns/ipc", "ns/uts", "ns/cgroup" };

	if (geteuid() != 0)
		skip();
	client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		char path[64], own[64], theirs[64] = { 0 }, ours[64] = { 0 };

		of_process(path, kinds[i]);
		(void)snprintf(own, sizeof(own), "/proc/self/%s", kinds[i]);
		assert_true(readlink(path, theirs, sizeof(theirs) - 1) > 0);
		assert_true(readlink(own, ours, sizeof(ours) - 1) > 0);
		assert_string_not_equal(theirs, ours);
	}
	assert_int_equal(client_stop(&client), 0);
}

/* Its root has the shares by their numbers and nothing else, and nothing can be added to it. */
static void test_root(void **state)
{
	char path[64];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *root;

	if (geteuid() != 0)
		skip();
	client_start(&client,
		     (const char *[]){ "rw", scratch.tree, "ro", in_tree(&scratch, "a"), NULL });
	of_process(path, "root");
	root = opendir(path);
	assert_non_null(root);
	while ((entry = readdir(root)))
		if (entry->d_name[0] != '.') {
			assert_true(strcmp(entry->d_name, "0") == 0 ||
				    strcmp(entry->d_name, "1") == 0);
			count++;
		}
	(void)closedir(root);
	assert_int_equal(count, 2);
	of_process(path, "root/x");
	assert_int_equal(mkdir(path, 0755), -1);
	assert_int_equal(errno, EROFS);
	/* The mounts themselves say what may be done. */
	of_process(path, "root/1");
	assert_int_equal(open(path, O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, EROFS);
	of_process(path, "root/0/y");
	assert_int_equal(mkdir(path, 0755), 0);
	/* Beside what was handed over it has open the shares and /proc/self/fd, which leads
	 * nowhere. */
	of_process(path, "cwd/../..");
	root = opendir(path);
	assert_non_null(root);
	while ((entry = readdir(root)))
		assert_true(entry->d_name[0] == '.' ||
			    (entry->d_name[0] >= '0' && entry->d_name[0] <= '9'));
	(void)closedir(root);
	of_process(path, "cwd/../../status");
	assert_false(file_exists(path));
	of_process(path, "cwd/../../../sys");
	assert_false(file_exists(path));
	assert_int_equal(client_stop(&client), 0);
}

static int64_t inside(const char *name)
{
	int64_t below = client_lookup(&client, 1, "below");

	assert_true(below > 0);
	return client_lookup(&client, (uint64_t)below, name);
}

static void mount_below(void)
{
	assert_int_equal(mount("cay", in_tree(&scratch, "below"), "tmpfs", 0, "size=64k"), 0);
	put_file(&scratch, "below/b", "B");
}

/* A mount of the host's below the source is there only when asked for, with the share's flags. */
static void test_mounts_below(void **state)
{
	char path[64];

	if (geteuid() != 0)
		skip();
	mount_below();
	client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
	assert_int_equal(inside("b"), -ENOENT);
	assert_int_equal(client_stop(&client), 0);
	client_start(&client, (const char *[]){ "ro,rec", scratch.tree, NULL });
	assert_true(inside("b") > 0);
	of_process(path, "root/0/below/b");
	assert_int_equal(open(path, O_WRONLY | O_CLOEXEC), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(client_stop(&client), 0);
}

/* One made later shows in a share that follows the host, and in no other. */
static void test_mounts_later(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(mount(scratch.tree, scratch.tree, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, scratch.tree, NULL, MS_SHARED, NULL), 0);
	client_start(&client, (const char *[]){ "rw,rec,slave", scratch.tree, NULL });
	assert_int_equal(inside("b"), -ENOENT);
	mount_below();
	assert_true(inside("b") > 0);
	/* The guest still knows a file there, which keeps it busy. */
	assert_int_equal(umount2(in_tree(&scratch, "below"), MNT_DETACH), 0);
	assert_int_equal(client_stop(&client), 0);
	client_start(&client, (const char *[]){ "rw,rec", scratch.tree, NULL });
	assert_int_equal(inside("b"), -ENOENT);
	mount_below();
	assert_int_equal(inside("b"), -ENOENT);
	assert_int_equal(client_stop(&client), 0);
}

static void refused(const char *const *arguments, const char *said)
{
	_cleanup_free_ char *text = client_try(&client, arguments);

	assert_non_null(text);
	assert_non_null(strstr(text, said));
	assert_int_equal(client_stop(&client), 1);
}

/* A link in the path, at its end or before, is not what was named. */
static void test_linked_source(void **state)
{
	char path[96];

	(void)snprintf(path, sizeof(path), "%s/link", scratch.path);
	assert_int_equal(symlink("tree", path), 0);
	refused((const char *[]){ "rw", path, NULL }, "symbolic link in its path");
	(void)snprintf(path, sizeof(path), "%s/link/below", scratch.path);
	refused((const char *[]){ "rw", path, NULL }, "symbolic link in its path");
}

static void test_refused(void **state)
{
	refused((const char *[]){ "rw", "/nowhere/at/all", NULL },
		"share /nowhere/at/all: No such file or directory");
	refused((const char *[]){ "rw", "relative", NULL }, "must be absolute");
	refused((const char *[]){ "rw,fast", "/tmp", NULL }, "unknown flag \"fast\"");
	refused((const char *[]){ NULL }, "no share is named");
}

/* It does not outlive who started it, however that one ends. */
static void test_ends_with_its_parent(void **state)
{
	int pipe_fds[2];
	pid_t pid;

	/* What it leaves behind comes to us. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		client_start(&client, (const char *[]){ "rw", scratch.tree, NULL });
		(void)write_full(pipe_fds[1], &client.pid, sizeof(client.pid));
		(void)poll(NULL, 0, -1);
	}
	assert_int_equal(read_full(pipe_fds[0], &client.pid, sizeof(client.pid)),
			 sizeof(client.pid));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(process_wait(pid, &(int){ 0 }), 0);
	assert_int_equal(process_wait(client.pid, &(int){ 0 }), 0);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_privileges, start, stop),
		cmocka_unit_test_setup_teardown(test_namespaces, start, stop),
		cmocka_unit_test_setup_teardown(test_root, start, stop),
		cmocka_unit_test_setup_teardown(test_mounts_below, start, stop),
		cmocka_unit_test_setup_teardown(test_mounts_later, start, stop),
		cmocka_unit_test_setup_teardown(test_linked_source, start, stop),
		cmocka_unit_test(test_refused),
		cmocka_unit_test_setup_teardown(test_ends_with_its_parent, start, stop),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("files-jail", tests, enter, NULL);
}
