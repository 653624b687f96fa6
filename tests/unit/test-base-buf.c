/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer, the slice, and numbers and sizes read from text. */
#include "test.h"

#include "base/buf.h"

#include <errno.h>

static void test_append_and_consume(void **state)
{
	_cleanup_buf_ struct buf buf = { 0 };

	assert_string_equal(buf_text(&buf), "");
	for (int i = 0; i < 1000; i++)
		buf_printf(&buf, "%d,", i);
	assert_memory_equal(buf.data, "0,1,2,", 6);
	buf_consume(&buf, 4);
	assert_memory_equal(buf.data, "2,3,", 4);
	assert_int_equal(strlen(buf.data), buf.length);
	buf_consume(&buf, buf.length);
	assert_string_equal(buf_text(&buf), "");
	buf_append(&buf, "a\0b", 3);
	assert_int_equal(buf.length, 3);
}

static void test_split(void **state)
{
	struct str rest, head = str_split(str_from("a=b=c"), '=', &rest);

	assert_true(str_equals(head, "a"));
	assert_true(str_equals(rest, "b=c"));
	head = str_split(rest, ':', &rest);
	assert_true(str_equals(head, "b=c"));
	assert_int_equal(rest.length, 0);
	assert_false(str_starts(str_from("ab"), "abc"));
	assert_true(str_equals_nocase(STR("aBc"), "AbC"));
	assert_false(str_equals_nocase(STR("aBc"), "AbCd"));
	assert_true(str_equals(str_strip(STR(" \ta b\t "), " \t"), "a b"));
	assert_int_equal(str_strip(STR("  "), " ").length, 0);
	assert_int_equal(str_strip(STR("\0"), " ").length, 1);
}

static void test_numbers(void **state)
{
	uint64_t value = 7;
	int64_t number = 7;

	assert_int_equal(parse_u64("18446744073709551615", UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse_u64("18446744073709551616", UINT64_MAX, &value), -ERANGE);
	assert_int_equal(parse_u64("256", 255, &value), -ERANGE);
	assert_int_equal(parse_u64("", 255, &value), -EINVAL);
	assert_int_equal(parse_u64("-1", 255, &value), -EINVAL);
	assert_int_equal(parse_u64(" 1", 255, &value), -EINVAL);
	assert_true(value == UINT64_MAX);
	assert_int_equal(parse_i64("-9223372036854775807", &number), 0);
	assert_true(number == -INT64_MAX);
	assert_int_equal(parse_i64("9223372036854775808", &number), -ERANGE);
	assert_int_equal(parse_i64("--1", &number), -EINVAL);
	assert_int_equal(parse_i64("-", &number), -EINVAL);
	assert_true(number == -INT64_MAX);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },         { "512", 512 },       { "64b", 64 },
		{ "2k", 2048 },     { "1M", 1 << 20 },    { "3GiB", 3 * GIB },
		{ "1gb", 1 * GIB }, { "1t", 1024 * GIB }, { "1.5g", 3 * GIB / 2 },
		{ "1 GiB", GIB },   { "0.25KB", 256 },    { ".5k", 512 },
		{ "7.", 7 },        { "1.9", 1 },         { "18446744073709551615", UINT64_MAX }
	};
	static const char *const bad[] = { "",   "m", "1x",    "1mm", "1bb",
					   "-1", ".", "1.2.3", "1e3", "1 g g" };
	uint64_t value;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(parse_size(good[i].text, &value), 0);
		assert_true(value == good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_size(bad[i], &value), -EINVAL);
	assert_int_equal(parse_size("99999999t", &value), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
