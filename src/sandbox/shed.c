/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives back the code that QEMU has translated for a guest which has become
 * idle (vm_shed()). What it is to be quiet: a few hundredths of a processor
 * over two looks; what it is worth: some time of work since the last time, as
 * a guest that wakes every now and then would else translate the same again
 * and again.
 *
 * A VM that waits in the pool is not looked at: its translated code is what it
 * is there for.
 */
#include "sandbox/sandbox-internal.h"

#include "base/log.h"

#include <time.h>

enum {
	LOOK_MS = 5000,
	QUIET_LOOKS = 2,
	QUIET_US = 100 * 1000, /* of a processor's time between two looks, at most */
	WORTH_US = 100 * 1000, /* the same since the last time, at least */
};

/* QEMU's time on the host's processors; -1 when it is gone. */
static int64_t used_us(const struct sandbox *sandbox)
{
	struct timespec time;
	clockid_t clock;

	if (clock_getcpuclockid(sandbox->vm.pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
		return -1;
	return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void on_look(uv_timer_t *timer)
{
	struct sandbox *sandbox = timer->data;
	struct shed *shed = &sandbox->shed;
	struct vm_counts counts;
	int64_t used = used_us(sandbox);

	if (used < 0)
		return;
	if (vm_read_counts(&sandbox->vm, &counts))
		log_debug("%llu blocks of code were translated ahead, %llu by its QEMU",
			  (unsigned long long)counts.taken, (unsigned long long)counts.translated);
	shed->quiet = used - shed->seen_us <= QUIET_US ? shed->quiet + 1 : 0;
	shed->seen_us = used;
	if (shed->quiet < QUIET_LOOKS || used - shed->done_us < WORTH_US)
		return;
	shed->done_us = used;
	log_debug("the guest is idle: its translated code is given back");
	vm_shed(&sandbox->vm);
}

void sandbox_begin_shedding(struct sandbox *sandbox)
{
	const bool waits = sandbox->config->purpose == SANDBOX_FOR_POOL;

	if (sandbox->vm.accel == VMM_TCG && !waits &&
	    !uv_is_active((uv_handle_t *)&sandbox->shed.timer))
		(void)uv_timer_start(&sandbox->shed.timer, on_look, LOOK_MS, LOOK_MS);
}
