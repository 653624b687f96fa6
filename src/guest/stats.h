/* SPDX-License-Identifier: Apache-2.0 */
/* What a container uses, and what runs in it: the ContainerStats and ListProcesses calls. */
#pragma once

#include "guest/container.h"

#include "base/buf.h"

void stats_reply(struct container *container, struct rpc_call *call);
void process_list_reply(struct container *container, struct rpc_call *call);

/* ---- texts ---- */

/* What /proc/PID/stat tells (proc(5)); times are in clock ticks. */
struct process_stat {
	char state;
	int ppid;
	int terminal; /* a device number, 0 for none */
	uint64_t user_ticks, system_ticks, start_ticks;
	uint64_t resident_pages;
	struct str name;
};
/* The name, in parentheses, may hold any byte, parentheses too. false for a text that is none. */
bool process_stat_parse(struct str text, struct process_stat *ret);

/* One line of /proc/net/dev: false for the heading and for what is none. */
bool network_line_parse(struct str line, struct str *ret_name, uint64_t ret_numbers[16]);
