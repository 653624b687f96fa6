/* SPDX-License-Identifier: Apache-2.0 */
/* The methods of the Vminitd service, by their subject. `user` of each is the struct guest. */
#pragma once

#include "guest/guest.h"

#include "rpc/rpc.h"

#include <vminitd.pb-c.h>

/* The whole service, for rpc_conn_options. Its `user` is the guest; it lives as long as the guest.
 */
const struct rpc_service *service_new(struct guest *guest);

typedef void service_method(struct rpc_call *call, const ProtobufCMessage *request, void *user);

service_method service_version, service_set_time, service_add_entropy, service_set_sysctl,
	service_mount, service_unmount, service_sync, service_freeze, service_thaw, service_trim,
	service_kernel_log, service_shutdown, service_configure_network, service_wait_network;
service_method service_create_container, service_delete_container, service_pause_container,
	service_resume_container, service_update_container, service_container_stats,
	service_list_processes, service_create_process, service_start_process, service_wait_process,
	service_signal_process, service_resize_terminal, service_delete_process, service_stdio,
	service_listen_socket, service_relay_socket, service_end_shares, service_events;
service_method service_stat_path, service_copy_out, service_copy_in, service_changes,
	service_export_root;

/* Replies, or finishes with the error where `result` is negative. */
void service_answer(struct rpc_call *call, int result, const struct cay_error *err,
		    const ProtobufCMessage *response);
