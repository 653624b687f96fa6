/* SPDX-License-Identifier: Apache-2.0 */
/* cp's rules about paths: which argument is whose, and docker's table of sources and destinations.
 */
#include "test.h"

#include "base/alloc.h"
#include "cli/cp-plan.h"

#include <string.h>

static void test_split(void **state)
{
	static const struct {
		const char *argument, *container, *path;
	} cases[] = {
		{ "c:/a", "c", "/a" },        { "c:a:b", "c", "a:b" },  { "c:", "c", "" },
		{ "a", NULL, "a" },           { "/a:b", NULL, "/a:b" }, { "./a:b", NULL, "./a:b" },
		{ "../a:b", NULL, "../a:b" }, { ".a:b", NULL, ".a:b" }, { ":a", NULL, ":a" },
		{ "-", NULL, "-" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *container = NULL, *path = NULL;

		cp_split(cases[i].argument, &container, &path);
		assert_string_equal(container ? container : "(none)",
				    cases[i].container ? cases[i].container : "(none)");
		assert_string_equal(path, cases[i].path);
	}
}

static void test_parts(void **state)
{
	static const struct {
		const char *path, *directory, *name;
	} cases[] = {
		{ "/a/b", "/a", "b" },      { "/a/b/", "/a", "b" }, { "/a/b/.", "/a/b", "." },
		{ "/a/b/./", "/a/b", "." }, { "/", "/", "/" },      { "/.", "/", "." },
		{ "a", ".", "a" },          { "", ".", "." },       { "/a/../b", "/", "b" },
		{ ".", ".", "." },          { "/a/..", "/", "/" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *directory = NULL, *name = NULL;

		cp_split_entry(cases[i].path, &directory, &name);
		assert_string_equal(directory, cases[i].directory);
		assert_string_equal(name, cases[i].name);
	}
}

static void test_absolute(void **state)
{
	static const char *const cases[][2] = {
		{ "/a/b", "/a/b" },       { "/a/b/", "/a/b/" },   { "/a/./b/.", "/a/b/." },
		{ "/a/b/./", "/a/b/./" }, { "/a//b//", "/a/b/" }, { "/", "/" },
		{ "/a/..", "/" },         { "/a/../", "/" },
	};
	_cleanup_free_ char *here = getcwd(NULL, 0), *dot = cp_absolute("."),
			    *slash = cp_absolute("./"), *name = cp_absolute("x/");
	_cleanup_free_ char *here_dot = xasprintf("%s/.", here);
	_cleanup_free_ char *here_slash = xasprintf("%s/./", here);
	_cleanup_free_ char *here_name = xasprintf("%s/x/", here);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *absolute = cp_absolute(cases[i][0]);

		assert_string_equal(absolute, cases[i][1]);
	}
	assert_string_equal(dot, here_dot);
	assert_string_equal(slash, here_slash);
	assert_string_equal(name, here_name);
}

static void test_links(void **state)
{
	static const struct {
		const char *path, *target, *resolved, *name;
	} cases[] = {
		{ "/a/link", "/t/x", "/t/x", "link" },
		{ "/a/link/", "/t/x", "/t/x/", "link" },
		{ "/a/link/.", "/t/x", "/t/x/.", NULL },
		{ "/a/same", "/t/same", "/t/same", NULL },
	};
	_cleanup_free_ char *relative = cp_link_target("/a/link", "../b"),
			    *absolute = cp_link_target("/a/link", "/b"),
			    *inside = cp_link_target("/a/link/.", "b");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_cp_side_ struct cp_side side = { 0 };

		cp_set_resolved(&side, cases[i].path, cases[i].target);
		assert_string_equal(side.path, cases[i].resolved);
		assert_string_equal(side.name ? side.name : "(none)",
				    cases[i].name ? cases[i].name : "(none)");
	}
	assert_string_equal(relative, "/b");
	assert_string_equal(absolute, "/b");
	assert_string_equal(inside, "/a/link/b");
}

/* The table under "SRC_PATH" and "DEST_PATH" in docker's reference of cp, row by row. */
static void test_plans(void **state)
{
	enum kind { MISSING, FILE_THERE, DIRECTORY_THERE };
	static const struct {
		const char *source;
		bool is_directory;
		const char *destination;
		enum kind there;
		const char *directory, *name; /* NULL directory: `name` is in the error */
	} cases[] = {
		/* a file to: nothing, nothing that was to be a directory, a file, a directory */
		{ "/s/f", false, "/d/n", MISSING, "/d", "n" },
		{ "/s/f", false, "/d/n/", MISSING, NULL, "no such directory" },
		{ "/s/f", false, "/d/n/.", MISSING, NULL, "no such directory" },
		{ "/s/f", false, "/d/g", FILE_THERE, "/d", "g" },
		{ "/s/f", false, "/d/e", DIRECTORY_THERE, "/d/e", NULL },
		{ "/s/f", false, "/d/e/", DIRECTORY_THERE, "/d/e/", NULL },
		/* a directory to: nothing, a file, a directory; and its contents to the same */
		{ "/s/e", true, "/d/n", MISSING, "/d", "n" },
		{ "/s/e", true, "/d/n/", MISSING, "/d", "n" },
		{ "/s/e", true, "/d/g", FILE_THERE, NULL, "cannot copy directory" },
		{ "/s/e", true, "/d/e", DIRECTORY_THERE, "/d/e", NULL },
		{ "/s/e/.", true, "/d/n", MISSING, "/d", "n" },
		{ "/s/e/.", true, "/d/n/.", MISSING, "/d/n", "." },
		{ "/s/e/.", true, "/d/g", FILE_THERE, NULL, "cannot copy directory" },
		{ "/s/e/.", true, "/d/e", DIRECTORY_THERE, "/d/e", NULL },
		{ "/s/e/", true, "/", DIRECTORY_THERE, "/", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct cp_side source = {
			.path = (char *)(uintptr_t)cases[i].source,
			.exists = true,
			.directory = cases[i].is_directory,
		};
		const struct cp_side destination = {
			.path = (char *)(uintptr_t)cases[i].destination,
			.exists = cases[i].there != MISSING,
			.directory = cases[i].there == DIRECTORY_THERE,
		};
		_cleanup_cp_plan_ struct cp_plan plan = { 0 };
		struct cay_error err = { 0 };
		int r = cp_make_plan(&source, &destination, &plan, &err);

		if (!cases[i].directory) {
			assert_true(r < 0);
			assert_non_null(strstr(err.message, cases[i].name));
			continue;
		}
		assert_ok(r);
		assert_string_equal(plan.directory, cases[i].directory);
		assert_string_equal(plan.name ? plan.name : "(same)",
				    cases[i].name ? cases[i].name : "(same)");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),    cmocka_unit_test(test_parts),
		cmocka_unit_test(test_absolute), cmocka_unit_test(test_links),
		cmocka_unit_test(test_plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
