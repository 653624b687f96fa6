/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one VM: BOOTING until the guest has echoed the session's line,
 * READY, then ENDING until QEMU is reaped and every handle closed.
 *
 * The greeting, which sets the guest's clock and random numbers and asks for
 * its version, is not waited for: vminitd takes calls in their order, so that
 * whatever follows finds both set. A round trip costs an idle guest more than
 * the calls themselves.
 */
#include "sandbox/sandbox-internal.h"

#include "sandbox/call.h"
#include "vmm/priority.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

#include "vminitd.pb-c.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/wait.h>

enum {
	/* How long QEMU's own end may come after that of its channel. */
	LAST_WORDS_MS = 200,
};

static void set_state(struct sandbox *sandbox, enum state state)
{
	assert(state > sandbox->state);
	sandbox->state = state;
}

static void set_why(struct sandbox *sandbox, const struct cay_error *why)
{
	if (sandbox->why.code == CAY_OK)
		sandbox->why = *why;
}

static int start(struct sandbox *sandbox, struct cay_error *err);

/* ---- the end ---- */

void sandbox_kill_vm(struct sandbox *sandbox)
{
	sandbox->killed = true;
	vm_kill(&sandbox->vm); /* on_exit() follows */
}

static void on_kill_timer(uv_timer_t *timer)
{
	sandbox_kill_vm(timer->data);
}

static void begin_end(struct sandbox *sandbox, uint64_t kill_after_ms)
{
	if (sandbox->state < ENDING)
		set_state(sandbox, ENDING);
	if (kill_after_ms == 0)
		sandbox_kill_vm(sandbox);
	else
		(void)uv_timer_start(&sandbox->timer, on_kill_timer, kill_after_ms, 0);
}

void sandbox_fail(struct sandbox *sandbox, const struct cay_error *why)
{
	if (sandbox->state >= ENDING)
		return;
	set_why(sandbox, why);
	begin_end(sandbox,
		  LAST_WORDS_MS); /* a QEMU that died tells itself why, and it knows best */
}

static void release_vm(struct sandbox *sandbox)
{
	sandbox_close_shares(sandbox);
	vm_done(&sandbox->vm);
	nics_done(&sandbox->nics);
}

/* A clone that has not come up: everything of it is gone, and the VM is booted in its place. */
static int boot_instead(struct sandbox *sandbox)
{
	struct cay_error why = sandbox->why;
	int r;

	sandbox_give_up_template(sandbox, &why);
	cay_error_clear(&sandbox->why);
	buf_clear(&sandbox->opening);
	sandbox->killed = false;
	sandbox->state = BOOTING; /* of another VM: the one step back that there is */
	r = start(sandbox, &sandbox->why);
	if (r < 0)
		set_state(sandbox, ENDING);
	return r;
}

void sandbox_release_handle(struct sandbox *sandbox)
{
	if (--sandbox->open_handles > 0)
		return;
	release_vm(sandbox);
	if (sandbox->restoring && boot_instead(sandbox) == 0)
		return;
	if (sandbox->freeze)
		sandbox_finish_freeze(sandbox);
	set_state(sandbox, GONE);
	sandbox->events.on_gone(sandbox, &sandbox->why, sandbox->user);
}

static void on_handle_closed(uv_handle_t *handle)
{
	sandbox_release_handle(handle->data);
}

void sandbox_close_handle(void *handle)
{
	if (!uv_is_closing(handle))
		uv_close(handle, on_handle_closed);
}

static void close_handles(struct sandbox *sandbox)
{
	sandbox_close_handle(&sandbox->channel);
	sandbox_close_handle(&sandbox->exit);
	sandbox_close_handle(&sandbox->console);
	sandbox_close_handle(&sandbox->output);
	sandbox_close_handle(&sandbox->timer);
	sandbox_close_handle(&sandbox->log_timer);
	sandbox_close_handle(&sandbox->shed.timer);
	sandbox_unwatch_shares(sandbox);
	if (sandbox->qmp)
		qmp_close(sandbox->qmp);
}

