/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange in QMP's words (QEMU's qapi/block-core.json and misc.json):
 * "add-fd" for each file, "blockdev-add" of a node on them, one
 * "blockdev-reopen" that gives each slot's raw node its new child, all of them
 * sent at once and each answered in turn; afterwards "remove-fd" for the files
 * that the machine was started with, whose nodes went with their last parent.
 *
 * The messages are short because QEMU reads them byte by byte, up to and in
 * 9.x, at some microseconds each.
 */
#include "vmm/swap.h"

#include "vmm/disk.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>

/* Behind every set of a start's command line. */
enum { FIRST_SET = 1000, SETS_MAX = VMM_DISKS_MAX * DISK_FILES_MAX };

struct swap {
	struct qmp *qmp;
	unsigned int awaited; /* commands not yet answered */
	unsigned int next_set;
	struct cay_error failure;
	void (*done)(const struct cay_error *err, void *user);
	void *user;
};

/* ---- afterwards ---- */

static void on_set_removed(json_t *result, const struct cay_error *err, void *user)
{
	if (err && err->code != CAY_CANCELLED)
		log_warning("taking an old disk's file from QEMU: %s", err->message);
}

/* A taken-over QEMU may say anything: at worst it keeps files that it has anyway. */
static void on_sets(json_t *result, const struct cay_error *err, void *user)
{
	struct qmp *qmp = user;
	json_t *set;
	size_t index;

	if (err) {
		on_set_removed(NULL, err, NULL);
		return;
	}
	json_array_foreach(result, index, set) {
		json_t *id = json_object_get(set, "fdset-id"), *arguments;

		if (index > SETS_MAX)
			break;
		if (!json_is_integer(id) || json_integer_value(id) >= FIRST_SET)
			continue;
		arguments = json_object();
		json_set_int(arguments, "fdset-id", json_integer_value(id));
		qmp_command(qmp, "remove-fd", arguments, on_set_removed, NULL);
	}
}

/* ---- the exchange ---- */

static void release(struct swap *swap)
{
	if (--swap->awaited > 0)
		return;
	if (swap->failure.code == CAY_OK)
		qmp_command(swap->qmp, "query-fdsets", NULL, on_sets, swap->qmp);
	swap->done(swap->failure.code == CAY_OK ? NULL : &swap->failure, swap->user);
	free(swap);
}

static void on_answer(json_t *result, const struct cay_error *err, void *user)
{
	struct swap *swap = user;

	if (err && swap->failure.code == CAY_OK) {
		swap->failure = *err;
		(void)cay_error_prefix(&swap->failure, "exchanging the disks");
	}
	release(swap);
}

static json_t *file_node(unsigned int set, bool io_uring)
{
	json_t *node = json_object();
	_cleanup_free_ char *name = xasprintf("/dev/fdset/%u", set);

	json_set_string(node, "driver", "file");
	json_set_string(node, "filename", name);
	if (io_uring)
		json_set_string(node, "aio", "io_uring");
	return node;
}

static json_t *new_node(const struct disk_files *files, unsigned int first_set, const char *name)
{
	const unsigned int last = first_set + (unsigned int)files->count - 1;
	json_t *node = file_node(last, files->io_uring && !files->vmdk);

	if (files->vmdk) {
		json_t *file = node;

		node = json_object();
		json_set_string(node, "driver", "vmdk");
		json_set(node, "file", file);
	}
	json_set_string(node, "node-name", name);
	if (files->read_only)
		json_set_bool(node, "read-only", true);
	else
		json_set_string(node, "discard", "unmap");
	return node;
}

/* What is not said again falls back to QEMU's default. */
static json_t *reopen_options(const struct disk_files *files, size_t slot, const char *child)
{
	_cleanup_free_ char *name = xasprintf("disk%zu", slot);
	json_t *options = json_object();

	json_set_string(options, "driver", "raw");
	json_set_string(options, "node-name", name);
	json_set_string(options, "file", child);
	if (files->read_only) {
		json_set_bool(options, "read-only", true);
	} else {
		json_set_string(options, "discard", "unmap");
		json_set_string(options, "detect-zeroes", "unmap");
	}
	return options;
}

static void send_files(struct swap *swap, const struct disk_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		json_t *arguments = json_object();

		json_set_int(arguments, "fdset-id", swap->next_set++);
		swap->awaited++;
		qmp_command_fd(swap->qmp, "add-fd", arguments, files->fds[i], on_answer, swap);
	}
}

static void send_disk(struct swap *swap, const struct disk_files *files, size_t slot,
		      json_t *reopen)
{
	_cleanup_free_ char *name = xasprintf("new%zu", slot);
	const unsigned int first_set = swap->next_set;

	send_files(swap, files);
	swap->awaited++;
	qmp_command(swap->qmp, "blockdev-add", new_node(files, first_set, name), on_answer, swap);
	(void)json_array_append_new(reopen, reopen_options(files, slot, name));
}

static void send_all(struct swap *swap, const struct disk_files *files, size_t count)
{
	json_t *arguments = json_object(), *reopen = json_array();

	for (size_t i = 0; i < count; i++)
		send_disk(swap, &files[i], i, reopen);
	json_set(arguments, "options", reopen);
	swap->awaited++;
	qmp_command(swap->qmp, "blockdev-reopen", arguments, on_answer, swap);
}

int vm_swap_disks(struct qmp *qmp, const struct vm_disk *disks, size_t count,
		  void (*done)(const struct cay_error *err, void *user), void *user,
		  struct cay_error *err)
{
	struct disk_files *files = xcalloc(count + 1, sizeof(*files));
	unsigned int next_set = FIRST_SET;
	size_t opened = 0;
	struct swap *swap;
	int r = 0;

	for (; r == 0 && opened < count; opened += r == 0) {
		r = disk_open(&disks[opened], next_set, &files[opened], err);
		next_set += (unsigned int)files[opened].count;
	}
	if (r == 0) {
		swap = xcalloc(1, sizeof(*swap));
		*swap = (struct swap){
			.qmp = qmp, .next_set = FIRST_SET, .done = done, .user = user
		};
		send_all(swap, files, count);
	}
	for (size_t i = 0; i < opened; i++)
		disk_files_done(&files[i]);
	free(files);
	return r;
}
