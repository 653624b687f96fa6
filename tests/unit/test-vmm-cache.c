/* SPDX-License-Identifier: Apache-2.0 */
/* Remembered facts: only under the very same key. */
#include "test.h"

#include "vmm/cache.h"

#include "base/alloc.h"

static void test_round_trip(void **state)
{
	char directory[64];
	struct cay_error err;
	_cleanup_free_ char *path = NULL, *value = NULL;

	make_test_directory(directory);
	path = path_join(directory, "fact");
	assert_null(cache_read(path, "key 1"));
	cache_write(path, "key 1", "a \"value\"");
	value = cache_read(path, "key 1");
	assert_string_equal(value, "a \"value\"");
	assert_null(cache_read(path, "key 2"));
	assert_null(cache_read(NULL, "key 1"));
	cache_write(NULL, "key 1", "nowhere");
	assert_ok(file_write_volatile(path, "[]", 2, 0600, &err));
	assert_null(cache_read(path, "key 1"));
	assert_ok(remove_tree(directory, &err));
}

static void test_file_key(void **state)
{
	char directory[64];
	struct cay_error err;
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf absent = { 0 }, first = { 0 }, second = { 0 };

	make_test_directory(directory);
	path = path_join(directory, "file");
	cache_file_key(&absent, path);
	assert_ok(file_write_volatile(path, "a", 1, 0600, &err));
	cache_file_key(&first, path);
	assert_ok(file_write_volatile(path, "ab", 2, 0600, &err));
	cache_file_key(&second, path);
	assert_string_not_equal(buf_text(&absent), buf_text(&first));
	assert_string_not_equal(buf_text(&first), buf_text(&second));
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_file_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
