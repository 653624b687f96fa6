/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as text: the table of Go's own tests for path/filepath, and the paths that cp takes apart.
 */
#include "test.h"

#include "base/alloc.h"
#include "cli/lexical.h"

#include <string.h>

static void check(char *made, const char *expected)
{
	assert_string_equal(made, expected);
	free(made);
}

static void test_clean(void **state)
{
	static const char *const cases[][2] = {
		{ "abc", "abc" },
		{ "abc/def", "abc/def" },
		{ "a/b/c", "a/b/c" },
		{ ".", "." },
		{ "..", ".." },
		{ "../..", "../.." },
		{ "../../abc", "../../abc" },
		{ "/abc", "/abc" },
		{ "/", "/" },
		{ "", "." },
		{ "abc/", "abc" },
		{ "./", "." },
		{ "../", ".." },
		{ "../../", "../.." },
		{ "/abc/", "/abc" },
		{ "abc//def//ghi", "abc/def/ghi" },
		{ "//abc", "/abc" },
		{ "///abc", "/abc" },
		{ "//abc//", "/abc" },
		{ "abc//", "abc" },
		{ "abc/./def", "abc/def" },
		{ "/./abc/def", "/abc/def" },
		{ "abc/.", "abc" },
		{ "abc/def/ghi/../jkl", "abc/def/jkl" },
		{ "abc/def/../ghi/../jkl", "abc/jkl" },
		{ "abc/def/..", "abc" },
		{ "abc/def/../..", "." },
		{ "/abc/def/../..", "/" },
		{ "abc/def/../../..", ".." },
		{ "/abc/def/../../..", "/" },
		{ "abc/def/../../../ghi/jkl/../../../mno", "../../mno" },
		{ "/../abc", "/abc" },
		{ "a/../b:/../../c", "../c" },
		{ "abc/./../def", "def" },
		{ "abc//./../def", "def" },
		{ "abc/../../././../def", "../../def" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check(lexical_clean(cases[i][0]), cases[i][1]);
}

static void test_parts(void **state)
{
	static const struct {
		const char *path, *directory, *base;
	} cases[] = {
		{ "", ".", "." },          { ".", ".", "." },           { "/.", "/", "." },
		{ "/", "/", "/" },         { "/foo", "/", "foo" },      { "x/", "x", "x" },
		{ "abc", ".", "abc" },     { "abc/def", "abc", "def" }, { "a/b/.x", "a/b", ".x" },
		{ "a/b/c.", "a/b", "c." }, { "a/b/c.x", "a/b", "c.x" }, { "////", "/", "/" },
		{ "/a/b//", "/a/b", "b" }, { "a/../b", ".", "b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		check(lexical_directory(cases[i].path), cases[i].directory);
		check(lexical_base(cases[i].path), cases[i].base);
	}
}

static void test_joined(void **state)
{
	_cleanup_free_ char *directory = getcwd(NULL, 0);
	_cleanup_free_ char *below = xasprintf("%s/a", directory);

	check(lexical_join("/a", "b"), "/a/b");
	check(lexical_join("/a", "../../b"), "/b");
	check(lexical_join("", "b"), "b");
	check(lexical_join("a", ""), "a");
	check(lexical_absolute("/a/./b/"), "/a/b");
	check(lexical_absolute("a"), below);
	check(lexical_absolute("./b/../a/"), below);
	assert_true(lexical_ends_with_slash("a/"));
	assert_false(lexical_ends_with_slash("a"));
	assert_false(lexical_ends_with_slash(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
