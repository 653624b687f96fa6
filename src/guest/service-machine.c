/* SPDX-License-Identifier: Apache-2.0 */
/* Methods about the guest as a machine. Those that wait for a disk run as tasks. */
#include "guest/service.h"

#include "guest/container.h"
#include "guest/held.h"
#include "guest/kernel-log.h"
#include "guest/machine.h"
#include "guest/mounts.h"
#include "guest/share.h"
#include "guest/task.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

/* Abilities beyond the service's first form get a name here, so that a host can ask. */
static char *const features[] = { (char *)"seccomp", (char *)"devices", (char *)"pressure",
				  (char *)"network" };

void service_version(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;
	const struct guest *guest = user;
	struct utsname kernel = { 0 };
	struct sysinfo info = { 0 };

	(void)request;
	(void)uname(&kernel); /* these two fail for no valid pointer */
	(void)sysinfo(&info);
	response.version = (char *)CAY_VERSION;
	response.kernel = kernel.release;
	response.features = (char **)features;
	response.n_features = ARRAY_SIZE(features);
	response.booted_monotonic_us = guest->booted_us;
	response.memory_bytes = (int64_t)info.totalram * info.mem_unit;
	rpc_call_reply(call, &response.base);
}

void service_set_time(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__SetTimeResponse response = CAY__VMINITD__V1__SET_TIME_RESPONSE__INIT;
	const Cay__Vminitd__V1__SetTimeRequest *time = (const void *)request;
	struct cay_error err = { 0 };

	(void)user;
	service_answer(call, machine_set_time(time->unix_ns, time->only_forward, &err), &err,
		       &response.base);
}

void service_add_entropy(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__AddEntropyResponse response =
		CAY__VMINITD__V1__ADD_ENTROPY_RESPONSE__INIT;
	const ProtobufCBinaryData *data =
		&((const Cay__Vminitd__V1__AddEntropyRequest *)request)->data;
	struct cay_error err = { 0 };

	(void)user;
	service_answer(call, machine_add_entropy(data->data, data->len, &err), &err,
		       &response.base);
}

void service_set_sysctl(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__SetSysctlResponse response = CAY__VMINITD__V1__SET_SYSCTL_RESPONSE__INIT;
	const Cay__Vminitd__V1__SetSysctlRequest *sysctl =
		(const Cay__Vminitd__V1__SetSysctlRequest *)request;
	struct cay_error err = { 0 };

	(void)user;
	service_answer(call, machine_set_sysctl(sysctl->name, sysctl->value, &err), &err,
		       &response.base);
}

/* ---- those that may wait ---- */

/* What a task is to do, and which empty message answers it. */
struct disk_task {
	const ProtobufCMessage *request;
	struct held *held;
	void (*reply)(struct held *held, uint64_t value);
};

static void on_disk_task(int result, uint64_t value, const struct cay_error *err, void *user)
{
	struct disk_task *task = user;

	if (result < 0)
		held_fail(task->held, err);
	else
		task->reply(task->held, value);
	free(task);
}

static void start_disk_task(struct guest *guest, struct rpc_call *call,
			    const ProtobufCMessage *request,
			    int (*run)(const void *input, uint64_t *ret_value,
				       struct cay_error *err),
			    void (*reply)(struct held *held, uint64_t value))
{
	struct disk_task *task = xcalloc(1, sizeof(*task));
	struct cay_error err = { 0 };

	task->reply = reply;
	task->held = held_new(call, NULL, NULL);
	if (task_start(guest, run, request, on_disk_task, task, &err) < 0)
		on_disk_task(-err.err, 0, &err, task);
}

/* An empty response of one kind. */
#define DEFINE_REPLY(name, type, init) \
	static void name(struct held *held, uint64_t value) \
	{ \
		type response = init; \
\
		(void)value; \
		held_reply(held, &response.base); \
	} \
	static_assert(1, "")

DEFINE_REPLY(reply_mount, Cay__Vminitd__V1__MountResponse, CAY__VMINITD__V1__MOUNT_RESPONSE__INIT);
DEFINE_REPLY(reply_unmount, Cay__Vminitd__V1__UnmountResponse,
	     CAY__VMINITD__V1__UNMOUNT_RESPONSE__INIT);
DEFINE_REPLY(reply_sync, Cay__Vminitd__V1__SyncResponse, CAY__VMINITD__V1__SYNC_RESPONSE__INIT);
DEFINE_REPLY(reply_freeze, Cay__Vminitd__V1__FreezeResponse,
	     CAY__VMINITD__V1__FREEZE_RESPONSE__INIT);
DEFINE_REPLY(reply_thaw, Cay__Vminitd__V1__ThawResponse, CAY__VMINITD__V1__THAW_RESPONSE__INIT);
DEFINE_REPLY(reply_end_shares, Cay__Vminitd__V1__EndSharesResponse,
	     CAY__VMINITD__V1__END_SHARES_RESPONSE__INIT);

