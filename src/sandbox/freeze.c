/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox that becomes a template. It is booted with places for disks and
 * with cards that lead nowhere; its memory is the template's file. Asked for
 * by SESSION_FREEZE, the guest lets go of what no copy of it will use; what it
 * frees leaves the file by the balloon in the seconds after. Then QEMU writes
 * the state of the rest into the template's other file and has done its work.
 *
 * A guest in this state has seen nothing of any container, has no address and
 * has told nobody a random number.
 */
#include "sandbox/sandbox-internal.h"

#include "sandbox/template.h"

#include "base/alloc.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum {
	SETTLE_STEP_MS = 500,
	/* The guest reports what is free every two seconds (mm/page_reporting.c). */
	SETTLE_QUIET_STEPS = 5,
	SETTLE_STEPS_MAX = 20,
	WRITE_TIMEOUT_MS = 60 * 1000,
	FREE_BYTES_MIN = 1024 * 1024,
};

/* The addresses that a template's cards have; a clone's guest gives them those of its own. */
void sandbox_frozen_mac(size_t index, uint8_t ret_mac[SANDBOX_MAC_SIZE])
{
	const uint8_t mac[SANDBOX_MAC_SIZE] = { 0x02, 0xca, 0x79, 0, 0, (uint8_t)index };

	memcpy(ret_mac, mac, sizeof(mac));
}

struct freeze {
	char *shape;
	int memory_fd, machine_fd;
	blkcnt_t blocks;           /* of the memory's file, when last looked at */
	unsigned int steps, quiet; /* looks, and how many of the last found nothing new */
	bool complete;             /* QEMU has written everything */
};

int sandbox_prepare_freeze(struct sandbox *sandbox, struct vm_machine *machine,
			   struct cay_error *err)
{
	const struct sandbox_config *config = sandbox->config;
	struct freeze *freeze = xcalloc(1, sizeof(*freeze));
	int r;

	freeze->memory_fd = freeze->machine_fd = -1;
	sandbox->freeze = freeze;
	r = sandbox_shape(config, &freeze->shape, err);
	if (r == 0)
		r = template_create(config->template_output,
				    (config->memory_bytes + MIB - 1) / MIB * MIB,
				    &freeze->memory_fd, &freeze->machine_fd, err);
	machine->memory_fd = freeze->memory_fd;
	machine->memory_shared = true;
	for (size_t i = 0; i < machine->nic_count; i++)
		sandbox_frozen_mac(i, machine->nics[i].mac);
	return r;
}

void sandbox_free_freeze(struct freeze *freeze)
{
	if (!freeze)
		return;
	cay_close_p(&freeze->memory_fd);
	cay_close_p(&freeze->machine_fd);
	free(freeze->shape);
	free(freeze);
}

/* ---- writing ---- */

static void on_answer(json_t *result, const struct cay_error *err, void *user)
{
	struct cay_error why;

	if (!err)
		return;
	why = *err;
	(void)cay_error_prefix(&why, "freezing the VM");
	sandbox_fail(user, &why);
}

/* QEMU's reason, which the event does not have. */
static void on_status(json_t *result, const struct cay_error *err, void *user)
{
	const char *text = json_string_value(json_object_get(result, "error-desc"));
	struct cay_error why = { 0 };

	(void)cay_error_set(&why, CAY_INTERNAL, EIO, "freezing the VM: QEMU: %s",
			    text ? text : "the state could not be written");
	sandbox_fail(user, &why);
}

void sandbox_on_migration(struct sandbox *sandbox, const char *status)
{
	if (!status || sandbox->freeze->complete)
		return;
	if (strcmp(status, "completed") == 0) {
		sandbox->freeze->complete = true;
		sandbox_kill_vm(sandbox); /* it is stopped, and all of it is in the files */
	} else if (strcmp(status, "failed") == 0) {
		qmp_command(sandbox->qmp, "query-migrate", NULL, on_status, sandbox);
	}
}

static void on_write_timeout(uv_timer_t *timer)
{
	struct cay_error why = { 0 };

	(void)cay_error_set(&why, CAY_TIMEOUT, ETIMEDOUT,
			    "freezing the VM took more than %d seconds", WRITE_TIMEOUT_MS / 1000);
	sandbox_fail(timer->data, &why);
}

static void write_state(struct sandbox *sandbox)
{
	static const char *const capabilities[] = { "x-ignore-shared", "events" };
	json_t *descriptor = json_object(), *target = json_object();

	json_set_string(descriptor, "fdname", "machine");
	json_set_string(target, "uri", "fd:machine");
	(void)uv_timer_start(&sandbox->timer, on_write_timeout, WRITE_TIMEOUT_MS, 0);
	qmp_command(sandbox->qmp, "migrate-set-capabilities",
		    sandbox_migration_capabilities(capabilities, ARRAY_SIZE(capabilities)),
		    on_answer, sandbox);
	qmp_command_fd(sandbox->qmp, "getfd", descriptor, sandbox->freeze->machine_fd, on_answer,
		       sandbox);
	qmp_command(sandbox->qmp, "migrate", target, on_answer, sandbox);
}

/* ---- the wait for what the guest has freed ---- */

static void on_settle(uv_timer_t *timer)
{
	struct sandbox *sandbox = timer->data;
	struct freeze *freeze = sandbox->freeze;
	struct stat st = { 0 };

	(void)fstat(freeze->memory_fd, &st);
	freeze->quiet = st.st_blocks == freeze->blocks ? freeze->quiet + 1 : 0;
	freeze->blocks = st.st_blocks;
	if (freeze->quiet >= SETTLE_QUIET_STEPS || ++freeze->steps >= SETTLE_STEPS_MAX)
		write_state(sandbox);
}

void sandbox_freeze(struct sandbox *sandbox)
{
	sandbox_open_qmp(sandbox);
	(void)uv_timer_start(&sandbox->timer, on_settle, SETTLE_STEP_MS, SETTLE_STEP_MS);
}

/* ---- the end ---- */

/* A process that writes to mapped memory and finds the disk full is killed without a word. */
static void suspect_full_disk(const char *directory, struct cay_error *why)
{
	struct statvfs fs;

	if (statvfs(directory, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < FREE_BYTES_MIN)
		(void)cay_error_prefix(why, "there is no room left for %s", directory);
}

void sandbox_finish_freeze(struct sandbox *sandbox)
{
	const struct freeze *freeze = sandbox->freeze;

	if (sandbox->why.code != CAY_OK)
		suspect_full_disk(sandbox->config->template_output, &sandbox->why);
	if (sandbox->why.code == CAY_OK && !freeze->complete)
		(void)cay_error_set(&sandbox->why, CAY_CANCELLED, ECANCELED,
				    "the VM was ended before it was frozen");
	if (sandbox->why.code == CAY_OK)
		(void)template_finish(sandbox->config->template_output, freeze->memory_fd,
				      freeze->machine_fd, freeze->shape, &sandbox->why);
}
