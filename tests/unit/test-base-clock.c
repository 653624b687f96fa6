/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 3339 to and from nanoseconds. */
#include "test.h"

#include "base/clock.h"

#include <errno.h>

static void test_round_trip(void **state)
{
	static const char *const texts[] = {
		"1970-01-01T00:00:00.000000001Z",
		"2026-02-28T23:59:59.999999999Z",
		"1969-12-31T23:59:59.500000000Z",
		"0001-01-01T00:00:00Z",
	};
	char again[CLOCK_TEXT_MAX];
	int64_t ns;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(clock_parse(texts[i], &ns), 0);
		clock_format_utc(ns, again);
		assert_string_equal(again, texts[i]);
	}
}

static void test_offsets_and_fractions(void **state)
{
	int64_t ns, same;

	assert_int_equal(clock_parse("2026-01-01T02:00:00+02:00", &ns), 0);
	assert_int_equal(clock_parse("2026-01-01T00:00:00Z", &same), 0);
	assert_true(ns == same);
	assert_int_equal(clock_parse("2026-01-01T00:00:00.5Z", &ns), 0);
	assert_true(ns - same == 500000000);
	assert_int_equal(clock_parse("2026-01-01T00:00:00.12345678999Z", &ns), 0);
	assert_true(ns - same == 123456789);
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"now",
		"2026-01-01",
		"2026-01-01T00:00:00",
		"2026-01-01T00:00:00+2:00",
		"2026-01-01T00:00:00Zx",
		"9999-01-01T00:00:00Z",
	};
	int64_t ns = 5;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(clock_parse(texts[i], &ns), -EINVAL);
	assert_true(ns == 5);
}

static void test_backoff(void **state)
{
	assert_int_equal(clock_backoff_ms(0, 5000, 900000), 5000);
	assert_int_equal(clock_backoff_ms(1, 5000, 900000), 10000);
	assert_int_equal(clock_backoff_ms(7, 5000, 900000), 640000);
	assert_int_equal(clock_backoff_ms(8, 5000, 900000), 900000);
	assert_int_equal(clock_backoff_ms(UINT32_MAX, 5000, 900000), 900000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_offsets_and_fractions),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
