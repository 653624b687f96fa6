/* SPDX-License-Identifier: Apache-2.0 */
/* The method table of the Vminitd service. */
#include "guest/service.h"

#include "base/alloc.h"

static const struct rpc_method methods[] = {
	{ "Version", false, service_version },
	{ "SetTime", false, service_set_time },
	{ "AddEntropy", false, service_add_entropy },
	{ "SetSysctl", false, service_set_sysctl },
	{ "Mount", false, service_mount },
	{ "Unmount", false, service_unmount },
	{ "Sync", false, service_sync },
	{ "Freeze", false, service_freeze },
	{ "Thaw", false, service_thaw },
	{ "Trim", false, service_trim },
	{ "EndShares", false, service_end_shares },
	{ "KernelLog", false, service_kernel_log },
	{ "Shutdown", false, service_shutdown },
	{ "ConfigureNetwork", false, service_configure_network },
	{ "WaitNetwork", false, service_wait_network },
	{ "CreateContainer", false, service_create_container },
	{ "DeleteContainer", false, service_delete_container },
	{ "PauseContainer", false, service_pause_container },
	{ "ResumeContainer", false, service_resume_container },
	{ "UpdateContainer", false, service_update_container },
	{ "ContainerStats", false, service_container_stats },
	{ "ListProcesses", false, service_list_processes },
	{ "CreateProcess", false, service_create_process },
	{ "StartProcess", false, service_start_process },
	{ "WaitProcess", false, service_wait_process },
	{ "SignalProcess", false, service_signal_process },
	{ "ResizeTerminal", false, service_resize_terminal },
	{ "DeleteProcess", false, service_delete_process },
	{ "Stdio", true, service_stdio },
	{ "ListenSocket", false, service_listen_socket },
	{ "RelaySocket", true, service_relay_socket },
	{ "StatPath", false, service_stat_path },
	{ "CopyOut", false, service_copy_out },
	{ "CopyIn", true, service_copy_in },
	{ "Changes", false, service_changes },
	{ "ExportRoot", false, service_export_root },
	{ "Events", false, service_events },
};

const struct rpc_service *service_new(struct guest *guest)
{
	struct rpc_service *service = xcalloc(1, sizeof(*service));

	service->descriptor = &cay__vminitd__v1__vminitd__descriptor;
	service->methods = methods;
	service->method_count = ARRAY_SIZE(methods);
	service->user = guest;
	return service;
}

void service_answer(struct rpc_call *call, int result, const struct cay_error *err,
		    const ProtobufCMessage *response)
{
	if (result < 0)
		rpc_call_finish(call, err);
	else
		rpc_call_reply(call, response);
}
