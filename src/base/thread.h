/* SPDX-License-Identifier: Apache-2.0 */
/* Threads with a stack of a given size, and waiting for a condition for a given time. */
#pragma once

#include <pthread.h>
#include <stddef.h>

/*
 * Starts a thread with a stack of `stack` bytes, or the least that the system allows; detached with
 * NULL for ret_thread. 0 or -errno; *ret_thread may be written after the thread has begun.
 */
int thread_start(size_t stack, void *(*run)(void *user), void *user, pthread_t *ret_thread);

/*
 * With the lock held: waits until the condition is signalled, `ms` at most; the caller looks what
 * has changed. By the monotonic clock, whichever clock the condition has.
 */
void thread_wait_ms(pthread_cond_t *changed, pthread_mutex_t *lock, unsigned int ms);
