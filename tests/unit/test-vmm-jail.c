/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail from the inside: a shell is started in it and says what it sees. It
 * is the wall that a guest that has taken QEMU over meets, so each stone of it
 * is looked at. Needs root.
 */
#include "test.h"

#include "vmm/jail.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { UID = 223344 };

struct inside {
	struct buf output;
	int status;
};

/* Runs a script by the host's shell in a jail, with the descriptors given, and the library if any.
 */
static int run_with(const char *preload, const char *script, const int *fds, size_t fd_count,
		    struct inside *ret, struct cay_error *err)
{
	char directory[64];
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_free_ char *shell = realpath("/bin/sh", NULL);
	const char *const files[] = { "/etc/hostname", "/bin/cat", "/bin/ls",
				      "/usr/bin/fallocate" };
	_cleanup_close_ int reader = -1, writer = -1, pidfd = -1;
	int pipe_fds[2], r;
	pid_t pid;

	make_test_directory(directory);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	strv_add(&argv, shell);
	strv_add(&argv, "-c");
	strv_add(&argv, script);
	const struct jail jail = {
		.directory = directory,
		.argv = &argv,
		.files = files,
		.file_count = ARRAY_SIZE(files),
		.preload = preload,
		.uid = UID,
		.file_size_max = 1024,
		.fds = fds,
		.fd_count = fd_count,
		.output_fd = writer,
	};

	r = jail_spawn(&jail, &pid, &pidfd, err);
	(void)close(TAKE_FD(writer));
	if (r == 0) {
		assert_int_equal(fd_read(reader, "the jail", 65536, &ret->output, err), 0);
		assert_int_equal(waitpid(pid, &ret->status, 0), pid);
	}
	assert_int_equal(rmdir(directory), 0); /* nothing was left on the host's side */
	return r;
}

static int run(const char *script, const int *fds, size_t fd_count, struct inside *ret,
	       struct cay_error *err)
{
	return run_with(NULL, script, fds, fd_count, ret, err);
}

static void expect(const char *script, const char *output)
{
	struct inside inside = { 0 };
	struct cay_error err = { 0 };

	assert_ok(run(script, NULL, 0, &inside, &err));
	assert_string_equal(buf_text(&inside.output), output);
	buf_done(&inside.output);
}

static void test_files(void **state)
{
	if (geteuid() != 0)
		skip();
	expect("echo /*", "/bin /dev /etc /lib /lib64 /usr\n");
	expect("echo /dev/*", "/dev/null /dev/urandom\n");
	expect("echo /etc/*", "/etc/hostname /etc/ld.so.cache\n");
	expect("[ -d /proc ] || echo none", "none\n");
	/* Nothing can be written anywhere. */
	expect("for f in /x /dev/x /etc/hostname /usr/x; do (: >$f) 2>/dev/null && echo $f; done;"
	       " echo end",
	       "end\n");
}

static void test_environment(void **state)
{
	if (geteuid() != 0)
		skip();
	expect("echo $$ $HOME", "1\n"); /* the first of its pid namespace, with no environment */
}

static void test_descriptors(void **state)
{
	struct inside inside = { 0 };
	struct cay_error err = { 0 };
	int pipe_fds[2], stray;

	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(pipe_fds), 0); /* inheritable on purpose */
	stray = open("/dev/zero", O_RDONLY);
	assert_true(stray >= 0);
	/* Given in reverse order, to see that the numbers are theirs and not ours. */
	const int fds[] = { pipe_fds[1], pipe_fds[0] };

	assert_ok(run("echo hello >&3; read x <&4; echo got $x; i=5; while [ $i -lt 40 ]; do "
		      "(: <&$i) 2>/dev/null && echo open $i; i=$((i+1)); done",
		      fds, 2, &inside, &err));
	/* 5 is the report, which closes when a program is executed; sh opens 10 at times. */
	assert_string_equal(buf_text(&inside.output), "got hello\n");
	buf_done(&inside.output);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	(void)close(stray);
}

