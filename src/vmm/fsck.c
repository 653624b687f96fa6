/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs e2fsck in a jail. Its exit codes are those of e2fsck(8).
 */
#include "vmm/fsck.h"

#include "vmm/jail.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	REPORT_MAX = 16 * 1024, /* of what e2fsck says; the rest is dropped */
	FSCK_SECONDS_MAX = 1800,
	FILTER_MAX = 4096, /* instructions; the kernel's own limit (BPF_MAXINSNS) */
	EXIT_MENDED = 1,
	EXIT_MENDED_REBOOT = 2,
	EXIT_LEFT = 4, /* errors were left */
};
#define FSCK_MEMORY_MAX (4 * GIB)

/*
 * What e2fsck 1.45 to 1.47, its libraries and the loader call. What is not here fails as if the
 * kernel did not know it, for which the C library has another way or e2fsck does without: it asks
 * for much that has nothing to do with a disk (swaps, batteries, the terminal).
 */
static const int allowed_calls[] = {
	SCMP_SYS(access),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(brk),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clone),
	SCMP_SYS(close),
	SCMP_SYS(execve),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(faccessat),
	SCMP_SYS(fadvise64),
	SCMP_SYS(fallocate),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fstat),
	SCMP_SYS(fsync),
	SCMP_SYS(futex),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getpid),
	SCMP_SYS(getrandom),
	SCMP_SYS(getrusage),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getuid),
	SCMP_SYS(lseek),
	SCMP_SYS(madvise),
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(newfstatat),
	SCMP_SYS(openat),
	SCMP_SYS(pread64),
	SCMP_SYS(prlimit64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(read),
	SCMP_SYS(readlink),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(sysinfo),
	SCMP_SYS(time),
	SCMP_SYS(uname),
	SCMP_SYS(write),
};

/* The list as the kernel takes it; the caller frees ->filter. */
static int make_filter(struct sock_fprog *ret_program, struct cay_error *err)
{
	_cleanup_close_ int fd = memfd_create("cay-filter", MFD_CLOEXEC);
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	struct stat st;
	int r = filter ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(allowed_calls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	if (r == 0)
		r = fd < 0 ? -errno : seccomp_export_bpf(filter, fd);
	seccomp_release(filter);
	if (r < 0)
		return cay_error_errno(err, r, "making e2fsck's list of system calls");
	if (fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "making e2fsck's list of system calls");
	assert(st.st_size > 0 && st.st_size <= FILTER_MAX * (off_t)sizeof(struct sock_filter));
	ret_program->filter = xcalloc(1, (size_t)st.st_size);
	if (pread_full(fd, ret_program->filter, (size_t)st.st_size, 0) != st.st_size)
		abort(); /* a memory file of ours */
	ret_program->len = (unsigned short)((size_t)st.st_size / sizeof(struct sock_filter));
	return 0;
}

static int find_e2fsck(char **ret_path, struct cay_error *err)
{
	static const char *const places[] = { "/usr/sbin/e2fsck", "/sbin/e2fsck",
					      "/usr/local/sbin/e2fsck" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		char *real = realpath(places[i], NULL);

		if (real && access(real, X_OK) == 0) {
			*ret_path = real;
			return 0;
		}
		free(real);
	}
	return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
			     "e2fsck is not installed (Debian: e2fsprogs)");
}

/* Reads up to the limit and drops the rest, so that the writer never waits. */
static void read_report(int fd, struct buf *report)
{
	for (;;) {
		char chunk[4096];
		ssize_t n = read_full(fd, chunk, sizeof(chunk));

		if (n <= 0)
			return;
		if (report->length < REPORT_MAX)
			buf_append(report, chunk, MIN((size_t)n, REPORT_MAX - report->length));
	}
}

/*
 * One line, printable: names of files in the file system are a guest's bytes. That the jail has no
 * list of mounts, which it says first, is of no interest.
 */
static void clean_report(struct buf *report)
{
	static const char no_list[] = "ext2fs_check_if_mount: ";
	const char *end = strchr(buf_text(report), '\n');

	if (end && starts_with(report->data, no_list))
		buf_consume(report, (size_t)(end + 1 - report->data));
	while (report->length > 0 && report->data[report->length - 1] == '\n')
		report->data[--report->length] = '\0';
	for (size_t i = 0; i < report->length; i++) {
		if (report->data[i] == '\n')
			report->data[i] = ';';
		else if (report->data[i] < ' ' || report->data[i] > '~')
			report->data[i] = '?';
	}
}

static int judge(const struct fsck *fsck, int status, const struct buf *report,
		 struct cay_error *err)
{
	const int code = process_exit_code(status);

	if (WIFEXITED(status) && code == 0)
		return 0;
	if (WIFEXITED(status) && (code & ~(EXIT_MENDED | EXIT_MENDED_REBOOT)) == 0)
		return 1;
	if (WIFSIGNALED(status))
		return cay_error_set(err, CAY_CORRUPT, EIO,
				     "e2fsck was killed by signal %d while it checked %s",
				     WTERMSIG(status), fsck->disk);
	return cay_error_set(err, CAY_CORRUPT, EIO, "e2fsck %s %s (exit code %d): %s",
			     code & EXIT_LEFT ? "left errors in" : "could not check", fsck->disk,
			     code, buf_text(report));
}

int fsck_run(const struct fsck *fsck, struct buf *report, struct cay_error *err)
{
	_cleanup_close_ int reader = -1, writer = -1, pidfd = -1;
	_cleanup_free_ char *program = NULL;
	_cleanup_strv_ struct strv argv = { 0 };
	struct sock_fprog filter = { 0 };
	int pipe_fds[2], status, r;
	pid_t pid;

	r = find_e2fsck(&program, err);
	if (r < 0)
		return r;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "checking %s", fsck->disk);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	strv_add(&argv, program);
	strv_add(&argv, "-f");
	strv_add(&argv, "-p");
	strv_add(&argv, fsck->disk);
	r = make_filter(&filter, err);
	if (r < 0)
		return r;
	const struct jail jail = {
		.directory = fsck->jail_directory,
		.argv = &argv,
		.disk = fsck->disk,
		.uid = fsck->uid,
		.file_size_max = fsck->disk_size,
		.memory_max = FSCK_MEMORY_MAX,
		.cpu_max = FSCK_SECONDS_MAX,
		.filter = &filter,
		.output_fd = writer,
	};

	r = jail_spawn(&jail, &pid, &pidfd, err);
	free(filter.filter);
	(void)close(TAKE_FD(writer));
	if (r < 0)
		return cay_error_prefix(err, "checking %s", fsck->disk);
	read_report(reader, report);
	clean_report(report);
	r = process_wait(pid, &status);
	if (r < 0)
		return cay_error_errno(err, r, "waiting for e2fsck");
	return judge(fsck, status, report, err);
}
