/* SPDX-License-Identifier: Apache-2.0 */
/* Which starts the pool can serve, and how many members it keeps. */
#include "test.h"

#include "daemon/pool-internal.h"

static void test_served(void **state)
{
	struct sandbox_interface cards[2] = { { .kind = SANDBOX_TAP }, { .kind = SANDBOX_TAP } };
	struct sandbox_config config = { .interfaces = cards, .interface_count = 2 };

	assert_true(pool_can_serve(&config));
	cards[1].dhcp = true;
	assert_false(pool_can_serve(&config));
	cards[1] = (struct sandbox_interface){ .kind = SANDBOX_MACVTAP };
	assert_false(pool_can_serve(&config));
	cards[1].kind = SANDBOX_PASST;
	assert_false(pool_can_serve(&config));
	config.interface_count = 1;
	assert_true(pool_can_serve(&config));
	config.share_count = 1;
	assert_false(pool_can_serve(&config));
}

static void test_limit(void **state)
{
	struct daemon daemon = { .options = { .pool_size = 3 } };
	struct pool pool = { .daemon = &daemon, .limit = 3, .lock = PTHREAD_MUTEX_INITIALIZER };
	const int64_t later = 1000 + POOL_RETRY_MAX_MS;

	assert_true(pool_revise_limit(&pool, "a", 1000) < 0);
	pool.limit = 0;
	pool.limited_ms = 1000;
	assert_int_equal(pool_revise_limit(&pool, "a", later - 7), 7);
	assert_int_equal(pool.limit, 0);
	/* One, to measure it again. */
	assert_true(pool_revise_limit(&pool, "a", later) < 0);
	assert_int_equal(pool.limit, 1);
	/* What fewer take is measured with each that is made. */
	assert_true(pool_revise_limit(&pool, "a", later + POOL_RETRY_MAX_MS) < 0);
	assert_int_equal(pool.limit, 1);
	/* Another machine takes another amount. */
	pool.limit = 0;
	assert_true(pool_revise_limit(&pool, "b", later) < 0);
	assert_int_equal(pool.limit, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_served),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
