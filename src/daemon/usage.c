/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of processes, from /proc. A process that ends meanwhile is not
 * counted; none of it is a reason to fail.
 */
#include "daemon/usage.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <dirent.h>
#include <stdlib.h>

/* A shim has three children and those have none; what is below is nobody's to make deep or many. */
enum { DEPTH_MAX = 4, PROCESSES_MAX = 64, FILE_MAX = 64 * 1024, KIB_BYTES = 1024 };

/* The number behind "Name:" at a line's beginning, in bytes; 0 where there is none. */
static uint64_t field(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) * KIB_BYTES : 0;
}

static void add_memory(pid_t pid, struct usage *usage)
{
	_cleanup_free_ char *rollup = xasprintf("/proc/%d/smaps_rollup", (int)pid);
	_cleanup_free_ char *status = xasprintf("/proc/%d/status", (int)pid);
	_cleanup_buf_ struct buf text = { 0 }, shares = { 0 };
	uint64_t resident;

	if (file_read(status, FILE_MAX, &text, NULL) < 0)
		return;
	resident = field(buf_text(&text), "\nVmRSS:");
	usage->processes++;
	usage->resident_bytes += resident;
	if (file_read(rollup, FILE_MAX, &shares, NULL) < 0)
		usage->memory_bytes += resident;
	else
		usage->memory_bytes +=
			field(buf_text(&shares), "\nPss:") + field(buf_text(&shares), "\nSwapPss:");
}

static void add_tree(pid_t pid, unsigned int depth, struct usage *usage);

/* The children that one thread has started. */
static void add_children(pid_t pid, const char *thread, unsigned int depth, struct usage *usage)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task/%s/children", (int)pid, thread);
	_cleanup_buf_ struct buf text = { 0 };
	char *rest, *end;

	if (file_read(path, FILE_MAX, &text, NULL) < 0)
		return;
	rest = (char *)buf_text(&text);
	for (;;) {
		long child = strtol(rest, &end, 10);

		if (end == rest || child <= 0)
			return;
		add_tree((pid_t)child, depth + 1, usage);
		rest = end;
	}
}

static void add_tree(pid_t pid, unsigned int depth, struct usage *usage)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task", (int)pid);
	DIR *threads;

	if (depth > DEPTH_MAX || usage->processes >= PROCESSES_MAX)
		return;
	add_memory(pid, usage);
	threads = opendir(path);
	if (!threads)
		return;
	for (const struct dirent *entry = readdir(threads); entry; entry = readdir(threads))
		if (entry->d_name[0] != '.')
			add_children(pid, entry->d_name, depth, usage);
	(void)closedir(threads);
}

struct usage usage_of(pid_t pid)
{
	struct usage usage = { 0 };

	if (pid > 0)
		add_tree(pid, 0, &usage);
	return usage;
}
