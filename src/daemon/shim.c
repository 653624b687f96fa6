/* SPDX-License-Identifier: Apache-2.0 */
/* Starting shims and calling them. */
#include "daemon/shim.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "daemon/daemon.h"
#include "daemon/launch-sockets.h"
#include "vmm/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

enum {
	LEASH_FD = 5, /* in the shim */
	READY_POLL_MS = 2,
	SHIM_LOG_TAIL = 600,
	DESTROY_MS = 10000,
	VM_END_MS = 2000,
	VM_LEAVE_MS = 3000,
};

static const struct {
	const char *config, *log;
} purposes[] = {
	[SHIM_FOR_RUN] = { "shim.json", "shim.log" },
	[SHIM_FOR_FILES] = { "files.json", "files.log" },
};

static int open_pidfd(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0); /* CLOEXEC by itself */
}

bool shim_wait_gone(pid_t pid, int timeout_ms)
{
	_cleanup_close_ int pidfd = pid > 0 ? open_pidfd(pid) : -1;
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int64_t deadline = clock_monotonic_ms() + timeout_ms;

	while (pidfd >= 0) {
		int64_t left = timeout_ms < 0 ? -1 : MAX(deadline - clock_monotonic_ms(), 0);

		if (poll(&poll_fd, 1, (int)left) > 0)
			return true;
		if (left == 0)
			return false;
	}
	return true;
}

char *shim_last_words(const char *log_path)
{
	_cleanup_close_ int fd = open(log_path, O_RDONLY | O_CLOEXEC);
	char text[SHIM_LOG_TAIL + 1], *line;
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	ssize_t n;

	if (size <= 0)
		return xstrdup("it said nothing");
	n = pread(fd, text, SHIM_LOG_TAIL, MAX(size - SHIM_LOG_TAIL, 0));
	while (n > 0 && text[n - 1] == '\n')
		n--;
	text[MAX(n, 0)] = '\0';
	line = strrchr(text, '\n');
	return xstrdup(line ? line + 1 : text);
}

int shim_execute(const struct daemon_options *options, const struct shim_program *program,
		 pid_t *ret_pid, struct cay_error *err)
{
	_cleanup_close_ int log_fd =
		open(program->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0600);
	_cleanup_strv_ struct strv argv = { 0 };

	if (log_fd < 0)
		return cay_error_errno(err, errno, "opening %s", program->log_path);
	const struct process_fd fds[] = { { log_fd, 1 },
					  { log_fd, 2 },
					  { program->leash_fd, LEASH_FD } };
	const struct process_spec spec = {
		.argv = &argv,
		.fds = fds,
		.fd_count = ARRAY_SIZE(fds) - (program->leash_fd < 0 ? 1 : 0),
		.new_session = true,
		.background = program->background,
	};

	strv_add(&argv, options->shim);
	strv_add(&argv, "--config");
	strv_add(&argv, program->config_path);
	if (strcmp(options->log_level, "debug") == 0)
		strv_add(&argv, "--debug");
	return program->is_child ? process_spawn(&spec, ret_pid, err)
				 : process_spawn_detached(&spec, ret_pid, err);
}

int shim_wait_ready(const char *socket, pid_t pid, const char *log_path, int timeout_ms,
		    struct rpc_client **ret_client, struct cay_error *err)
{
	int64_t deadline = clock_monotonic_ms() + timeout_ms;

	for (;;) {
		struct cay_error why = { 0 };

		if (file_exists(socket) && rpc_client_new(socket, ret_client, &why) == 0)
			return 0;
		if (shim_wait_gone(pid, READY_POLL_MS)) {
			_cleanup_free_ char *words = shim_last_words(log_path);

			return cay_error_set(err, CAY_INTERNAL, ESRCH, "the shim ended at once: %s",
					     words);
		}
		if (clock_monotonic_ms() > deadline)
			return cay_error_set(err, CAY_TIMEOUT, ETIMEDOUT,
					     "the shim does not answer%s%s",
					     why.message[0] ? ": " : "", why.message);
	}
}

int shim_prepare(struct container *container, enum shim_purpose purpose,
		 const struct sandbox_config *config, char **ret_config_path, struct cay_error *err)
{
	_cleanup_free_ char *config_path = container_path(container, purposes[purpose].config);
	const char *state_path = config->containers[0].state_path;
	_cleanup_free_ char *document = sandbox_config_print(config);
	int r;

	if (unlink(state_path) < 0 && errno != ENOENT)
		return cay_error_errno(err, errno, "removing %s", state_path);
	r = file_write_volatile(config_path, document, strlen(document), 0600, err);
	if (r == 0)
		r = remove_tree(container->run_directory, err);
	if (r == 0)
		r = make_dirs(container->run_directory, 0700, err);
	if (r == 0)
		*ret_config_path = TAKE_PTR(config_path);
	return r;
}