/* Says how QEMU ended where that was not our doing. */
static void tell_exit(struct sandbox *sandbox, int status)
{
	_cleanup_free_ char *lines = boot_log_last_lines(&sandbox->boot_log);
	_cleanup_free_ char *how = NULL;
	/* A running guest's last lines say nothing about who has killed its QEMU. */
	const bool tell_lines = *lines && !(WIFSIGNALED(status) && sandbox->kernel[0]);

	if (WIFSIGNALED(status))
		how = xasprintf("QEMU was killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		how = xasprintf("QEMU failed with status %d", WEXITSTATUS(status));
	else
		how = xstrdup("the guest's kernel stopped");
	cay_error_clear(&sandbox->why);
	(void)cay_error_set(&sandbox->why, CAY_UNAVAILABLE, EIO, "the VM ended: %s%s%s", how,
			    tell_lines ? ": " : "", tell_lines ? lines : "");
}

static void on_exit_readable(uv_poll_t *poll, int status, int events)
{
	struct sandbox *sandbox = poll->data;
	int wait_status = 0;

	if (vm_reap(&sandbox->vm, &wait_status) == -EAGAIN)
		return;
	sandbox->vm.pid = 0;
	(void)uv_poll_stop(&sandbox->exit);
	sandbox_drain_text(sandbox);
	if (!sandbox->killed && !sandbox_shares_failed(sandbox))
		tell_exit(sandbox, wait_status);
	if (sandbox->state < ENDING)
		set_state(sandbox, ENDING);
	if (sandbox->conn)
		rpc_conn_close(sandbox->conn); /* close_handles() follows in on_conn_closed() */
	else
		close_handles(sandbox);
}

/* ---- the greeting ---- */

static void on_event(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		     size_t size, void *user)
{
	const Cay__Vminitd__V1__Event *event = (const void *)message;
	struct sandbox *sandbox = user;

	if (event && event->what_case == CAY__VMINITD__V1__EVENT__WHAT_LEASE)
		sandbox_on_lease(sandbox, event->lease);
	if (event && event->what_case == CAY__VMINITD__V1__EVENT__WHAT_OOM &&
	    sandbox->events.on_oom)
		sandbox->events.on_oom(sandbox, event->container_id, event->time_ns,
				       event->oom->kills, sandbox->user);
}

bool sandbox_is_answered(struct sandbox *sandbox, const struct cay_error *err)
{
	struct cay_error why;

	if (sandbox->state != READY)
		return false;
	if (!err)
		return true;
	why = *err;
	(void)cay_error_prefix(&why, "the guest's first answers");
	sandbox_fail(sandbox, &why);
	return false;
}

static void on_greeting(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	struct sandbox *sandbox = user;

	if (sandbox_is_answered(sandbox, err))
		(void)snprintf(sandbox->kernel, sizeof(sandbox->kernel), "%s",
			       ((const Cay__Vminitd__V1__VersionResponse *)response)->kernel);
}

static void send_greeting(struct sandbox *sandbox)
{
	Cay__Vminitd__V1__VersionRequest version = CAY__VMINITD__V1__VERSION_REQUEST__INIT;

	sandbox_refresh_guest(sandbox);
	sandbox_call(sandbox->conn, "Version", &version.base, SANDBOX_BOOT_TIMEOUT_MS, on_greeting,
		     sandbox);
}

static void listen_to_events(struct sandbox *sandbox)
{
	static const struct rpc_call_events events = { .on_message = on_event };
	Cay__Vminitd__V1__EventsRequest request = CAY__VMINITD__V1__EVENTS_REQUEST__INIT;

	(void)rpc_call_new(sandbox->conn, &cay__vminitd__v1__vminitd__descriptor, "Events",
			   &request.base, 0, &events, sandbox);
}

static void on_conn_closed(struct rpc_conn *conn, const struct cay_error *why, void *user)
{
	struct sandbox *sandbox = user;
	struct cay_error lost = *why;

	sandbox->conn = NULL;
	if (sandbox->vm.pid == 0) {
		close_handles(sandbox);
		return;
	}
	if (sandbox->state == ENDING) {
		begin_end(sandbox, LAST_WORDS_MS);
		return;
	}
	(void)cay_error_prefix(&lost, "the channel to the guest");
	set_why(sandbox, &lost);
	begin_end(sandbox, LAST_WORDS_MS);
}

static void channel_failed(struct sandbox *sandbox, int error)
{
	struct cay_error why = { 0 };

	(void)uv_poll_stop(&sandbox->channel);
	if (sandbox->state >= ENDING)
		return;
	(void)cay_error_errno(&why, error, "opening the channel to the guest");
	set_why(sandbox, &why);
	begin_end(sandbox, LAST_WORDS_MS);
}

void sandbox_part_ready(struct sandbox *sandbox)
{
	assert(sandbox->awaited > 0);
	if (--sandbox->awaited == 0 && sandbox->state == READY)
		sandbox->events.on_ready(sandbox, sandbox->user);
}

/* The guest has echoed the session's line: HTTP/2 begins. */
static void open_session(struct sandbox *sandbox)
{
	const struct rpc_conn_options options = { .on_close = on_conn_closed, .user = sandbox };
	struct cay_error err = { 0 };

	(void)uv_poll_stop(&sandbox->channel);
	sandbox_close_handle(&sandbox->channel);
	if (rpc_conn_new(sandbox->loop, TAKE_FD(sandbox->vm.channel_fd), &options,
			 sandbox->opening.data, sandbox->opening.length, &sandbox->conn,
			 &err) < 0) {
		sandbox_fail(sandbox, &err);
		return;
	}
	buf_done(&sandbox->opening);
	(void)uv_timer_stop(&sandbox->timer);
	sandbox->cloned = sandbox->restoring;
	sandbox->restoring = false;
	set_state(sandbox, READY);
	send_greeting(sandbox);
	listen_to_events(sandbox);
	sandbox_configure_network(sandbox);
	sandbox_part_ready(sandbox);
	sandbox_listen(sandbox);
}

static void on_channel(uv_poll_t *poll, int status, int events)
{
	struct sandbox *sandbox = poll->data;
	ssize_t n;

	if (sandbox->state != BOOTING) {
		(void)uv_poll_stop(poll);
		return;
	}
	n = read(sandbox->vm.channel_fd, buf_reserve(&sandbox->opening, 4096), 4096);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		channel_failed(sandbox, n < 0 ? errno : ECONNRESET);
		return;
	}
	sandbox->opening.length += (size_t)n;
	if (!session_find(&sandbox->opening, sandbox->session_line))
		return;
	if (sandbox->freeze) {
		(void)uv_poll_stop(poll);
		sandbox_freeze(sandbox);
	} else {
		open_session(sandbox);
	}
}

