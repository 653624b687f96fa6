/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nice values: the threads' own, and, where the kernel groups processes by
 * session (CONFIG_SCHED_AUTOGROUP, sched(7)), the session's, which is what
 * then counts between a VM and the rest of the host.
 */
#include "vmm/priority.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

enum { NICE_STEP = 10, NICE_WORST = 19, ROUNDS_MAX = 10 };

static void set_autogroup(pid_t pid, int value)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/autogroup", (int)pid);
	_cleanup_free_ char *text = xasprintf("%d", value);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)write_full(fd, text, strlen(text)); /* there may be no such grouping */
}

/* Whether this process may give itself, and so others, more than it has. */
static bool may_restore(int current)
{
	if (setpriority(PRIO_PROCESS, 0, current - 1) < 0)
		return false;
	(void)setpriority(PRIO_PROCESS, 0, current); /* lowering is always allowed */
	return true;
}

/* Sets the nice value of all threads; the number of those that had another. */
static unsigned int set_threads(pid_t pid, int value)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	unsigned int changed = 0;
	struct dirent *entry;

	while (tasks && (entry = readdir(tasks))) {
		uint64_t id;

		if (parse_u64(entry->d_name, INT32_MAX, &id) < 0 ||
		    getpriority(PRIO_PROCESS, (id_t)id) == value)
			continue;
		changed += setpriority(PRIO_PROCESS, (id_t)id, value) == 0;
	}
	if (tasks)
		(void)closedir(tasks);
	return changed;
}

/* A thread has what the one that made it had: until no other is found. */
static void set_all(pid_t pid, int value)
{
	for (unsigned int i = 0; i < ROUNDS_MAX && set_threads(pid, value) > 0; i++)
		;
}

bool priority_lower(pid_t pid)
{
	const int current = getpriority(PRIO_PROCESS, 0);

	if (!may_restore(current))
		return false;
	set_all(pid, MIN(current + NICE_STEP, NICE_WORST));
	set_autogroup(pid, NICE_STEP);
	return true;
}

void priority_restore(pid_t pid)
{
	set_all(pid, getpriority(PRIO_PROCESS, 0));
	set_autogroup(pid, 0);
}