int shim_spawn(struct container *container, enum shim_purpose purpose,
	       const struct sandbox_config *config, pid_t *ret_pid, struct rpc_client **ret_client,
	       struct cay_error *err)
{
	_cleanup_free_ char *log_path = container_path(container, purposes[purpose].log);
	_cleanup_free_ char *socket = container_shim_socket(container);
	_cleanup_free_ char *config_path = NULL;
	pid_t pid;
	int r = shim_prepare(container, purpose, config, &config_path, err);

	if (r < 0)
		return r;
	const struct shim_program program = {
		.config_path = config_path,
		.log_path = log_path,
		.leash_fd = -1,
	};

	r = shim_execute(&container->daemon->options, &program, &pid, err);
	if (r < 0)
		return r;
	*ret_pid = pid;
	r = shim_wait_ready(socket, pid, log_path, SHIM_READY_MS, ret_client, err);
	return r < 0 ? cay_error_prefix(err, "container %.12s", container->id) : 0;
}

int shim_connect(const struct container *container, struct rpc_client **ret_client,
		 struct cay_error *err)
{
	_cleanup_free_ char *socket = container_shim_socket(container);

	return rpc_client_new(socket, ret_client, err);
}

int shim_start(struct rpc_client *client, const struct container *container,
	       Cay__Shim__V1__StartResponse **ret_response, struct cay_error *err)
{
	Cay__Shim__V1__StartRequest request = CAY__SHIM__V1__START_REQUEST__INIT;

	request.container_id = (char *)container->id;
	return rpc_client_call(client, &cay__shim__v1__shim__descriptor, "Start", &request.base,
			       SHIM_START_MS, (ProtobufCMessage **)ret_response, err);
}

int shim_state(struct rpc_client *client, Cay__Shim__V1__StateResponse **ret_response,
	       struct cay_error *err)
{
	Cay__Shim__V1__StateRequest request = CAY__SHIM__V1__STATE_REQUEST__INIT;

	return rpc_client_call(client, &cay__shim__v1__shim__descriptor, "State", &request.base,
			       SHIM_CALL_MS, (ProtobufCMessage **)ret_response, err);
}

/* One call on a connection of its own. */
static int call(const struct container *container, const ProtobufCServiceDescriptor *service,
		const char *method, const ProtobufCMessage *request, int64_t timeout_ms,
		ProtobufCMessage **ret_response, struct cay_error *err)
{
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	int r = shim_connect(container, &client, err);

	if (r < 0)
		return r;
	return rpc_client_call(client, service, method, request, timeout_ms, ret_response, err);
}

int shim_kill(const struct container *container, const char *exec_id, int signal, bool all,
	      struct cay_error *err)
{
	Cay__Shim__V1__KillRequest request = CAY__SHIM__V1__KILL_REQUEST__INIT;

	request.container_id = (char *)container->id;
	request.exec_id = (char *)exec_id;
	request.signal = (uint32_t)signal;
	request.all = all;
	return call(container, &cay__shim__v1__shim__descriptor, "Kill", &request.base,
		    SHIM_CALL_MS, NULL, err);
}

int shim_resize(const struct container *container, const char *exec_id, unsigned int columns,
		unsigned int rows, struct cay_error *err)
{
	Cay__Shim__V1__ResizeRequest request = CAY__SHIM__V1__RESIZE_REQUEST__INIT;

	request.container_id = (char *)container->id;
	request.exec_id = (char *)exec_id;
	request.columns = columns;
	request.rows = rows;
	return call(container, &cay__shim__v1__shim__descriptor, "Resize", &request.base,
		    SHIM_CALL_MS, NULL, err);
}

int shim_lead_ports(const struct container *container, const char *ipv4, const char *ipv6,
		    struct cay_error *err)
{
	Cay__Shim__V1__LeadPortsRequest request = CAY__SHIM__V1__LEAD_PORTS_REQUEST__INIT;

	request.ipv4 = (char *)ipv4;
	request.ipv6 = (char *)ipv6;
	return call(container, &cay__shim__v1__shim__descriptor, "LeadPorts", &request.base,
		    SHIM_CALL_MS, NULL, err);
}

int shim_shutdown(const struct container *container, struct cay_error *err)
{
	Cay__Shim__V1__ShutdownRequest request = CAY__SHIM__V1__SHUTDOWN_REQUEST__INIT;

	return call(container, &cay__shim__v1__shim__descriptor, "Shutdown", &request.base,
		    SHIM_CALL_MS, NULL, err);
}

