/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the thread behind a running container share. */
#pragma once

#include "daemon/supervisor.h"
#include "daemon/templates.h"

struct supervisor {
	struct container *container; /* a reference */
	struct rpc_client *client;
	pid_t shim_pid;
	int64_t begun_ms;            /* when the VM was begun, by clock_monotonic_ms() */
	char key[TEMPLATE_KEY_SIZE]; /* of its machine, or "" */
	bool recovered;              /* the container runs already */
	/*
	 * It is removed at its end, and its VM has nothing that others may want at once: files of
	 * the host, disks of volumes, ports, links.
	 */
	bool is_light;
	int vm_pidfd; /* of a light one's QEMU; -1: none */
};

/* supervisor-end.c */
/* Nothing of the run is left after this: no process, no run directory. Waits for the VM. */
void supervisor_clear_away(struct supervisor *supervisor);
/*
 * After that: whoever waits for the container to be free goes on, and one that is to be removed at
 * its end is.
 */
void supervisor_finish(struct supervisor *supervisor);
/*
 * Both for a light one, in the other order: a client that waits for the container to be gone need
 * not wait for its VM, which takes some time to give its memory back. False, with the container
 * still there, where it can't be removed now.
 */
bool supervisor_remove_at_once(struct supervisor *supervisor);
