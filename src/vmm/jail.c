/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds the wall of jail.h. The parent plans everything, with every string
 * made, so that the child, which may be a copy of one thread of many, only
 * makes system calls: it allocates nothing and takes no lock.
 */
#include "vmm/jail.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

enum { FILES_MAX = 1024, CAPABILITY_MAX = 63, KVM_MAJOR = 10, KVM_MINOR = 232 };

/* ---- the plan ---- */

enum op_kind { OP_DIRECTORY, OP_SYMLINK, OP_BIND_DIRECTORY, OP_BIND_FILE, OP_BIND_DISK };

struct op {
	enum op_kind kind;
	char *source; /* what is bound, or where the link points */
	char *target; /* relative to the new root */
};

struct plan {
	struct op *ops;
	size_t count;
};

static void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->ops[i].source);
		free(plan->ops[i].target);
	}
	free(plan->ops);
}

static void plan_add(struct plan *plan, enum op_kind kind, const char *source, const char *target)
{
	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(plan->ops[i].target, target) == 0)
			return;
	plan->ops = xreallocarray(plan->ops, plan->count + 1, sizeof(*plan->ops));
	plan->ops[plan->count++] = (struct op){ kind, xstrdup(source), xstrdup(target) };
}

/* Where the jail has the library: LD_PRELOAD is split at spaces and colons, which a path may have.
 */
static const char preload_path[] = "/cay-preload.so";

/* Binds an absolute path at the same place, after its parents were made. */
static void plan_bind(struct plan *plan, enum op_kind kind, const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path + 1);

	for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		plan_add(plan, OP_DIRECTORY, "", copy);
		*slash = '/';
	}
	plan_add(plan, kind, path, copy);
}

/* A directory that is not reached through a symbolic link; those are made beside. */
static void plan_directory(struct plan *plan, const char *path)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;

	if (real && strcmp(real, path) == 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		plan_bind(plan, OP_BIND_DIRECTORY, path);
}

static void plan_link(struct plan *plan, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n <= 0)
		return;
	target[n] = '\0';
	plan_add(plan, OP_SYMLINK, target, path + 1);
}

/* The program and what it needs of the system. */
static void plan_program(struct plan *plan, const char *program)
{
	static const char *const links[] = { "/lib", "/lib64" };
	static const char *const directories[] = {
		"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64",
		"/usr/share/qemu",           "/usr/share/seabios",
	};
	const char *bin = strstr(program, "/bin/");

	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		plan_link(plan, links[i]);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		plan_directory(plan, directories[i]);
	if (bin && !starts_with(program, "/usr/bin/")) { /* one built from source */
		_cleanup_free_ char *prefix = xstrndup(program, (size_t)(bin - program));
		_cleanup_free_ char *library = path_join(prefix, "lib");
		_cleanup_free_ char *share = path_join(prefix, "share/qemu");

		plan_directory(plan, library);
		plan_directory(plan, share);
	}
	if (file_exists("/etc/ld.so.cache"))
		plan_bind(plan, OP_BIND_FILE, "/etc/ld.so.cache");
	plan_bind(plan, OP_BIND_FILE, program);
}

static int check_file(const struct jail *jail, const char *path, struct cay_error *err)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;

	if (!real || stat(real, &st) < 0)
		return cay_error_errno(err, errno, "%s", path);
	if (jail->uid != 0 && !(st.st_mode & S_IROTH))
		return cay_error_set(err, CAY_FORBIDDEN, EACCES,
				     "%s: the VM's user may not read it (its mode is %04o)", path,
				     st.st_mode & 07777U);
	return 0;
}

static int plan_files(struct plan *plan, const struct jail *jail, struct cay_error *err)
{
	int r = jail->preload ? check_file(jail, jail->preload, err) : 0;

	if (r == 0 && jail->preload)
		plan_add(plan, OP_BIND_FILE, jail->preload, preload_path + 1);
	for (size_t i = 0; i < jail->file_count && r == 0; i++) {
		r = check_file(jail, jail->files[i], err);
		if (r == 0)
			plan_bind(plan, OP_BIND_FILE, jail->files[i]);
	}
	return r;
}

static void plan_environment(const struct jail *jail, bool walled, struct strv *environment)
{
	for (size_t i = 0; jail->environment && i < jail->environment->count; i++)
		strv_add(environment, jail->environment->items[i]);
	if (jail->preload)
		strv_addf(environment, "LD_PRELOAD=%s", walled ? preload_path : jail->preload);
}

/* ---- the child ---- */

/* What the child tells before it ends; nothing at all when the program was executed. */
struct failure {
	int err;
	char step[124];
};

struct child {
	const struct jail *jail;
	const struct plan *plan;
	char **environment; /* nothing of ours */
	bool walled;
	int report_fd, null_fd;
};

