/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt, which gives a guest a network with no privileges at all: it ends the
 * guest's connections and opens its own. One a sandbox; it reads and writes the
 * guest's frames on one end of a socket pair of which QEMU has the other, and
 * leaves when that is closed.
 */
#pragma once

#include "sandbox/config.h"

/*
 * What its guest is given. passt would give it the host's own address, and then the guest could
 * not reach the host by it. Questions that are asked of the gateway go to the host's resolver, also
 * to one on the host's loopback, which passt's own DHCP server would not name.
 */
#define PASST_ADDRESS "10.0.2.100"
#define PASST_PREFIX  "24"
#define PASST_GATEWAY "10.0.2.2"

/* passt's arguments, its name first; it finds its socket as descriptor `fd`. */
void passt_arguments(const struct sandbox_config *config, const struct sandbox_interface *interface,
		     int fd, struct strv *argv);

/*
 * Starts it with its end of the pair. It tells by its first process's end that it is ready, and
 * then runs on as a daemon; passt_wait() waits for that. Both values are passt_wait()'s.
 */
int passt_spawn(const struct sandbox_config *config, const struct sandbox_interface *interface,
		int fd, pid_t *ret_pid, int *ret_output, struct cay_error *err);
/* What it says when it can't start becomes the error. *pid is 0 and *output -1 afterwards. */
int passt_wait(pid_t *pid, int *output, struct cay_error *err);
