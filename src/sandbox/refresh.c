/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest can't know by itself, and is told when it is there: random numbers, and the time. */
#include "sandbox/sandbox-internal.h"

#include "sandbox/call.h"

#include "base/alloc.h"
#include "base/clock.h"

#include "vminitd.pb-c.h"

#include <sys/random.h>

/*
 * The guest's clock is behind by the time the message took, which is no more than the answer took
 * to come. On a busy machine that is more than programs that compare times put up with: the time is
 * then told again, to a guest that has been woken by now.
 */
enum { ENTROPY_BYTES = 64, ANSWER_SLOW_US = 10 * 1000, REPEATS_MAX = 4 };

static void send_time(struct sandbox *sandbox);

static void on_entropy(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	(void)sandbox_is_answered(user, err);
}

static void on_time(const ProtobufCMessage *response, const struct cay_error *err, void *user)
{
	struct sandbox *sandbox = user;

	if (!sandbox_is_answered(sandbox, err) || sandbox->time.repeats >= REPEATS_MAX ||
	    clock_monotonic_us() - sandbox->time.sent_us <= ANSWER_SLOW_US)
		return;
	sandbox->time.repeats++;
	send_time(sandbox);
}

static void send_time(struct sandbox *sandbox)
{
	Cay__Vminitd__V1__SetTimeRequest request = CAY__VMINITD__V1__SET_TIME_REQUEST__INIT;

	/* A repetition that takes even longer must not set a container's clock back. */
	request.only_forward = sandbox->time.repeats > 0;
	sandbox->time.sent_us = clock_monotonic_us();
	request.unix_ns = clock_now_ns();
	sandbox_call(sandbox->conn, "SetTime", &request.base, SANDBOX_BOOT_TIMEOUT_MS, on_time,
		     sandbox);
}

void sandbox_refresh_guest(struct sandbox *sandbox)
{
	Cay__Vminitd__V1__AddEntropyRequest entropy = CAY__VMINITD__V1__ADD_ENTROPY_REQUEST__INIT;
	uint8_t random[ENTROPY_BYTES];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort(); /* the host's generator is ready, and 64 bytes are never cut */
	entropy.data = (ProtobufCBinaryData){ sizeof(random), random };
	sandbox_call(sandbox->conn, "AddEntropy", &entropy.base, SANDBOX_BOOT_TIMEOUT_MS,
		     on_entropy, sandbox);
	sandbox->time.repeats = 0;
	send_time(sandbox);
}