/* A file of 8 KiB with data in it, under TMPDIR. */
static char *make_file(const char *directory)
{
	char *path = path_join(directory, "file");
	char data[8192];

	memset(data, 'x', sizeof(data));
	assert_int_equal(file_write_volatile(path, data, sizeof(data), 0600, NULL), 0);
	return path;
}

/* At a path that the loader's list of libraries could not have. */
static char *copy_library(const char *from, const char *directory)
{
	char *path = path_join(directory, "a b:c.so");
	_cleanup_buf_ struct buf library = { 0 };

	assert_int_equal(chmod(directory, 0755), 0);
	assert_int_equal(file_read(from, MIB, &library, NULL), 0);
	assert_int_equal(file_write_volatile(path, library.data, library.length, 0644, NULL), 0);
	return path;
}

static long long allocated(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_blocks;
}

/*
 * With QEMU's library a program opens a descriptor that can only be read as if it could be written,
 * and punches holes that are none; files that may be written are punched as ever.
 */
static void test_private_files(void **state)
{
	static const char punch[] = "fallocate -p -l 4096 /cay-private/3 && echo punched;"
				    "(echo y >/cay-private/3) 2>/dev/null || echo read-only;"
				    "read x </cay-private/3; echo ${#x}";
	_cleanup_free_ char *built = process_find_part("../libcay-qemu.so"), *path = NULL;
	_cleanup_free_ char *preload = NULL;
	struct inside inside = { 0 };
	struct cay_error err = { 0 };
	char directory[64];
	long long before;
	int reader, writer;

	if (geteuid() != 0)
		skip();
	make_test_directory(directory);
	path = make_file(directory);
	preload = copy_library(built, directory);
	before = allocated(path);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	writer = open(path, O_RDWR | O_CLOEXEC);
	assert_true(reader >= 0 && writer >= 0);

	assert_ok(run_with(preload, punch, &reader, 1, &inside, &err));
	assert_string_equal(buf_text(&inside.output), "punched\nread-only\n8192\n");
	assert_int_equal(allocated(path), before);
	buf_done(&inside.output);
	/* Without the library there is no such path; with it a disk still loses what is punched. */
	assert_ok(run("fallocate -p -l 4096 /cay-private/3 2>/dev/null || echo none", &reader, 1,
		      &inside, &err));
	assert_string_equal(buf_text(&inside.output), "none\n");
	buf_done(&inside.output);
	assert_ok(run_with(preload, "fallocate -p -l 4096 /cay-private/3 && echo punched", &writer,
			   1, &inside, &err));
	assert_string_equal(buf_text(&inside.output), "punched\n");
	assert_true(allocated(path) < before);
	buf_done(&inside.output);
	(void)close(reader);
	(void)close(writer);
	assert_int_equal(remove_tree(directory, NULL), 0);
}

/* What /proc says of a jailed process, from outside. */
static void test_privileges(void **state)
{
	char directory[64];
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_free_ char *shell = realpath("/bin/sh", NULL), *path = NULL;
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC), pidfd = -1;
	static const char *const lines[] = {
		"Uid:\t223344\t223344\t223344\t223344\n",
		"Gid:\t223344\t223344\t223344\t223344\n",
		"Groups:\t \n",
		"CapPrm:\t0000000000000000\n",
		"CapEff:\t0000000000000000\n",
		"CapBnd:\t0000000000000000\n",
		"CapAmb:\t0000000000000000\n",
		"NoNewPrivs:\t1\n",
	};
	static const char *const namespaces[] = { "mnt", "pid", "net", "ipc", "uts", "cgroup" };
	struct cay_error err = { 0 };
	int pipe_fds[2];
	pid_t pid;

	if (geteuid() != 0)
		skip();
	make_test_directory(directory);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	strv_add(&argv, shell);
	strv_add(&argv, "-c");
	strv_add(&argv, "read x <&3"); /* waits for us */
	const struct jail jail = {
		.directory = directory,
		.argv = &argv,
		.uid = UID,
		.fds = pipe_fds,
		.fd_count = 1,
		.output_fd = null_fd,
	};

	assert_ok(jail_spawn(&jail, &pid, &pidfd, &err));
	path = xasprintf("/proc/%d/status", (int)pid);
	assert_ok(file_read(path, 65536, &text, &err));
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (!strstr(buf_text(&text), lines[i]))
			fail_msg("%s is not in %s", lines[i], buf_text(&text));
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		_cleanup_free_ char *theirs = xasprintf("/proc/%d/ns/%s", (int)pid, namespaces[i]);
		_cleanup_free_ char *ours = xasprintf("/proc/self/ns/%s", namespaces[i]);
		char a[64] = "", b[64] = "";

		assert_true(readlink(theirs, a, sizeof(a) - 1) > 0);
		assert_true(readlink(ours, b, sizeof(b) - 1) > 0);
		assert_string_not_equal(a, b);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	assert_int_equal(rmdir(directory), 0);
}

