/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: RFC 4648's own examples, both alphabets, and what is refused. */
#include "test.h"

#include "base/base64.h"

#include <errno.h>

static void check(const char *plain, size_t size, const char *standard, const char *url)
{
	_cleanup_free_ char *first = base64_encode(plain, size, false);
	_cleanup_free_ char *second = base64_encode(plain, size, true);
	_cleanup_buf_ struct buf out = { 0 };

	assert_string_equal(first, standard);
	assert_string_equal(second, url);
	assert_int_equal(base64_decode(str_from(standard), &out), 0);
	assert_int_equal(base64_decode(str_from(url), &out), 0);
	assert_int_equal(out.length, 2 * size);
	if (size > 0) {
		assert_memory_equal(out.data, plain, size);
		assert_memory_equal(out.data + size, plain, size);
	}
}

static void test_both_ways(void **state)
{
	check("", 0, "", "");
	check("f", 1, "Zg==", "Zg==");
	check("fo", 2, "Zm8=", "Zm8=");
	check("foo", 3, "Zm9v", "Zm9v");
	check("foobar", 6, "Zm9vYmFy", "Zm9vYmFy");
	check("\xfb\xff\xbf\0", 4, "+/+/AA==", "-_-_AA==");
}

static void test_leniency(void **state)
{
	_cleanup_buf_ struct buf out = { 0 };

	assert_int_equal(base64_decode(str_from("Zm9v\r\nYg"), &out), 0);
	assert_string_equal(buf_text(&out), "foob");
}

static void test_refusals(void **state)
{
	static const char *const texts[] = { "Z",        "Zm9vY", "Zg=",  "Zg===", "=Zg=",
					     "Zm8=Zm8=", "Zm 9v", "Zm9*", "====" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_buf_ struct buf out = { 0 };

		assert_int_equal(base64_decode(str_from(texts[i]), &out), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_leniency),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
