/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in a container, from its cgroup's lists and the guest's /proc.
 * Names and command lines are the container's bytes: cut to a length, control
 * characters replaced, and never more of them than one answer can hold.
 */
#include "guest/stats.h"

#include "guest/guest.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

enum {
	PROCESSES_SHOWN_MAX = 2048,
	COMMAND_MAX = 1024,
	STAT_MAX = 4096,
	FIELDS = 52, /* of /proc/PID/stat */
	PTS_MAJOR = 136,
};

struct listing {
	Cay__Vminitd__V1__ListProcessesResponse response;
	int proc_fd;
	int64_t booted_ns; /* when the boot clock began */
	long ticks;        /* per second */
};

bool process_stat_parse(struct str text, struct process_stat *ret)
{
	/* Numbers by their place in proc(5), which counts from 1. */
	uint64_t numbers[FIELDS + 1] = { 0 };
	const char *open = text.length > 0 ? memchr(text.data, '(', text.length) : NULL;
	const char *close = text.length > 0 ? memrchr(text.data, ')', text.length) : NULL;
	struct str rest;
	size_t field = 3;

	if (!open || !close || close < open || close + 2 >= text.data + text.length)
		return false;
	ret->name = (struct str){ open + 1, (size_t)(close - open - 1) };
	rest = (struct str){ close + 2, (size_t)(text.data + text.length - close - 2) };
	ret->state = rest.data[0];
	for (; rest.length > 0 && field <= FIELDS; field++) {
		struct str word = str_split(rest, ' ', &rest);
		bool negative = word.length > 0 && word.data[0] == '-';

		if (field == 3 || negative)
			continue;
		(void)str_to_u64(word, UINT64_MAX, &numbers[field]); /* stays 0 if it is none */
	}
	if (field <= 24)
		return false;
	ret->ppid = (int)MIN(numbers[4], (uint64_t)INT32_MAX);
	ret->terminal = (int)MIN(numbers[7], (uint64_t)INT32_MAX);
	ret->user_ticks = numbers[14];
	ret->system_ticks = numbers[15];
	ret->start_ticks = numbers[22];
	ret->resident_pages = numbers[24];
	return true;
}

/* Reads at most `size` bytes of a file of the process; the count, or -errno. */
static ssize_t read_file(int proc_fd, pid_t pid, const char *name, char *data, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%d/%s", pid, name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, data, size);
	return n < 0 ? -errno : n;
}

/* Protocol buffers' strings are UTF-8; what is not, and control characters, become '?'. */
static void make_printable(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\0')
			text[i] = ' ';
		else if (c < 0x20 || c >= 0x7f)
			text[i] = '?';
	}
}

static char *command_line(int proc_fd, pid_t pid, struct str name)
{
	char text[COMMAND_MAX];
	ssize_t n = read_file(proc_fd, pid, "cmdline", text, sizeof(text));

	while (n > 0 && text[n - 1] == '\0')
		n--;
	if (n <= 0) {
		/* A zombie, or a program that has wiped it: as ps shows it. */
		n = snprintf(text, sizeof(text), "[%.*s]", (int)MIN(name.length, 64), name.data);
	}
	make_printable(text, (size_t)n);
	return xstrndup(text, (size_t)n);
}

static char *terminal_name(int device)
{
	if (device == 0)
		return xstrdup("?");
	if (major((dev_t)device) == PTS_MAJOR)
		return xasprintf("pts/%u", minor((dev_t)device));
	return xasprintf("%u:%u", major((dev_t)device), minor((dev_t)device));
}

static bool add_process(pid_t pid, void *user)
{
	struct listing *listing = user;
	Cay__Vminitd__V1__ProcessInfo *info;
	struct process_stat process;
	char text[STAT_MAX], path[32];
	struct stat st;
	ssize_t n = read_file(listing->proc_fd, pid, "stat", text, sizeof(text));

	(void)snprintf(path, sizeof(path), "%d", pid);
	if (n <= 0 || !process_stat_parse((struct str){ text, (size_t)n }, &process) ||
	    fstatat(listing->proc_fd, path, &st, 0) < 0)
		return true; /* it has ended since it was listed */
	info = xmalloc(sizeof(*info));
	cay__vminitd__v1__process_info__init(info);
	info->pid = pid;
	info->ppid = process.ppid;
	info->uid = st.st_uid;
	info->started_ns = listing->booted_ns +
		(int64_t)(process.start_ticks * 1000000000 / (uint64_t)listing->ticks);
	info->cpu_us =
		(process.user_ticks + process.system_ticks) * 1000000 / (uint64_t)listing->ticks;
	info->resident_bytes = process.resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
	info->terminal = terminal_name(process.terminal);
	info->command = command_line(listing->proc_fd, pid, process.name);
	info->state = xasprintf("%c", process.state);
	listing->response.processes[listing->response.n_processes++] = info;
	return listing->response.n_processes < PROCESSES_SHOWN_MAX;
}

void process_list_reply(struct container *container, struct rpc_call *call)
{
	struct listing listing = {
		.response = CAY__VMINITD__V1__LIST_PROCESSES_RESPONSE__INIT,
		.proc_fd = container_guest(container)->proc_fd,
		.ticks = sysconf(_SC_CLK_TCK),
	};
	struct cay_error err = { 0 };
	struct timespec up = { 0 };
	int r;

	(void)clock_gettime(CLOCK_BOOTTIME, &up); /* always there */
	listing.booted_ns = clock_now_ns() - (int64_t)up.tv_sec * 1000000000 - up.tv_nsec;
	listing.response.processes = xcalloc(PROCESSES_SHOWN_MAX, sizeof(void *));
	r = cgroup_each_pid(container_cgroup(container), add_process, &listing);
	if (r < 0) {
		(void)cay_error_errno(&err, r, "listing the processes of %s",
				      container_id(container));
		rpc_call_finish(call, &err);
	} else {
		rpc_call_reply(call, &listing.response.base);
	}
	for (size_t i = 0; i < listing.response.n_processes; i++) {
		free(listing.response.processes[i]->terminal);
		free(listing.response.processes[i]->command);
		free(listing.response.processes[i]->state);
		free(listing.response.processes[i]);
	}
	free(listing.response.processes);
}
