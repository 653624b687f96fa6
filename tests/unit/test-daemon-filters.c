/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's filters: both forms, what is refused, and how values match. */
#include "test.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "daemon/filters.h"

static const char *const allowed[] = { "status", "name", "label", "id", "dangling", NULL };

static void parse(const char *text, struct filters *filters)
{
	struct cay_error err = {};

	assert_ok(filters_parse(text, allowed, filters, &err));
}

static void assert_refused(const char *text)
{
	struct filters filters = {};
	struct cay_error err = {};

	if (filters_parse(text, allowed, &filters, &err) >= 0)
		fail_msg("accepted: %.80s", text);
	assert_int_equal(err.code, CAY_INVALID);
	assert_null(filters.items);
}

static void test_forms(void **state)
{
	static const char *const texts[] = {
		"{\"status\":[\"running\",\"paused\"]}",
		"{\"status\":{\"running\":true,\"paused\":true,\"exited\":false}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_filters_ struct filters filters = {};

		parse(texts[i], &filters);
		assert_int_equal(filters_get(&filters, "status")->count, 2);
		assert_true(filters_match(&filters, "status", "running"));
		assert_true(filters_match(&filters, "status", "paused"));
		assert_false(filters_match(&filters, "status", "exited"));
		assert_true(filters_match(&filters, "name", "anything"));
	}
}

static void test_nothing(void **state)
{
	static const char *const texts[] = {
		NULL, "", "{}", "null", "{\"status\":[]}", "{\"status\":{}}"
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_filters_ struct filters filters = {};

		parse(texts[i], &filters);
		assert_null(filters_get(&filters, "status"));
		assert_true(filters_match(&filters, "status", "running"));
	}
}

static void test_refused(void **state)
{
	_cleanup_buf_ struct buf many = {}, deep = {}, huge = {};
	struct filters filters = {};
	struct cay_error err = {};

	assert_refused("x");
	assert_refused("[]");
	assert_refused("\"status\"");
	assert_refused("{\"status\":\"running\"}");
	assert_refused("{\"status\":[1]}");
	assert_refused("{\"status\":{\"a\":1}}");
	assert_refused("{\"status\":[[\"a\"]]}");
	assert_refused("{\"status\":[\"a\"]} ,");
	assert_true(filters_parse("{\"colour\":[\"a\"]}", allowed, &filters, &err) < 0);
	assert_string_equal(err.message, "invalid filter 'colour'");

	buf_puts(&many, "{\"status\":[");
	for (int i = 0; i <= FILTERS_VALUES_MAX; i++)
		buf_puts(&many, i > 0 ? ",\"a\"" : "\"a\"");
	buf_puts(&many, "]}");
	assert_refused(buf_text(&many));
	for (int i = 0; i < 5000; i++)
		buf_puts(&deep, "{\"status\":");
	assert_refused(buf_text(&deep));
	for (int i = 0; i <= FILTERS_TEXT_MAX; i++)
		buf_putc(&huge, ' ');
	assert_refused(buf_text(&huge));
}

static void test_prefix_and_regex(void **state)
{
	_cleanup_filters_ struct filters filters = {};
	_cleanup_filters_ struct filters odd = {};
	_cleanup_buf_ struct buf name = {};

	parse("{\"id\":[\"ab\",\"cd\"],\"name\":[\"^/?web[0-9]$\",\"data\"]}", &filters);
	assert_true(filters_match_prefix(&filters, "id", "abcdef"));
	assert_true(filters_match_prefix(&filters, "id", "cd"));
	assert_false(filters_match_prefix(&filters, "id", "a"));
	assert_true(filters_match_regex(&filters, "name", "/web1"));
	assert_true(filters_match_regex(&filters, "name", "mydatabase"));
	assert_false(filters_match_regex(&filters, "name", "web12"));

	/* What is no expression, or a dangerous one, is plain text. */
	parse("{\"name\":[\"(\",\"a{1,200}{1,200}{1,200}\",\"a++++++++++++++++++++++++++++++++b\","
	      "\"((((((((((((((((((((a)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+)+b\","
	      "\"(a*)(a*)(a*)(a*)(a*)(a*)\\\\1\\\\2\\\\3\\\\4\\\\5b\"]}",
	      &odd);
	assert_true(filters_match_regex(&odd, "name", "x(y"));
	assert_false(filters_match_regex(&odd, "name", "aaa"));
	for (int i = 0; i < 200; i++)
		buf_putc(&name, 'a');
	assert_false(filters_match_regex(&odd, "name", buf_text(&name)));
}

static void test_labels(void **state)
{
	_cleanup_json_ json_t *labels = json_pack("{s:s, s:s}", "a", "1", "b", "x=y");
	_cleanup_filters_ struct filters all = {}, one = {}, empty = {};

	parse("{\"label\":[\"a\",\"b=x=y\"]}", &all);
	assert_true(filters_match_labels(&all, "label", labels));
	assert_false(filters_match_labels(&all, "label", NULL));
	parse("{\"label\":[\"a=2\"]}", &one);
	assert_false(filters_match_labels(&one, "label", labels));
	parse("{\"label\":[\"a=\"]}", &empty);
	assert_false(filters_match_labels(&empty, "label", labels));
	assert_true(filters_match_labels(&empty, "other", NULL));
}

static void test_truths(void **state)
{
	static const struct {
		const char *text;
		int result; /* -1: refused */
	} rows[] = {
		{ "{\"dangling\":[\"true\"]}", 1 },  { "{\"dangling\":{\"1\":true}}", 1 },
		{ "{\"dangling\":[\"false\"]}", 0 }, { "{\"dangling\":[\"0\"]}", 0 },
		{ "{\"dangling\":[\"yes\"]}", -1 },  { "{\"dangling\":[\"true\",\"false\"]}", -1 },
	};
	_cleanup_filters_ struct filters none = {};
	struct cay_error err = {};
	bool value = true;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_filters_ struct filters filters = {};
		bool truth = rows[i].result == 0;
		int r;

		parse(rows[i].text, &filters);
		r = filters_get_bool(&filters, "dangling", &truth, &err);
		assert_int_equal(r < 0 ? -1 : truth, rows[i].result);
	}
	assert_ok(filters_get_bool(&none, "dangling", &value, &err));
	assert_true(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),   cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_prefix_and_regex),
		cmocka_unit_test(test_labels),  cmocka_unit_test(test_truths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
