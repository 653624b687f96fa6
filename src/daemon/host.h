/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon knows of the machine it runs on: whether KVM really works
 * here, the rate of its time stamp counter, its processors. The first two take
 * up to a second to find out, so that happens in the background.
 */
#pragma once

#include "base/error.h"
#include "daemon/options.h"

struct host;

/* Begins to find out. The options must outlive it. */
struct host *host_new(const struct daemon_options *options);
/* Waits until the search is over. NULL is allowed. */
void host_free(struct host *host);

/*
 * Blocks until it is known. *ret_acceleration is "kvm" or "tcg"; *ret_tsc_khz is 0 where it is not
 * known or not needed. Fails where --accel asks for what does not work here.
 */
int host_acceleration(struct host *host, const char **ret_acceleration, uint32_t *ret_tsc_khz,
		      struct cay_error *err);

/* Whether the guests' kernel lacks cay's patches; call after host_acceleration(). */
bool host_kernel_is_stock(const struct host *host);

/* Why it is that, for people ("KVM could not run a guest: …"); "" before it is known. Borrowed. */
const char *host_acceleration_reason(const struct host *host);

/*
 * QEMU's path, looked for once, so that no start has to go through PATH; where it is not there,
 * as it was asked for (NULL: in PATH). Borrowed.
 */
const char *host_qemu(const struct host *host);

unsigned int host_cpus(const struct host *host);