/* The jailed program must not outlive the one that started it, however that ends. */
static void test_dies_with_parent(void **state)
{
	int report[2], hold[2], status;
	struct cay_error err = { 0 };
	pid_t parent, jailed = 0;

	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(report), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	parent = fork();
	assert_true(parent >= 0);
	if (parent == 0) {
		_cleanup_strv_ struct strv argv = { 0 };
		int pidfd, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		const struct jail jail = {
			.directory = "/tmp",
			.argv = &argv,
			.uid = UID,
			.fds = &hold[1], /* its end closes with the last holder */
			.fd_count = 1,
			.output_fd = null_fd,
		};

		strv_take(&argv, realpath("/bin/sh", NULL));
		strv_add(&argv, "-c");
		strv_add(&argv, "while :; do read x; done <&3");
		if (jail_spawn(&jail, &jailed, &pidfd, &err) < 0)
			_exit(1);
		(void)!write(report[1], &jailed, sizeof(jailed));
		(void)raise(SIGKILL);
	}
	(void)close(hold[1]);
	assert_int_equal(read_full(report[0], &jailed, sizeof(jailed)), sizeof(jailed));
	assert_int_equal(waitpid(parent, &status, 0), parent);
	assert_true(WIFSIGNALED(status));
	/* End of file, once nobody holds the other end: the jailed process is gone. */
	assert_int_equal(read_full(hold[0], &status, 1), 0);
	(void)close(hold[0]);
	(void)close(report[0]);
	(void)close(report[1]);
}

static void test_failures(void **state)
{
	_cleanup_strv_ struct strv argv = { 0 };
	const char *const absent[] = { "/no/such/kernel" };
	struct jail jail = { .directory = "/tmp", .argv = &argv, .uid = UID, .output_fd = 2 };
	struct cay_error err = { 0 };
	pid_t pid = 0;
	int pidfd = -1;

	if (geteuid() != 0)
		skip();
	strv_add(&argv, "/no/such/program");
	assert_true(jail_spawn(&jail, &pid, &pidfd, &err) < 0);
	assert_non_null(strstr(err.message, "/no/such/program"));
	strv_done(&argv);
	strv_take(&argv, realpath("/bin/sh", NULL));
	jail.files = absent;
	jail.file_count = 1;
	assert_true(jail_spawn(&jail, &pid, &pidfd, &err) < 0);
	assert_non_null(strstr(err.message, "/no/such/kernel"));
	jail.file_count = 0;
	jail.directory = "/no/such/directory";
	assert_true(jail_spawn(&jail, &pid, &pidfd, &err) < 0);
	assert_non_null(strstr(err.message, "mounting a root on /no/such/directory"));
	assert_int_equal(pid, 0);
	assert_int_equal(pidfd, -1);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no process was left */
	assert_int_equal(errno, ECHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),       cmocka_unit_test(test_environment),
		cmocka_unit_test(test_descriptors), cmocka_unit_test(test_private_files),
		cmocka_unit_test(test_privileges),  cmocka_unit_test(test_dies_with_parent),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