static int run_mount(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	const Cay__Vminitd__V1__Mount *mount =
		((const Cay__Vminitd__V1__MountRequest *)input)->mount;
	const struct strv options = { mount->options, mount->n_options };

	(void)ret_value;
	return mount_guest(mount->type, mount->source, mount->target, &options, err);
}

static int run_unmount(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	const Cay__Vminitd__V1__UnmountRequest *request = input;

	(void)ret_value;
	return machine_unmount(request->target, request->lazy, err);
}

static int run_sync(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	(void)input;
	(void)ret_value;
	(void)err;
	sync();
	return 0;
}

static int run_freeze(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	(void)ret_value;
	return machine_freeze(((const Cay__Vminitd__V1__FreezeRequest *)input)->target, err);
}

static int run_thaw(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	(void)ret_value;
	return machine_thaw(((const Cay__Vminitd__V1__ThawRequest *)input)->target, err);
}

static int run_end_shares(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	(void)input;
	(void)ret_value;
	return shares_end(err);
}

static int run_trim(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	return machine_trim(((const Cay__Vminitd__V1__TrimRequest *)input)->target, ret_value, err);
}

static void reply_trim(struct held *held, uint64_t value)
{
	Cay__Vminitd__V1__TrimResponse response = CAY__VMINITD__V1__TRIM_RESPONSE__INIT;

	response.trimmed_bytes = value;
	held_reply(held, &response.base);
}

void service_mount(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct cay_error err = { 0 };

	if (!((const Cay__Vminitd__V1__MountRequest *)request)->mount) {
		(void)cay_error_set(&err, CAY_INVALID, EINVAL, "no mount is given");
		rpc_call_finish(call, &err);
		return;
	}
	start_disk_task(user, call, request, run_mount, reply_mount);
}

void service_unmount(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	start_disk_task(user, call, request, run_unmount, reply_unmount);
}

void service_sync(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	start_disk_task(user, call, request, run_sync, reply_sync);
}

void service_freeze(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	start_disk_task(user, call, request, run_freeze, reply_freeze);
}

void service_thaw(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	start_disk_task(user, call, request, run_thaw, reply_thaw);
}

void service_trim(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	start_disk_task(user, call, request, run_trim, reply_trim);
}

void service_end_shares(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	start_disk_task(user, call, request, run_end_shares, reply_end_shares);
}

void service_kernel_log(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	kernel_log_serve(user, call, ((const Cay__Vminitd__V1__KernelLogRequest *)request)->follow);
}

/* ---- the network ---- */

void service_configure_network(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__ConfigureNetworkResponse response =
		CAY__VMINITD__V1__CONFIGURE_NETWORK_RESPONSE__INIT;
	const Cay__Vminitd__V1__ConfigureNetworkRequest *network =
		(const Cay__Vminitd__V1__ConfigureNetworkRequest *)request;
	struct cay_error err = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < network->n_interfaces; i++)
		r = network_configure(user, network->interfaces[i], &err);
	service_answer(call, r, &err, &response.base);
}

void service_wait_network(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	network_wait(user, call,
		     ((const Cay__Vminitd__V1__WaitNetworkRequest *)request)->timeout_ms);
}

/* ---- the end ---- */

/* Task: what the processes have written is on the disks before the machine goes. */
static int run_settle(const void *input, uint64_t *ret_value, struct cay_error *err)
{
	(void)input;
	(void)ret_value;
	(void)err;
	machine_settle_disks();
	return 0;
}

static void on_answer_sent(struct rpc_call *call, const struct cay_error *status, void *user)
{
	(void)call;
	(void)status;
	(void)user;
	machine_reboot();
}

static void on_settled(int result, uint64_t value, const struct cay_error *err, void *user)
{
	static const struct rpc_call_events events = { .on_end = on_answer_sent };
	Cay__Vminitd__V1__ShutdownResponse response = CAY__VMINITD__V1__SHUTDOWN_RESPONSE__INIT;
	struct guest *guest = user;

	(void)value;
	if (result < 0)
		log_warning("shutting down: %s", err->message);
	if (!guest->shutdown_call)
		machine_reboot();
	rpc_call_set_events(guest->shutdown_call, &events, NULL);
	rpc_call_reply(guest->shutdown_call, &response.base);
}

/* The host has gone meanwhile; the shutdown goes on. */
static void on_shutdown_gone(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct guest *guest = user;

	(void)call;
	(void)status;
	guest->shutdown_call = NULL;
}

void service_shutdown(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_end = on_shutdown_gone };
	struct guest *guest = user;
	struct cay_error err = { 0 };

	(void)request; /* the machine's restart is its end too: the host decides what follows */
	if (guest->shutting_down) {
		(void)cay_error_set(&err, CAY_CONFLICT, EALREADY, "the guest is shutting down");
		rpc_call_finish(call, &err);
		return;
	}
	guest->shutting_down = true;
	guest->shutdown_call = call;
	rpc_call_set_events(call, &events, guest);
	containers_kill(guest);
	if (task_start(guest, run_settle, NULL, on_settled, guest, &err) < 0)
		on_settled(-err.err, 0, &err, guest);
}
