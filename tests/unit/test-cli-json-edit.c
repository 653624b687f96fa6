/* SPDX-License-Identifier: Apache-2.0 */
/* One member of a document changes and every other byte stays. */
#include "test.h"

#include "cli/json-edit.h"

#include <errno.h>

static void check_set(const char *before, const char *outer, const char *inner, const char *after)
{
	_cleanup_buf_ struct buf text = { 0 };

	buf_puts(&text, before);
	assert_int_equal(json_edit_set(&text, outer, inner, "1"), 0);
	assert_string_equal(buf_text(&text), after);
}

static void test_set(void **state)
{
	check_set("{}", "a", "b", "{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}");
	check_set("{}", "a", NULL, "{\n\t\"a\": 1\n}");
	check_set("{\n}\n", "a", NULL, "{\n\t\"a\": 1\n}\n");
	check_set("{\"z\":12345678901234567890123}", "a", NULL,
		  "{\"z\":12345678901234567890123,\n\t\"a\": 1\n}");
	check_set("{\n\t\"z\": 1e999\n}", "a", NULL, "{\n\t\"z\": 1e999,\n\t\"a\": 1\n}");
	check_set(" { \"A\" : { \"b\" : [ 2 , {} ] } , \"z\" : \"\\u00e9\" } trailing", "a", "b",
		  " { \"A\" : { \"b\" : 1 } , \"z\" : \"\\u00e9\" } trailing");
	check_set("{\"a\":null,\"z\":0}", "a", "b", "{\"a\":{\n\t\t\"b\": 1\n\t},\"z\":0}");
	/* The last one of two counts, as Go has it. */
	check_set("{\"a\":{\"b\":2},\"a\":{\"b\":3,\"\\u0062\":4}}", "a", "b",
		  "{\"a\":{\"b\":2},\"a\":{\"b\":3,\"\\u0062\":1}}");
}

static void check_remove(const char *before, int result, const char *after)
{
	_cleanup_buf_ struct buf text = { 0 };

	buf_puts(&text, before);
	assert_int_equal(json_edit_remove(&text, "a", "b"), result);
	assert_string_equal(buf_text(&text), after);
}

static void test_remove(void **state)
{
	check_remove("{}", 0, "{}");
	check_remove("{\"a\":{\"B\":1}}", 0, "{\"a\":{\"B\":1}}");
	check_remove("{\"a\":{\"b\":1}, \"z\": 2}", 1, "{\"a\":{}, \"z\": 2}");
	check_remove("{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}", 1, "{\n\t\"a\": {}\n}");
	check_remove("{\"a\":{\"b\":1, \"c\":2}}", 1, "{\"a\":{ \"c\":2}}");
	check_remove("{\"a\":{\"c\":2 , \"b\":1}}", 1, "{\"a\":{\"c\":2}}");
	check_remove("{\"a\":{\"c\":2,\"b\":1,\"d\":3}}", 1, "{\"a\":{\"c\":2,\"d\":3}}");
	check_remove("{\"A\":{\"b\":1,\"b\":2},\"a\":{\"b\":3,\"c\":4}}", 1,
		     "{\"A\":{},\"a\":{\"c\":4}}");
}

static void test_what_is_no_object(void **state)
{
	static const char *const texts[] = {
		"",
		"1",
		"[]",
		"{",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\":01}",
		"{\"a\":1.}",
		"{\"a\":-}",
		"{\"a\":tru}",
		"{\"a\":\"\n\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"b}",
		"{\"a\":[1 2]}",
		"{\"a\":[1}",
	};
	struct buf deep = { 0 };
	struct str object;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_buf_ struct buf text = { 0 };

		buf_puts(&text, texts[i]);
		assert_int_equal(json_edit_set(&text, "a", "b", "1"), -EINVAL);
		assert_int_equal(json_edit_remove(&text, "a", "b"), -EINVAL);
		assert_string_equal(buf_text(&text), texts[i]);
	}
	buf_puts(&deep, "{\"a\":");
	for (int i = 0; i < 1000000; i++)
		buf_putc(&deep, '[');
	assert_int_equal(json_edit_object((struct str){ deep.data, deep.length }, &object),
			 -EINVAL);
	buf_done(&deep);
}

static void test_quote(void **state)
{
	_cleanup_free_ char *plain = json_edit_quote("a\"b\n"), *bad = json_edit_quote("\xff");

	assert_string_equal(plain, "\"a\\\"b\\n\"");
	assert_string_equal(bad, "\"?\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_what_is_no_object),
		cmocka_unit_test(test_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