static int timeout_ms(const struct sandbox *sandbox)
{
	return sandbox->restoring ? SANDBOX_RESTORE_TIMEOUT_MS : SANDBOX_BOOT_TIMEOUT_MS;
}

static void on_boot_timeout(uv_timer_t *timer)
{
	struct sandbox *sandbox = timer->data;
	_cleanup_free_ char *lines = boot_log_last_lines(&sandbox->boot_log);
	struct cay_error why = { 0 };

	(void)cay_error_set(&why, CAY_TIMEOUT, ETIMEDOUT,
			    "the VM did not come up within %d seconds%s%s",
			    timeout_ms(sandbox) / 1000, *lines ? "; its last lines: " : "", lines);
	sandbox_fail(sandbox, &why);
}

/* ---- start ---- */

void sandbox_watch(struct sandbox *sandbox, uv_poll_t *poll, int fd, uv_poll_cb callback)
{
	(void)fd_set_nonblocking(fd, true);
	if (uv_poll_init(sandbox->loop, poll, fd) < 0 ||
	    uv_poll_start(poll, UV_READABLE, callback) < 0)
		abort(); /* a fresh socket or pipe of ours */
	poll->data = sandbox;
	sandbox->open_handles++;
}

static void add_timer(struct sandbox *sandbox, uv_timer_t *timer)
{
	(void)uv_timer_init(sandbox->loop, timer);
	timer->data = sandbox;
	sandbox->open_handles++;
}

