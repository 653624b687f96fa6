/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a VM: what is refused before anything runs. */
#include "test.h"

#include "vmm/vm.h"

#include "base/alloc.h"

static void test_find_qemu(void **state)
{
	struct cay_error err = { 0 };
	char *path = NULL;

	assert_ok(vm_find_qemu("/bin/sh", &path, &err));
	assert_int_equal(path[0], '/');
	free(path);
	path = NULL;
	assert_ok(vm_find_qemu("sh", &path, &err));
	assert_int_equal(path[0], '/');
	free(path);
	path = NULL;
	assert_true(vm_find_qemu("no-such-program", &path, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_true(vm_find_qemu("/no/such/program", &path, &err) < 0);
	assert_null(path);
}

/* Starts with one disk and expects that to be refused with this word in the message. */
static void expect_refusal(struct vm_disk disk, const char *word)
{
	const struct vm_machine machine = {
		.id = "refused",
		.qemu = "/bin/sh",
		.kernel = "/none",
		.jail_directory = "/tmp",
		.vcpus = 1,
		.memory_bytes = 64 * MIB,
		.disks = { disk },
		.disk_count = 1,
	};
	struct cay_error err = { 0 };
	struct vm vm = VM_NONE;

	assert_true(vm_start(&machine, &vm, &err) < 0);
	assert_says(&err, word);
	assert_int_equal(vm.pidfd, -1);
}

static void test_bad_disks(void **state)
{
	char directory[64];
	struct cay_error err;
	_cleanup_free_ char *path = NULL;

	make_test_directory(directory);
	path = path_join(directory, "disk");
	assert_ok(file_write_volatile(path, "0123456789", 10, 0600, &err));
	struct vm_extent good = { path, 10 }, small = { path, 4096 }, absent = { "/no/disk", 4096 };
	struct vm_extent device = { "/dev/null", 0 };
	struct vm_extent two[] = { good, good };
	_cleanup_free_ struct vm_extent *many = xcalloc(500, sizeof(*many));

	for (size_t i = 0; i < 500; i++)
		many[i] = good;
	expect_refusal((struct vm_disk){ &small, 1, true }, "has 10 bytes where 4096");
	expect_refusal((struct vm_disk){ &absent, 1, true }, "/no/disk");
	expect_refusal((struct vm_disk){ &device, 1, true }, "not a file");
	expect_refusal((struct vm_disk){ two, 2, false }, "read-only");
	expect_refusal((struct vm_disk){ many, 500, true }, "130 extents");
	expect_refusal((struct vm_disk){ &good, 1, true }, "/none"); /* the kernel */
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_qemu),
		cmocka_unit_test(test_bad_disks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
