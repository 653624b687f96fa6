/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: what is recorded, how context is added, what the codes map to. */
#include "test.h"

#include <errno.h>
#include <string.h>

static void test_set_and_prefix(void **state)
{
	struct cay_error err = { 0 };

	assert_int_equal(cay_error_errno(&err, ENOENT, "opening %s", "/x"), -ENOENT);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_string_equal(err.message, "opening /x: No such file or directory");
	assert_int_equal(cay_error_prefix(&err, "image %s", "a"), -ENOENT);
	assert_string_equal(err.message, "image a: opening /x: No such file or directory");
	assert_int_equal(cay_error_set(NULL, CAY_INVALID, 0, "nobody hears"), -EIO);
}

static void test_one_line_and_cut_at_a_character(void **state)
{
	struct cay_error err = { 0 };
	char text[2 * CAY_ERROR_MESSAGE_MAX];

	cay_error_set(&err, CAY_INVALID, EINVAL, "first\nsecond");
	assert_string_equal(err.message, "first");
	memset(text, 0, sizeof(text));
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	cay_error_set(&err, CAY_INVALID, EINVAL, "%s", text);
	assert_true(strlen(err.message) % 2 == 0);
	assert_true(strlen(err.message) >= CAY_ERROR_MESSAGE_MAX - 4);
}

static void test_codes_map_back(void **state)
{
	assert_int_equal(cay_code_from_grpc_status(cay_code_grpc_status(CAY_NOT_FOUND)),
			 CAY_NOT_FOUND);
	assert_int_equal(cay_code_from_grpc_status(99), CAY_INTERNAL);
	assert_int_equal(cay_code_from_http_status(204), CAY_OK);
	assert_int_equal(cay_code_from_http_status(418), CAY_INVALID);
	assert_int_equal(cay_code_from_http_status(404), CAY_NOT_FOUND);
	assert_int_equal(cay_code_exit_status(CAY_NO_COMMAND), 127);
	assert_int_equal(cay_code_http_status((enum cay_code)1000), 500);
	for (enum cay_code code = 0; code < CAY_CODE_COUNT; code++)
		assert_int_equal(cay_code_from_token(cay_code_token(code)), code);
	assert_int_equal(cay_code_from_token("no such thing"), CAY_CODE_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_and_prefix),
		cmocka_unit_test(test_one_line_and_cut_at_a_character),
		cmocka_unit_test(test_codes_map_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
