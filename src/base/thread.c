/* SPDX-License-Identifier: Apache-2.0 */
/* Starting threads, and waiting for a condition for a given time. */
#include "base/thread.h"

#include "base/clock.h"
#include "base/macros.h"

#include <limits.h>
#include <time.h>

int thread_start(size_t stack, void *(*run)(void *user), void *user, pthread_t *ret_thread)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, MAX(stack, (size_t)PTHREAD_STACK_MIN));
	if (!ret_thread)
		(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, run, user);
	(void)pthread_attr_destroy(&attributes);
	if (r == 0 && ret_thread)
		*ret_thread = thread;
	return -r;
}

void thread_wait_ms(pthread_cond_t *changed, pthread_mutex_t *lock, unsigned int ms)
{
	const struct timespec deadline = clock_deadline(ms);

	(void)pthread_cond_clockwait(changed, lock, CLOCK_MONOTONIC, &deadline);
}
