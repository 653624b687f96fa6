/* SPDX-License-Identifier: Apache-2.0 */
/* Threads with stacks of a given size, and waiting for a given time. */
#include "test.h"

#include "base/clock.h"
#include "base/thread.h"

enum { STACK = 256 * 1024, LONG_MS = 60 * 1000 };

struct shared {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t stack;
	int detached;
	bool is_over;
};

static void *look(void *user)
{
	struct shared *shared = user;
	pthread_attr_t attributes;

	(void)pthread_getattr_np(pthread_self(), &attributes);
	(void)pthread_mutex_lock(&shared->lock);
	(void)pthread_attr_getstacksize(&attributes, &shared->stack);
	(void)pthread_attr_getdetachstate(&attributes, &shared->detached);
	shared->is_over = true;
	(void)pthread_cond_broadcast(&shared->changed);
	(void)pthread_mutex_unlock(&shared->lock);
	(void)pthread_attr_destroy(&attributes);
	return user;
}

static int set_up(void **state)
{
	struct shared *shared = calloc(1, sizeof(*shared));

	(void)pthread_mutex_init(&shared->lock, NULL);
	(void)pthread_cond_init(&shared->changed, NULL);
	*state = shared;
	return 0;
}

static int tear_down(void **state)
{
	struct shared *shared = *state;

	(void)pthread_cond_destroy(&shared->changed);
	(void)pthread_mutex_destroy(&shared->lock);
	free(shared);
	return 0;
}

static void test_joined(void **state)
{
	struct shared *shared = *state;
	pthread_t thread;
	void *result;

	assert_int_equal(thread_start(STACK, look, shared, &thread), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_ptr_equal(result, shared);
	assert_int_equal(shared->detached, PTHREAD_CREATE_JOINABLE);
	assert_in_range(shared->stack, STACK, 2 * STACK);
	/* Less than the system allows is as much as it allows. */
	assert_int_equal(thread_start(1, look, shared, &thread), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_in_range(shared->stack, 1, STACK);
}

/* Its end wakes who waits, long before the time is up. */
static void test_detached(void **state)
{
	struct shared *shared = *state;
	const int64_t begun = clock_monotonic_ms();

	(void)pthread_mutex_lock(&shared->lock);
	assert_int_equal(thread_start(STACK, look, shared, NULL), 0);
	while (!shared->is_over)
		thread_wait_ms(&shared->changed, &shared->lock, LONG_MS);
	assert_int_equal(shared->detached, PTHREAD_CREATE_DETACHED);
	(void)pthread_mutex_unlock(&shared->lock);
	assert_true(clock_monotonic_ms() - begun < LONG_MS);
}

static void test_time_is_up(void **state)
{
	static const unsigned int times[] = { 0, 20, 1001 };
	struct shared *shared = *state;

	(void)pthread_mutex_lock(&shared->lock);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		const int64_t begun = clock_monotonic_us();
		int64_t took_us;

		/* Nobody signals it, and no signal comes. */
		thread_wait_ms(&shared->changed, &shared->lock, times[i]);
		took_us = clock_monotonic_us() - begun;
		assert_in_range(took_us, times[i] * 1000, LONG_MS * 1000);
	}
	(void)pthread_mutex_unlock(&shared->lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_joined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_detached, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_time_is_up, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
