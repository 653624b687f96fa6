/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wall around cay-files. Started as root it sees nothing of the host but
 * the shares: a mount namespace with a root that holds nothing else, each of
 * them without set-id programs and devices, read-only where asked for; and
 * network, ipc, uts and cgroup namespaces of its own. A pid namespace only
 * holds children; instead no system call that is left names a process. It
 * keeps the capabilities that owning files takes, as root of the host.
 *
 * Started by an ordinary user there is no way to most of that: it then has no
 * new privileges, limits, a list of system calls, and what the user has.
 */
#pragma once

#include "files/share.h"

/*
 * Opens the roots of the shares and enters the wall; the process must have one thread. Its working
 * directory is /proc/self/fd then, from which no way leads on. *ret_walled: all of the wall is
 * there.
 */
int jail_enter(struct share_list *list, bool *ret_walled, struct cay_error *err);
