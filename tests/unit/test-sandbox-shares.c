/* SPDX-License-Identifier: Apache-2.0 */
/* What cay-files is told. */
#include "test.h"

#include "sandbox/sandbox-internal.h"

#include "base/alloc.h"

static void test_arguments(void **state)
{
	struct sandbox_share shares[] = {
		{ .source = (char *)"/srv/a b" },
		{ .source = (char *)"/srv/c",
		  .read_only = true,
		  .recursive = true,
		  .slave = true,
		  .cached = true },
	};
	const struct sandbox_config config = { .files_program =
						       (char *)"/usr/libexec/cay/cay-files",
					       .shares = shares,
					       .share_count = ARRAY_SIZE(shares) };
	_cleanup_strv_ struct strv argv = { 0 };
	static const char *const expected[] = {
		"/usr/libexec/cay/cay-files", "--share", "rw", "/srv/a b", "--share",
		"ro,rec,slave,cached",        "/srv/c",
	};

	sandbox_files_arguments(&config, &argv);
	assert_int_equal(argv.count, ARRAY_SIZE(expected));
	for (size_t i = 0; i < argv.count; i++)
		assert_string_equal(argv.items[i], expected[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_arguments) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
