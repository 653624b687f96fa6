/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a machine says beside the channel's calls: its console and QEMU's own
 * messages, the kernel's log, and QMP's events. All of it is text of a stranger
 * and goes to the boot log, which is bounded; only a VM that QEMU has stopped
 * has a consequence.
 */
#include "sandbox/sandbox-internal.h"

#include "base/log.h"

#include "vminitd.pb-c.h"

#include <errno.h>
#include <string.h>

enum {
	KERNEL_LOG_DELAY_MS = 1000,
	KERNEL_LOG_TIMEOUT_MS = 1000, /* at the end; nobody waits long for it */
};

/* ---- console and QEMU's own messages ---- */

/* Reads what is left without waiting. */
static void drain(struct sandbox *sandbox, int fd)
{
	char chunk[4096];

	for (unsigned int i = 0; i < BOOT_LOG_MAX / sizeof(chunk); i++) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n <= 0)
			return;
		boot_log_append(&sandbox->boot_log, chunk, (size_t)n);
	}
}

void sandbox_drain_text(struct sandbox *sandbox)
{
	drain(sandbox, sandbox->vm.console_fd);
	drain(sandbox, sandbox->vm.output_fd);
}

void sandbox_on_text(uv_poll_t *poll, int status, int events)
{
	struct sandbox *sandbox = poll->data;
	char chunk[16 * 1024];
	int fd = poll == &sandbox->console ? sandbox->vm.console_fd : sandbox->vm.output_fd;
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n > 0)
		boot_log_append(&sandbox->boot_log, chunk, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		(void)uv_poll_stop(poll);
}

/* ---- the kernel's log ---- */

static void on_kernel_log(struct rpc_call *call, const ProtobufCMessage *message,
			  const uint8_t *data, size_t size, void *user)
{
	const Cay__Vminitd__V1__KernelLogResponse *response = (const void *)message;
	struct sandbox *sandbox = user;

	if (response && response->text.len > 0)
		boot_log_append(&sandbox->boot_log, response->text.data, response->text.len);
}

static void on_kernel_log_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct sandbox *sandbox = user;

	if (sandbox->kernel_log_awaited)
		sandbox_farewell_done(sandbox);
	sandbox->kernel_log_awaited = false;
}

static void ask_kernel_log(struct sandbox *sandbox, bool follow)
{
	static const struct rpc_call_events events = { .on_message = on_kernel_log,
						       .on_end = on_kernel_log_end };
	Cay__Vminitd__V1__KernelLogRequest request = CAY__VMINITD__V1__KERNEL_LOG_REQUEST__INIT;

	sandbox->kernel_log_asked = true;
	request.follow = follow;
	(void)rpc_call_new(sandbox->conn, &cay__vminitd__v1__vminitd__descriptor, "KernelLog",
			   &request.base, follow ? 0 : KERNEL_LOG_TIMEOUT_MS, &events, sandbox);
}

/* The kernel's messages would slow a start down, so they are asked for when it is over. */
static void on_log_timer(uv_timer_t *timer)
{
	struct sandbox *sandbox = timer->data;

	if (sandbox->state == READY)
		ask_kernel_log(sandbox, true);
}

void sandbox_follow_kernel_log(struct sandbox *sandbox)
{
	(void)uv_timer_start(&sandbox->log_timer, on_log_timer, KERNEL_LOG_DELAY_MS, 0);
}

void sandbox_fetch_kernel_log(struct sandbox *sandbox)
{
	if (sandbox->kernel_log_asked)
		return;
	sandbox->farewells++;
	sandbox->kernel_log_awaited = true;
	ask_kernel_log(sandbox, false);
}

/* ---- what QEMU says of the machine ---- */

static void on_qmp_status(json_t *result, const struct cay_error *err, void *user)
{
	const char *status = json_string_value(json_object_get(result, "status"));
	struct sandbox *sandbox = user;
	struct cay_error why = { 0 };

	if (err || !status || strcmp(status, "running") == 0)
		return;
	(void)cay_error_set(&why, CAY_UNAVAILABLE, EIO, "the VM ended: QEMU stopped it (%.64s)",
			    status);
	sandbox_fail(sandbox, &why);
}

/* Nobody here stops a running VM: QEMU does so where it can't go on, and would wait for ever. */
static void on_qmp_event(struct qmp *qmp, const char *name, json_t *data, void *user)
{
	struct sandbox *sandbox = user;

	if (strcmp(name, "MIGRATION") == 0 && sandbox->freeze)
		sandbox_on_migration(sandbox, json_string_value(json_object_get(data, "status")));
	else if (strcmp(name, "STOP") == 0 && !sandbox->freeze)
		qmp_command(qmp, "query-status", NULL, on_qmp_status, user);
	else
		log_debug("QEMU: %.64s", name);
}

static void on_qmp_close(struct qmp *qmp, const struct cay_error *why, void *user)
{
	struct sandbox *sandbox = user;

	sandbox->qmp = NULL;
	sandbox_release_handle(sandbox);
}

void sandbox_open_qmp(struct sandbox *sandbox)
{
	static const struct qmp_events events = { .on_event = on_qmp_event,
						  .on_close = on_qmp_close };

	if (sandbox->qmp)
		return;
	sandbox->open_handles++;
	sandbox->qmp = qmp_new(sandbox->loop, TAKE_FD(sandbox->vm.qmp_fd), &events, sandbox);
}

void sandbox_listen(struct sandbox *sandbox)
{
	/* Of one that waits for its container all of it goes to that one's log. */
	if (sandbox->config->purpose != SANDBOX_FOR_POOL)
		sandbox_follow_kernel_log(sandbox);
	sandbox_open_qmp(sandbox);
}
