/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The man page's reference is written out from the command table; this test
 * fails when the page in docs/man and the table differ. To bring them together:
 *
 *   scripts/update-man build/cay
 */
#include "test.h"

#include "base/buf.h"
#include "cli/help.h"

static void test_reference(void **state)
{
	static const char begin[] = ".\\\" BEGIN REFERENCE\n", end[] = ".\\\" END REFERENCE\n";
	_cleanup_buf_ struct buf page = { 0 }, wanted = { 0 };
	struct cay_error err = { 0 };
	char *start, *stop;

	assert_ok(file_read(CAY_SOURCE_ROOT "/docs/man/cay.1", 1024 * 1024, &page, &err));
	start = strstr(page.data, begin);
	assert_non_null(start);
	start += strlen(begin);
	stop = strstr(start, end);
	assert_non_null(stop);
	*stop = '\0';
	help_format_man(&wanted);
	assert_string_equal(start, wanted.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reference) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