int shim_guest_call(const struct container *container, const char *method,
		    const ProtobufCMessage *request, int64_t timeout_ms,
		    ProtobufCMessage **ret_response, struct cay_error *err)
{
	return call(container, &cay__vminitd__v1__vminitd__descriptor, method, request, timeout_ms,
		    ret_response, err);
}

/* Whether the process's command line holds this: pids are used again. */
static bool command_holds(pid_t pid, struct str wanted)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", (int)pid);
	_cleanup_close_ int fd = pid > 1 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[8192];
	ssize_t n = fd < 0 ? 0 : read_full(fd, text, sizeof(text));

	return n > 0 && memmem(text, (size_t)n, wanted.data, wanted.length) != NULL;
}

bool shim_is_pid(const struct container *container, pid_t pid)
{
	for (size_t i = 0; i < ARRAY_SIZE(purposes); i++) {
		_cleanup_free_ char *config_path = container_path(container, purposes[i].config);

		if (command_holds(pid, str_from(config_path)))
			return true;
	}
	return false;
}

/* A VM that was the pool's has kept its name. */
static bool is_its_vm(const struct container *container, pid_t pid)
{
	_cleanup_free_ char *config_path = container_path(container, purposes[SHIM_FOR_RUN].config);
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = NULL;
	struct cay_error ignored; /* a file that is not there names nobody */

	if (command_holds(pid, str_from(container->id)))
		return true;
	return sandbox_config_load(config_path, &config, &ignored) == 0 && config->member &&
		command_holds(pid, str_from(config->member));
}

void shim_end_vm(const struct container *container, pid_t pid)
{
	if (pid <= 0 || !is_its_vm(container, pid) || shim_wait_gone(pid, VM_END_MS))
		return;
	log_warning("container %.12s: killing its VM, process %d", container->id, (int)pid);
	(void)kill(pid, SIGKILL);
	(void)shim_wait_gone(pid, DESTROY_MS);
}

void shim_destroy(const struct container *container, pid_t pid)
{
	if (!shim_is_pid(container, pid))
		return;
	log_warning("container %.12s: killing its shim, process %d", container->id, (int)pid);
	(void)kill(pid, SIGKILL);
	if (!shim_wait_gone(pid, DESTROY_MS))
		log_error("container %.12s: process %d does not go away", container->id, (int)pid);
}

/* Calls `each` for every process. */
static void each_process(void (*each)(pid_t pid, const void *user), const void *user)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	while (processes && (entry = readdir(processes)))
		if (strspn(entry->d_name, "0123456789") == strlen(entry->d_name))
			each((pid_t)strtol(entry->d_name, NULL, 10), user);
	if (processes)
		(void)closedir(processes);
}

static void destroy_if_its(pid_t pid, const void *user)
{
	shim_destroy(user, pid);
}

void shim_destroy_unknown(const struct container *container)
{
	each_process(destroy_if_its, container);
}

struct remains {
	struct str argument;
	int grace_ms;
};

static void destroy_if_named(pid_t pid, const void *user)
{
	const struct remains *remains = user;

	if (!command_holds(pid, remains->argument) || shim_wait_gone(pid, remains->grace_ms))
		return;
	log_info("ending process %d, which an earlier daemon has left", (int)pid);
	(void)kill(pid, SIGKILL);
	if (!shim_wait_gone(pid, DESTROY_MS))
		log_error("process %d does not go away", (int)pid);
}

void shim_destroy_all(const char *prefix, int grace_ms)
{
	_cleanup_buf_ struct buf argument = { 0 };
	struct remains remains = { .grace_ms = grace_ms };

	/* As it stands between arguments: somebody may be looking at such a file. */
	buf_append(&argument, "--config", sizeof("--config"));
	buf_puts(&argument, prefix);
	remains.argument = (struct str){ argument.data, argument.length };
	each_process(destroy_if_named, &remains);
}

void shim_remove_cgroup(const char *id)
{
	const int64_t deadline = clock_monotonic_ms() + VM_LEAVE_MS;
	struct cay_error err = { 0 };

	/* A VM whose shim was killed gives its memory back before it is gone. */
	while (cgroup_remove(id, &err) < 0 && err.code != CAY_UNSUPPORTED) {
		if (err.err != EBUSY || clock_monotonic_ms() > deadline) {
			log_warning("%s", err.message);
			return;
		}
		cay_error_clear(&err);
	}
}

void shim_clean(const struct container *container)
{
	struct cay_error err = { 0 };

	launch_sweep_sockets(container);
	shim_remove_cgroup(container->id);
	if (remove_tree(container->run_directory, &err) < 0)
		log_warning("container %.12s: %s", container->id, err.message);
}
