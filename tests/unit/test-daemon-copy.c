/* SPDX-License-Identifier: Apache-2.0 */
/* What clients are told of a container's files before these come. */
#include "test.h"

#include "base/alloc.h"
#include "daemon/copy.h"

#include <string.h>

static void test_names_in_archives(void **state)
{
	static const char *const cases[][2] = {
		{ "/a/b", "b" },     { "/a/b/", "b" },  { "/a/b//", "b" }, { "a", "a" },
		{ "/a/b/.", "." },   { "/.", "." },     { ".", "." },      { "/a/./", "." },
		{ "/a/b/..", "a" },  { "/", "/" },      { "//", "/" },     { "..", "/" },
		{ "/a/../..", "/" }, { "/..a", "..a" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = copy_archive_name(cases[i][0]);

		assert_string_equal(name, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_in_archives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