/* What the machine is made from or into, beside what the configuration describes. */
static int add_template(struct sandbox *sandbox, struct vm_machine *machine, struct cay_error *err)
{
	if (sandbox->config->purpose == SANDBOX_FOR_TEMPLATE)
		return sandbox_prepare_freeze(sandbox, machine, err);
	sandbox_use_template(sandbox, machine);
	return 0;
}

/* Files, cards and machine; after a failure there is nothing of them. */
static int start_vm(struct sandbox *sandbox, struct cay_error *err)
{
	const struct sandbox_config *config = sandbox->config;
	_cleanup_free_ struct vm_extent *extents = NULL;
	_cleanup_free_ char *library = process_find_part(SANDBOX_QEMU_LIBRARY);
	struct vm_machine machine = sandbox_describe(config, &extents);
	struct nics *nics = &sandbox->nics;
	int r = sandbox_open_shares(sandbox, config, &machine.shares_fd, err);

	machine.preload = library;
	if (r == 0)
		r = nics_open(nics, config, err);
	if (r == 0) {
		memcpy(machine.nics, nics->cards, sizeof(nics->cards));
		machine.nic_count = nics->count;
		r = add_template(sandbox, &machine, err);
	}
	if (r == 0)
		r = sandbox_open_translations(config, &machine, err);
	if (r == 0)
		r = vm_start(&machine, &sandbox->vm, err);
	sandbox_close_translations(&machine);
	if (r == 0)
		r = nics_attach(nics, err);
	if (r < 0)
		release_vm(sandbox);
	return r;
}

static void watch_vm(struct sandbox *sandbox)
{
	const struct vm *vm = &sandbox->vm;

	sandbox_watch(sandbox, &sandbox->channel, vm->channel_fd, on_channel);
	sandbox_watch(sandbox, &sandbox->exit, vm->pidfd, on_exit_readable);
	sandbox_watch(sandbox, &sandbox->console, vm->console_fd, sandbox_on_text);
	sandbox_watch(sandbox, &sandbox->output, vm->output_fd, sandbox_on_text);
	sandbox->awaited = 1; /* the guest */
	sandbox_watch_shares(sandbox);
	add_timer(sandbox, &sandbox->timer);
	add_timer(sandbox, &sandbox->log_timer);
	add_timer(sandbox, &sandbox->shed.timer);
	(void)uv_timer_start(&sandbox->timer, on_boot_timeout, (uint64_t)timeout_ms(sandbox), 0);
}

static int start(struct sandbox *sandbox, struct cay_error *err)
{
	uint64_t number = 0;
	int r = start_vm(sandbox, err);

	if (r < 0 && sandbox->restoring) {
		sandbox_give_up_template(sandbox, err);
		cay_error_clear(err);
		r = start_vm(sandbox, err);
	}
	if (r < 0)
		return r;
	if (sandbox->config->purpose == SANDBOX_FOR_POOL && !priority_lower(sandbox->vm.pid))
		log_debug("the VM is made ready at full priority");
	watch_vm(sandbox);
	sandbox_know_cards(sandbox);
	if (sandbox->restoring)
		sandbox_restore(sandbox);
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		abort();
	if (sandbox->freeze)
		memcpy(sandbox->session_line, SESSION_FREEZE, sizeof(sandbox->session_line));
	else
		session_format(number, sandbox->session_line);
	/* The socket holds the line until the guest has opened its port. */
	if (write_full(sandbox->vm.channel_fd, sandbox->session_line,
		       sizeof(sandbox->session_line)) < 0)
		log_debug("QEMU is gone already"); /* on_exit_readable() tells why */
	return 0;
}

