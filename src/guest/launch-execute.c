/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child after the word to start: gives up what root may do, in the one
 * order that works, and executes the program. Errors that are the command's
 * own have docker's words and the codes whose exit statuses are 126 and 127.
 */
#include "guest/launch-internal.h"

#include "guest/capability.h"
#include "guest/init.h"
#include "guest/syscall-filter.h"

#include "base/alloc.h"
#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Child: the session, its terminal, and streams that the user may open again through /proc. */
static int take_streams(const struct child *child, struct cay_error *err)
{
	if (setsid() < 0)
		return cay_error_errno(err, errno, "making a session");
	if (child->terminal >= 0 &&
	    (ioctl(child->terminal, TIOCSCTTY, 0) < 0 || dup2(child->terminal, STDIN_FILENO) < 0 ||
	     dup2(child->terminal, STDOUT_FILENO) < 0 || dup2(child->terminal, STDERR_FILENO) < 0))
		return cay_error_errno(err, errno, "taking the terminal");
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0 || st.st_uid == child->user.uid)
			continue;
		if ((S_ISFIFO(st.st_mode) || child->terminal >= 0) &&
		    fchown(fd, child->user.uid, (gid_t)-1) < 0)
			return cay_error_errno(err, errno, "giving away the standard streams");
	}
	return 0;
}

/* Child, with all capabilities. */
static int set_limits(const struct child *child, struct cay_error *err)
{
	const struct oci_process *process = child->launch->process;

	for (size_t i = 0; i < process->rlimit_count; i++) {
		const struct oci_rlimit *limit = &process->rlimits[i];
		struct rlimit value = { .rlim_cur = limit->soft, .rlim_max = limit->hard };

		if (setrlimit((__rlimit_resource_t)limit->resource, &value) < 0)
			return cay_error_errno(err, errno, "setting resource limit %d",
					       limit->resource);
	}
	if (process->oom_score_adj != OCI_UNSET) {
		_cleanup_close_ int fd =
			openat(child->proc_fd, "self/oom_score_adj", O_WRONLY | O_CLOEXEC);
		char text[16];
		int length = snprintf(text, sizeof(text), "%d", (int)process->oom_score_adj);

		if (fd < 0 || write(fd, text, (size_t)length) < 0)
			return cay_error_errno(err, errno, "setting the OOM score");
	}
	(void)umask(process->umask == OCI_UNSET ? 0022 : (mode_t)process->umask);
	return 0;
}

static int command_error(const char *command, int error, struct cay_error *err)
{
	const char *text = errno_text(error);
	enum cay_code code = error == ENOENT ? CAY_NO_COMMAND : CAY_NOT_EXEC;

	return cay_error_set(err, code, error, "exec: \"%.200s\": %c%s", command,
			     tolower((unsigned char)text[0]), text + 1);
}

static int enter_cwd(const struct child *child, struct cay_error *err)
{
	const char *cwd = child->launch->process->cwd;
	char real[PATH_MAX];

	if (chdir(cwd) < 0)
		return cay_error_set(err, errno == ENOENT ? CAY_NO_COMMAND : CAY_NOT_EXEC, errno,
				     "chdir to the working directory \"%.200s\": %s", cwd,
				     errno_text(errno));
	/* A directory outside of the root would show as "(unreachable)/...". */
	if (!getcwd(real, sizeof(real)) || real[0] != '/')
		return cay_error_set(err, CAY_NOT_EXEC, EINVAL,
				     "the working directory \"%.200s\" is outside of the container",
				     cwd);
	return 0;
}

/* Child: after this it is the user, with the capabilities it may have. */
static int become_user(const struct child *child, struct cay_error *err)
{
	const struct oci_process *process = child->launch->process;
	const struct user *user = &child->user;
	const uint64_t *sets = process->capabilities;
	int r = capability_bound(sets[OCI_CAP_BOUNDING], child->last_capability, err);

	if (r < 0)
		return r;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return cay_error_errno(err, errno, "keeping capabilities");
	if (setgroups(user->group_count, user->groups) < 0)
		return cay_error_errno(err, errno, "setting %zu further groups", user->group_count);
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return cay_error_errno(err, errno, "setting group %u", user->gid);
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return cay_error_errno(err, errno, "setting user %u", user->uid);
	return capability_apply(sets[OCI_CAP_EFFECTIVE], sets[OCI_CAP_PERMITTED],
				sets[OCI_CAP_INHERITABLE], sets[OCI_CAP_AMBIENT], err);
}

