/* SPDX-License-Identifier: Apache-2.0 */
/* Words with commas between them, and where Go's reader finds a quote in the wrong place. */
#include "test.h"

#include "base/buf.h"
#include "cli/words.h"

static void test_words(void **state)
{
	/* The words with a bar behind each. */
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "a", "a|" },
		{ "a,b,c", "a|b|c|" },
		{ ",", "||" },
		{ "a,", "a||" },
		{ " a, b ", " a| b |" },
		{ "\"\"", "|" },
		{ "\"a,b\",c", "a,b|c|" },
		{ "\"a\"\"b\"", "a\"b|" },
		{ "\"\"\"\"", "\"|" },
		{ "\"volume-opt=o=addr=1,rw\",x", "volume-opt=o=addr=1,rw|x|" },
		{ "a\nb", "a|" },
		{ "\r\n\na,b\r\nc", "a|b|" },
		{ "a\r", "a|" },
		{ "a\rb", "a\rb|" },
		{ "\"a\nb\",c", "a\nb|c|" },
		{ "\"a\r\nb\"", "a\nb|" },
		{ "\"a\"\nb", "a|" },
		{ "\xc3\xa9,\"\xc3\xa9\"", "\xc3\xa9|\xc3\xa9|" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ struct strv words = { 0 };
		_cleanup_buf_ struct buf text = { 0 };
		struct cay_error err;

		assert_int_equal(words_split(cases[i].text, &words, &err), 0);
		for (size_t j = 0; j < words.count; j++)
			buf_printf(&text, "%s|", words.items[j]);
		assert_string_equal(buf_text(&text), cases[i].words);
	}
}

static void test_refused(void **state)
{
#define BARE   "bare \" in non-quoted-field"
#define QUOTED "extraneous or missing \" in quoted-field"
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "", "EOF" },
		{ "\n\r\n", "EOF" },
		{ "dst=/s,\"a", "parse error on line 1, column 10: " QUOTED },
		{ "dst=/s,\"a\"b", "parse error on line 1, column 10: " QUOTED },
		{ "dst=/s,a\"b\"", "parse error on line 1, column 9: " BARE },
		{ "\"", "parse error on line 1, column 2: " QUOTED },
		{ "\na\"", "parse error on line 2, column 2: " BARE },
		{ "\"a\nb\"c\"", "record on line 1; parse error on line 2, column 2: " QUOTED },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_strv_ struct strv words = { 0 };
		struct cay_error err;

		assert_true(words_split(cases[i].text, &words, &err) < 0);
		assert_string_equal(err.message, cases[i].message);
		assert_int_equal(err.code, CAY_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
