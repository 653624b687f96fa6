/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what the strict parser refuses, and how typed reading names what is wrong. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"

#include <errno.h>

static int parse(const char *text, json_t **ret, struct cay_error *err)
{
	return json_parse(text, strlen(text), "body", ret, err);
}

static void test_refused(void **state)
{
	static const char *const texts[] = { "",
					     "{",
					     "{} x",
					     "{\"a\":1,\"a\":2}",
					     "[1,]",
					     "nul",
					     "\"\xff\"",
					     "{\"a\":\"\\ud800\"}",
					     "\"a\\u0000b\"" };
	struct cay_error err = { 0 };
	json_t *value = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(parse(texts[i], &value, &err), -EINVAL);
		assert_int_equal(err.code, CAY_INVALID);
		assert_true(starts_with(err.message, "body: "));
		assert_null(value);
	}
}

static void test_depth(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };
	json_t *value = NULL;

	for (int i = 0; i <= JSON_DEPTH_MAX; i++)
		buf_putc(&text, '[');
	assert_int_equal(parse(text.data, &value, &err), -EINVAL);
	assert_non_null(strstr(err.message, "levels deep"));
	/* Brackets in a string are text. */
	buf_clear(&text);
	buf_puts(&text, "\"\\\"");
	for (int i = 0; i <= JSON_DEPTH_MAX; i++)
		buf_putc(&text, '[');
	buf_putc(&text, '"');
	assert_ok(parse(text.data, &value, &err));
	json_decref(value);
}

static void test_typed_reading(void **state)
{
	_cleanup_json_ json_t *value = NULL;
	_cleanup_free_ char *text = xstrdup("default");
	_cleanup_strv_ struct strv list = { 0 };
	struct cay_error err = { 0 };
	int64_t number = 9;
	bool flag = true;

	assert_ok(parse("{\"s\":\"x\",\"n\":5,\"b\":false,\"l\":[\"a\",\"b\"],\"z\":null}", &value,
			&err));
	assert_ok(json_read_string(value, "z", &text, &err));
	assert_string_equal(text, "default");
	assert_ok(json_read_string(value, "s", &text, &err));
	assert_string_equal(text, "x");
	assert_int_equal(json_read_string(value, "n", &text, &err), -EINVAL);
	assert_string_equal(err.message, "\"n\" is not a string");
	assert_int_equal(json_read_int(value, "n", 6, 10, &number, &err), -ERANGE);
	assert_true(number == 9);
	assert_ok(json_read_int(value, "n", 0, 10, &number, &err));
	assert_true(number == 5);
	assert_ok(json_read_bool(value, "b", &flag, &err));
	assert_false(flag);
	assert_int_equal(json_read_strv(value, "l", 1, &list, &err), -E2BIG);
	assert_ok(json_read_strv(value, "l", 2, &list, &err));
	assert_int_equal(list.count, 2);
	assert_true(strv_contains(&list, "b"));
}

static void test_foreign_text_is_printed(void **state)
{
	_cleanup_json_ json_t *object = json_object();

	json_set_string(object, "name", "caf\xe9");
	_cleanup_free_ char *text = json_print(object);
	assert_string_equal(text, "{\"name\":\"caf?\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_typed_reading),
		cmocka_unit_test(test_foreign_text_is_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