/* Whether this user may execute the file: 0, -errno. */
static int check_command(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Finds the command as a shell would; the caller frees *ret_path. */
static int find_command(const struct child *child, char **ret_path, struct cay_error *err)
{
	const char *command = child->launch->process->args.items[0];
	struct str rest = { 0 };
	int r, worst = 0;

	if (strchr(command, '/')) {
		r = check_command(command);
		if (r == -ENOENT)
			return cay_error_set(err, CAY_NO_COMMAND, ENOENT,
					     "exec: \"%.200s\": stat %.200s: no such file or "
					     "directory",
					     command, command);
		if (r < 0)
			return command_error(command, -r, err);
		*ret_path = xstrdup(command);
		return 0;
	}
	for (size_t i = 0; i < child->env.count; i++)
		if (starts_with(child->env.items[i], "PATH="))
			rest = str_from(child->env.items[i] + strlen("PATH="));
	while (rest.length > 0 && command[0]) {
		struct str part = str_split(rest, ':', &rest);
		_cleanup_free_ char *path = NULL;

		path = part.length == 0
			? xasprintf("./%s", command)
			: xasprintf("%.*s/%s", (int)part.length, part.data, command);
		r = check_command(path);
		if (r == 0) {
			*ret_path = TAKE_PTR(path);
			return 0;
		}
		if (r == -EACCES)
			worst = r;
	}
	if (worst)
		return command_error(command, -worst, err);
	return cay_error_set(err, CAY_NO_COMMAND, ENOENT,
			     "exec: \"%.200s\": executable file not found in $PATH", command);
}

/* Child: the small init is this very program under another name. */
static void execute_init(const struct child *child, char *path)
{
	const struct strv *args = &child->launch->process->args;
	_cleanup_free_ char **argv = xcalloc(args->count + 4, sizeof(*argv));
	_cleanup_free_ char *report = xasprintf("%d", child->report);

	argv[0] = (char *)INIT_NAME;
	argv[1] = report;
	argv[2] = path;
	memcpy(argv + 3, args->items, args->count * sizeof(*argv));
	if (fd_set_cloexec(child->report, false) < 0)
		return;
	(void)syscall(SYS_execveat, child->self_fd, "", argv, child->env.items, AT_EMPTY_PATH);
}

int launch_execute(struct child *child, struct cay_error *err)
{
	const struct launch *launch = child->launch;
	const struct oci_process *process = launch->process;
	_cleanup_free_ char *path = NULL;
	int r, cwd_result;

	if ((r = take_streams(child, err)) < 0 || (r = set_limits(child, err)) < 0)
		return r;
	/* Without no_new_privs a filter takes CAP_SYS_ADMIN, so it goes before the capabilities. */
	if (launch->seccomp && !process->no_new_privileges &&
	    (r = syscall_filter_load(launch->seccomp, err)) < 0)
		return r;
	/* As root first: a directory closed to the user may be its working directory all the same.
	 */
	cwd_result = enter_cwd(child, err);
	if (cwd_result < 0 && cwd_result != -EACCES)
		return cwd_result;
	if ((r = become_user(child, err)) < 0 ||
	    (cwd_result < 0 && (r = enter_cwd(child, err)) < 0))
		return r;
	if (process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cay_error_errno(err, errno, "setting no_new_privs");
	if (launch->seccomp && process->no_new_privileges &&
	    (r = syscall_filter_load(launch->seccomp, err)) < 0)
		return r;
	r = find_command(child, &path, err);
	if (r < 0 || !path)
		return r;
	if (launch->use_init)
		execute_init(child, path);
	else
		(void)execve(path, process->args.items, child->env.items);
	return command_error(process->args.items[0], errno, err);
}
