/* SPDX-License-Identifier: Apache-2.0 */
/* What is read off a kernel's image. */
#include "test.h"

#include "base/alloc.h"
#include "vmm/kernel.h"

static bool knows(const char *directory, const void *image, size_t size)
{
	_cleanup_free_ char *path = path_join(directory, "vmlinux");
	struct cay_error err = { 0 };

	assert_ok(file_write_volatile(path, image, size, 0600, &err));
	return kernel_knows_lapic_khz(path);
}

static void test_lapic_khz(void **state)
{
	static const char patched[] = "\x7f"
				      "ELF..\0tsc_early_khz\0lapic_khz\0..";
	static const char stock[] = "\x7f"
				    "ELF..\0tsc_early_khz\0my_lapic_khz\0lapic_khz_x\0..";
	struct cay_error err = { 0 };
	char directory[64];

	make_test_directory(directory);
	assert_true(knows(directory, patched, sizeof(patched)));
	assert_false(knows(directory, stock, sizeof(stock)));
	assert_false(knows(directory, "", 0));
	assert_false(kernel_knows_lapic_khz("/nonexistent"));
	assert_false(kernel_knows_lapic_khz(directory));
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lapic_khz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
