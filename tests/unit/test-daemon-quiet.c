/* SPDX-License-Identifier: Apache-2.0 */
/* When work that nobody waits for may begin. */
#include "test.h"

#include "base/clock.h"
#include "daemon/quiet.h"

#include <poll.h>

static void test_pause(void **state)
{
	struct quiet *quiet = quiet_new();
	const int64_t now = clock_monotonic_ms();
	int64_t left = quiet_left_ms(quiet, now);

	/* The daemon has only just begun. */
	assert_true(left > 0 && left <= 1000);
	while ((left = quiet_left_ms(quiet, now)) > 0)
		(void)poll(NULL, 0, (int)left);
	quiet_interrupt(quiet);
	assert_true(quiet_left_ms(quiet, now) > 0);
	quiet_interrupt(quiet);
	quiet_resume(quiet);
	assert_true(quiet_left_ms(quiet, now) > 0);
	quiet_resume(quiet);
	assert_true(quiet_left_ms(quiet, now) > 0);
	quiet_free(quiet);
}

static void test_patience(void **state)
{
	struct quiet *quiet = quiet_new();
	const int64_t long_ago = clock_monotonic_ms() - 3600 * 1000;

	assert_true(quiet_left_ms(quiet, long_ago) == 0);
	/* Starts that overlap, so that one is always under way. */
	quiet_interrupt(quiet);
	assert_true(quiet_left_ms(quiet, clock_monotonic_ms()) > 0);
	assert_true(quiet_left_ms(quiet, long_ago) == 0);
	quiet_interrupt(quiet);
	quiet_resume(quiet);
	assert_true(quiet_left_ms(quiet, long_ago) == 0);
	quiet_resume(quiet);
	assert_true(quiet_left_ms(quiet, long_ago) == 0);
	quiet_free(quiet);
	quiet_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_patience),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