int sandbox_boot(uv_loop_t *loop, const struct sandbox_config *config,
		 const struct sandbox_events *events, void *user, struct sandbox **ret_sandbox,
		 struct cay_error *err)
{
	struct sandbox *sandbox = xcalloc(1, sizeof(*sandbox));
	int r;

	sandbox->loop = loop;
	sandbox->config = config;
	sandbox->events = *events;
	sandbox->user = user;
	sandbox->template = TEMPLATE_NONE;
	boot_log_init(&sandbox->boot_log, config->boot_log_path);
	r = start(sandbox, err);
	if (r < 0) {
		sandbox->state = GONE;
		sandbox_free(sandbox);
		return r;
	}
	*ret_sandbox = sandbox;
	return 0;
}

struct rpc_conn *sandbox_conn(const struct sandbox *sandbox)
{
	return sandbox && sandbox->state == READY ? sandbox->conn : NULL;
}

uv_loop_t *sandbox_loop(const struct sandbox *sandbox)
{
	return sandbox->loop;
}

bool sandbox_is_clone(const struct sandbox *sandbox)
{
	return sandbox->cloned;
}

const char *sandbox_template_error(const struct sandbox *sandbox)
{
	return sandbox->template_error;
}

pid_t sandbox_vm_pid(const struct sandbox *sandbox)
{
	return sandbox->vm.pid;
}

const char *sandbox_kernel(const struct sandbox *sandbox)
{
	return sandbox->kernel;
}

/* ---- the orderly end ---- */

void sandbox_farewell_done(struct sandbox *sandbox)
{
	if (--sandbox->farewells == 0)
		sandbox_kill_vm(sandbox);
}

static void on_synced(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	struct sandbox *sandbox = user;

	if (err && err->code != CAY_CANCELLED && sandbox->conn)
		log_warning("writing the guest's disks: %s", err->message);
	sandbox_farewell_done(sandbox);
}

void sandbox_end(struct sandbox *sandbox, bool sync)
{
	Cay__Vminitd__V1__SyncRequest request = CAY__VMINITD__V1__SYNC_REQUEST__INIT;

	sandbox->restoring = false; /* what ends is not booted instead */
	if (sandbox->state >= ENDING) {
		if (!sync && sandbox->state == ENDING)
			sandbox_kill_vm(sandbox);
		return;
	}
	if (!sync || sandbox->state != READY) {
		const bool release = sandbox->state == READY && sandbox_release_leases(sandbox);

		begin_end(sandbox, release ? SANDBOX_RELEASE_TIMEOUT_MS : 0);
		return;
	}
	/*
	 * Nothing runs in the containers any more, so what is synced is all there is. Unmounting
	 * would spare the next start the journal's replay, but costs several times as long as that.
	 */
	begin_end(sandbox, SANDBOX_SYNC_TIMEOUT_MS);
	sandbox_fetch_kernel_log(sandbox);
	(void)sandbox_release_leases(sandbox);
	sandbox->farewells++;
	sandbox_call(sandbox->conn, "Sync", &request.base, SANDBOX_SYNC_TIMEOUT_MS, on_synced,
		     sandbox);
}

void sandbox_free(struct sandbox *sandbox)
{
	if (!sandbox)
		return;
	assert(sandbox->state == GONE);
	boot_log_done(&sandbox->boot_log);
	buf_done(&sandbox->opening);
	template_close(&sandbox->template);
	sandbox_free_freeze(sandbox->freeze);
	free(sandbox);
}
