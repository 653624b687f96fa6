/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, times and text as people read and write them. */
#include "test.h"

#include "base/alloc.h"
#include "cli/human.h"
#include "cli/text.h"

#include <errno.h>
#include <time.h>

#define NOW INT64_C(1769862896123456789) /* 2026-01-31T12:34:56.123456789Z */

static void test_sizes(void **state)
{
	static const struct {
		double bytes;
		const char *rough, *precise, *binary;
	} cases[] = {
		{ 0, "0B", "0B", "0B" },
		{ 999, "999B", "999B", "999B" },
		{ 1000, "1kB", "1kB", "1000B" },
		{ 12345678, "12.3MB", "12.35MB", "11.77MiB" },
		{ 999600, "1MB", "999.6kB", "976.2KiB" }, /* rounded up: the next unit */
		{ 999999, "1MB", "1MB", "976.6KiB" },
		{ 8e6, "8MB", "8MB", "7.629MiB" },
		{ 5e12, "5TB", "5TB", "4.547TiB" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[HUMAN_MAX];

		human_size(cases[i].bytes, true, text);
		assert_string_equal(text, cases[i].precise);
		human_size(cases[i].bytes, false, text);
		assert_string_equal(text, cases[i].rough);
		human_binary_size(cases[i].bytes, text);
		assert_string_equal(text, cases[i].binary);
	}
}

static void test_durations(void **state)
{
	static const struct {
		int64_t seconds;
		const char *text;
	} cases[] = {
		{ -5, "Less than a second" },
		{ 0, "Less than a second" },
		{ 1, "1 second" },
		{ 59, "59 seconds" },
		{ 60, "About a minute" },
		{ 119, "About a minute" },
		{ 120, "2 minutes" },
		{ 59 * 60 + 59, "59 minutes" },
		{ 3600, "About an hour" },
		{ 89 * 60 + 59, "About an hour" },
		{ 90 * 60, "2 hours" },
		{ 47 * 3600, "47 hours" },
		{ 48 * 3600, "2 days" },
		{ 14 * 86400, "2 weeks" },
		{ 60 * 86400, "2 months" },
		{ 730 * 86400, "2 years" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[HUMAN_MAX];

		human_duration(cases[i].seconds, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_parse_moments(void **state)
{
	static const struct {
		const char *text, *stamp;
	} cases[] = {
		{ "1767225600", "1767225600.000000000" },
		{ "1767225600.5", "1767225600.500000000" },
		{ "10m", "1769862296.123456789" },
		{ "1h30m", "1769857496.123456789" },
		{ "1.5s", "1769862894.623456789" },
		{ "2026-01-31T12:00:00Z", "1769860800.000000000" },
		{ "2026-01-31T12:00:00.25+01:00", "1769857200.250000000" },
		{ "2026-01-31T12:00:00", "1769860800.000000000" },
		{ "2026-01-31T12:00", "1769860800.000000000" },
		{ "2026-01-31", "1769817600.000000000" },
	};
	static const char *const bad[] = { "", "soon", "10x", "1h-", "2026-13-01", "m" };

	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *stamp = NULL;
		struct cay_error err = { 0 };

		assert_ok(parse_moment(cases[i].text, NOW, &stamp, &err));
		assert_string_equal(stamp, cases[i].stamp);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cay_error err = { 0 };
		char *stamp = NULL;

		assert_int_equal(parse_moment(bad[i], NOW, &stamp, &err), -EINVAL);
	}
}

static void test_ago(void **state)
{
	char text[HUMAN_MAX];

	human_ago(NOW - INT64_C(180) * 1000000000, NOW, text);
	assert_string_equal(text, "3 minutes ago");
	human_ago(0, NOW, text);
	assert_string_equal(text, "N/A");
}

static void test_text(void **state)
{
	_cleanup_free_ char *foreign = xstrdup("a\033[2Jb\tc\x7f\xc2\x9b"
					       "d\xc3\xa9");
	_cleanup_free_ char *quoted = text_quote("say \"hi\"\n\033\\\xc2\x9b");
	_cleanup_free_ char *cut = text_shorten("na\xc3\xafvet\xc3\xa9", 5);
	_cleanup_free_ char *whole = text_shorten("na\xc3\xafvet\xc3\xa9", 7);

	text_make_safe(foreign, false);
	assert_string_equal(foreign, "a?[2Jb?c???d\xc3\xa9");
	assert_string_equal(quoted, "\"say \\\"hi\\\"\\n\\x1b\\\\\\u009b\"");
	assert_string_equal(cut, "na\xc3\xafv…");
	assert_string_equal(whole, "na\xc3\xafvet\xc3\xa9");
	assert_int_equal(text_width("na\xc3\xafve"), 5);
}

static void check_stamp(const char *zone, const char *stamp)
{
	char text[HUMAN_MAX];

	(void)setenv("TZ", zone, 1);
	tzset();
	human_stamp(NOW, text);
	assert_string_equal(text, stamp);
	(void)unsetenv("TZ");
	tzset();
}

static void test_stamps(void **state)
{
	check_stamp("UTC0", "2026-01-31T12:34:56Z");
	check_stamp("IST-5:30", "2026-01-31T18:04:56+05:30");
	check_stamp("NST3:30", "2026-01-31T09:04:56-03:30");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),         cmocka_unit_test(test_durations),
		cmocka_unit_test(test_parse_moments), cmocka_unit_test(test_ago),
		cmocka_unit_test(test_text),          cmocka_unit_test(test_stamps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