/* Runs in the child, with the parent's memory but none of its threads. */
static _Noreturn void fail(const struct child *child, const char *step, const char *what)
{
	struct failure failure = { .err = errno };
	size_t at = 0;

	for (const char *part = step; *part && at < sizeof(failure.step) - 2; part++)
		failure.step[at++] = *part;
	if (*what)
		failure.step[at++] = ' ';
	for (const char *part = what; *part && at < sizeof(failure.step) - 1; part++)
		failure.step[at++] = *part;
	(void)!write(child->report_fd, &failure, sizeof(failure)); /* nobody else to tell */
	_exit(127);
}

/* Standard streams, then the listed descriptors from 3 on, then nothing but the report. */
static void arrange_fds(struct child *child)
{
	const struct jail *jail = child->jail;
	const int end = JAIL_FIRST_FD + (int)jail->fd_count;
	int lifted[FILES_MAX], output;

	child->report_fd = fcntl(child->report_fd, F_DUPFD_CLOEXEC, end);
	child->null_fd = fcntl(child->null_fd, F_DUPFD_CLOEXEC, end);
	output = fcntl(jail->output_fd, F_DUPFD_CLOEXEC, end);
	if (child->report_fd < 0 || child->null_fd < 0 || output < 0)
		fail(child, "arranging descriptors", "");
	for (size_t i = 0; i < jail->fd_count; i++) {
		lifted[i] = fcntl(jail->fds[i], F_DUPFD_CLOEXEC, end);
		if (lifted[i] < 0)
			fail(child, "arranging descriptors", "");
	}
	for (size_t i = 0; i < jail->fd_count; i++)
		if (dup2(lifted[i], JAIL_FIRST_FD + (int)i) < 0)
			fail(child, "arranging descriptors", "");
	if (dup2(child->null_fd, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
		fail(child, "arranging descriptors", "");
	if (dup3(child->report_fd, end, O_CLOEXEC) < 0 && errno != EINVAL)
		fail(child, "arranging descriptors", ""); /* EINVAL: it is that one already */
	child->report_fd = end;
	if (syscall(SYS_close_range, (unsigned int)end + 1, ~0U, 0) < 0)
		fail(child, "closing descriptors", "");
}

static void bind(const struct child *child, const struct op *op)
{
	const unsigned long flags = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV |
		(op->kind == OP_BIND_DISK ? MS_NOEXEC : MS_RDONLY);

	if (mount(op->source, op->target, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, op->target, NULL, flags, NULL) < 0)
		fail(child, "binding", op->source);
}

static void run_op(const struct child *child, const struct op *op)
{
	int fd;

	switch (op->kind) {
	case OP_DIRECTORY:
	case OP_BIND_DIRECTORY:
		if (mkdir(op->target, 0755) < 0 && errno != EEXIST)
			fail(child, "making the directory", op->target);
		break;
	case OP_SYMLINK:
		if (symlink(op->source, op->target) < 0)
			fail(child, "making the link", op->target);
		break;
	case OP_BIND_FILE:
	case OP_BIND_DISK:
		fd = open(op->target, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
		if (fd < 0)
			fail(child, "making the file", op->target);
		(void)close(fd);
		break;
	}
	if (op->kind != OP_DIRECTORY && op->kind != OP_SYMLINK)
		bind(child, op);
}

static void make_device(const struct child *child, const char *path, mode_t mode, dev_t device)
{
	/* The umask may have taken bits away, so the mode is set again. */
	if (mknod(path, S_IFCHR | mode, device) < 0 || chmod(path, mode) < 0)
		fail(child, "making", path);
}

/* In the new namespaces, still root: the tree, then the step into it. */
static void build_root(const struct child *child)
{
	const struct jail *jail = child->jail;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		fail(child, "making mounts private", "");
	if (mount("cay", jail->directory, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755") < 0 ||
	    chdir(jail->directory) < 0)
		fail(child, "mounting a root on", jail->directory);
	for (size_t i = 0; i < child->plan->count; i++)
		run_op(child, &child->plan->ops[i]);
	/* Device files need a mount without nodev, which then holds nothing but them. */
	if (mkdir("dev", 0755) < 0 ||
	    mount("cay", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,mode=755") < 0)
		fail(child, "mounting", "dev");
	make_device(child, "dev/null", 0666, makedev(1, 3));
	make_device(child, "dev/urandom", 0444, makedev(1, 9));
	if (jail->kvm) {
		make_device(child, "dev/kvm", 0600, makedev(KVM_MAJOR, KVM_MINOR));
		if (chown("dev/kvm", jail->uid, jail->uid) < 0)
			fail(child, "handing over", "dev/kvm");
	}
	if (mount(NULL, "dev", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) < 0 ||
	    mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		fail(child, "making the root read-only", "");
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		fail(child, "changing the root", "");
}

static void limit(const struct child *child, __rlimit_resource_t resource, rlim_t value)
{
	const struct rlimit both = { value, value };

	if (setrlimit(resource, &both) < 0)
		fail(child, "limiting resources", "");
}

static void limit_resources(const struct child *child)
{
	const struct jail *jail = child->jail;

	limit(child, RLIMIT_CORE, 0);
	limit(child, RLIMIT_NOFILE, FILES_MAX);
	limit(child, RLIMIT_FSIZE, jail->file_size_max);
	if (jail->memory_max)
		limit(child, RLIMIT_AS, jail->memory_max);
	if (jail->cpu_max)
		limit(child, RLIMIT_CPU, jail->cpu_max);
}

/* Raw system calls: the C library's forms would look for other threads, which are not here. */
static void drop_privileges(const struct child *child)
{
	const uid_t uid = child->jail->uid;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { 0 };

	if (child->walled) {
		for (unsigned long i = 0; i <= CAPABILITY_MAX; i++)
			if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EINVAL)
				fail(child, "dropping capabilities", "");
		if (syscall(SYS_setgroups, 0, NULL) < 0)
			fail(child, "leaving groups", "");
		if (uid != 0 &&
		    (syscall(SYS_setresgid, uid, uid, uid) < 0 ||
		     syscall(SYS_setresuid, uid, uid, uid) < 0))
			fail(child, "changing the user", "");
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, none) < 0)
		fail(child, "dropping capabilities", "");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail(child, "forbidding new privileges", "");
}

/* After the change of user, which clears the signal again (prctl(2)). */
static void die_with_parent(const struct child *child)
{
	struct pollfd report = { .fd = child->report_fd };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		fail(child, "tying it to its parent", "");
	/* Who died before that is known by the pipe's lost reader; getppid() is 0 in here. */
	if (poll(&report, 1, 0) > 0 && (report.revents & POLLERR))
		_exit(127);
}

static _Noreturn void run_child(struct child *child)
{
	sigset_t none;

	arrange_fds(child);
	/* Neither fails for a new child, which leads no group. */
	(void)(child->jail->shares_session ? setpgid(0, 0) : setsid());
	(void)umask(022); /* the new root is for another user to read */
	if (child->walled)
		build_root(child);
	limit_resources(child);
	drop_privileges(child);
	die_with_parent(child);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (child->jail->filter &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, child->jail->filter, 0, 0) < 0)
		fail(child, "limiting system calls", "");
	/* own uid, no capabilities, own namespaces, only the listed descriptors from here on */
	(void)execve(child->jail->argv->items[0], child->jail->argv->items, child->environment);
	fail(child, "executing", child->jail->argv->items[0]);
}

/* ---- the parent ---- */

static pid_t clone_child(bool walled, int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};

	if (walled)
		args.flags |= CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
			CLONE_NEWUTS | CLONE_NEWCGROUP;
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* Waits for the child's exec or its failure. */
static int read_report(int fd, pid_t pid, const char *program, struct cay_error *err)
{
	struct failure failure = { 0 };
	ssize_t n = read_full(fd, &failure, sizeof(failure));

	if (n == 0)
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(failure))
		return cay_error_set(err, CAY_INTERNAL, EPROTO, "starting %s: it ended at once",
				     program);
	return cay_error_errno(err, failure.err, "starting %s: %.*s", program,
			       (int)sizeof(failure.step), failure.step);
}

int jail_spawn(const struct jail *jail, pid_t *ret_pid, int *ret_pidfd, struct cay_error *err)
{
	_cleanup_(plan_done) struct plan plan = { 0 };
	_cleanup_close_ int reader = -1, writer = -1, null_fd = -1, pidfd = -1;
	static char *nothing[] = { NULL };
	_cleanup_strv_ struct strv environment = { 0 };
	const char *program = jail->argv->items[0];
	struct child child = { .jail = jail, .plan = &plan, .walled = geteuid() == 0 };
	int pipe_fds[2], r;
	pid_t pid;

	plan_environment(jail, child.walled, &environment);
	child.environment = environment.count > 0 ? environment.items : nothing;
	if (jail->fd_count > FILES_MAX / 4)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "%zu descriptors for one VM",
				     jail->fd_count);
	if (child.walled) {
		plan_program(&plan, program);
		r = plan_files(&plan, jail, err);
		if (r < 0)
			return r;
		if (jail->disk)
			plan_bind(&plan, OP_BIND_DISK, jail->disk);
	}
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "starting %s", program);
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	child.report_fd = writer;
	child.null_fd = null_fd;
	pid = clone_child(child.walled, &pidfd);
	if (pid < 0)
		return cay_error_errno(err, errno, "starting %s in namespaces of its own", program);
	if (pid == 0)
		run_child(&child);
	(void)close(TAKE_FD(writer));
	r = read_report(reader, pid, program, err);
	if (r < 0)
		return r;
	*ret_pid = pid;
	*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}
