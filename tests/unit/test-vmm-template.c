/* SPDX-License-Identifier: Apache-2.0 */
/* Templates on disk: made, opened, and every kind of damage noticed. */
#include "test.h"

#include "vmm/template.h"

#include "base/alloc.h"
#include "base/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { MEMORY_SIZE = 4 * 1024 * 1024, PAGE = 4096 };

static const char shape[] = "{\"format\":1,\"vcpus\":1,\"memory_bytes\":4194304,"
			    "\"kernel\":{\"path\":\"/k\",\"size\":3,\"time_ns\":4}}";

static char directory[64];

static int make(void **state)
{
	struct cay_error err = { 0 };
	char page[PAGE];
	int memory = -1, machine = -1;

	make_test_directory(directory);
	assert_ok(template_create(directory, MEMORY_SIZE, &memory, &machine, &err));
	memset(page, 'a', sizeof(page));
	assert_int_equal(pwrite(memory, page, sizeof(page), 8 * PAGE), PAGE);
	memset(page, 0, sizeof(page));
	assert_int_equal(pwrite(memory, page, sizeof(page), 16 * PAGE), PAGE);
	assert_int_equal(pwrite(memory, "z", 1, MEMORY_SIZE - 1), 1);
	assert_int_equal(write(machine, "QEVM and more", 13), 13);
	assert_ok(template_finish(directory, memory, machine, shape, &err));
	(void)close(memory);
	(void)close(machine);
	return 0;
}

static int unmake(void **state)
{
	struct cay_error err = { 0 };

	return remove_tree(directory, &err);
}

static char *file(const char *name)
{
	return path_join(directory, name);
}

static void expect(int (*open)(struct cay_error *err), enum cay_code code, const char *word)
{
	struct cay_error err = { 0 };

	assert_true(open(&err) < 0);
	assert_int_equal(err.code, code);
	assert_says(&err, word);
}

static int just_open(struct cay_error *err)
{
	struct template template = TEMPLATE_NONE;
	int r = template_open(directory, &template, err);

	template_close(&template);
	return r;
}

static int verify(struct cay_error *err)
{
	return template_verify(directory, err);
}

/* What stays the same about a file however it is damaged, as a failing disk would have it. */
static void damage(const char *name, off_t at, const char *bytes)
{
	_cleanup_free_ char *path = file(name);
	_cleanup_close_ int fd = -1;
	struct stat st;

	assert_int_equal(chmod(path, 0600), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, bytes, strlen(bytes), at), strlen(bytes));
	const struct timespec times[] = { st.st_atim, st.st_mtim };

	assert_int_equal(futimens(fd, times), 0);
}

static void test_sound(void **state)
{
	struct template template = TEMPLATE_NONE;
	struct cay_error err = { 0 };
	_cleanup_free_ char *memory = file("memory");
	struct stat st;

	assert_ok(template_open(directory, &template, &err));
	assert_int_equal(template.memory_size, MEMORY_SIZE);
	assert_int_equal(template.machine_size, 13);
	assert_int_equal(json_integer_value(json_object_get(template.shape, "vcpus")), 1);
	assert_true(template.created_ns > 0);
	assert_int_equal(fcntl(template.memory_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_ok(template_fits(&template, shape, &err));
	template_close(&template);
	assert_ok(template_verify(directory, &err));
	/* Two pages are left of three that were written, and nobody else may read them. */
	assert_int_equal(stat(memory, &st), 0);
	assert_int_equal(st.st_blocks * 512, 2 * PAGE);
	assert_int_equal(st.st_mode & 07777, 0400);
}

/* A copy that is made with holes or without them, keeping the time, is the same template. */
static void test_holes(void **state)
{
	struct cay_error err = { 0 };

	damage("memory", 16 * PAGE, "");
	assert_ok(template_verify(directory, &err));
}

static void test_unfinished(void **state)
{
	_cleanup_free_ char *document = file("template.json"), *memory = file("memory");
	struct cay_error err = { 0 };
	int fd = -1, other = -1;

	assert_int_equal(unlink(document), 0);
	expect(just_open, CAY_NOT_FOUND, "no finished template");
	/* Nor is anything made over what is there. */
	assert_true(template_create(directory, MEMORY_SIZE, &fd, &other, &err) < 0);
	assert_int_equal(fd, -1);
	assert_int_equal(unlink(memory), 0);
	assert_int_equal(rmdir(directory), -1);
}

static void test_truncated(void **state)
{
	_cleanup_free_ char *memory = file("memory"), *machine = file("machine");

	assert_int_equal(truncate(machine, 5), 0);
	expect(just_open, CAY_CORRUPT, "its machine");
	assert_int_equal(unlink(machine), 0);
	expect(just_open, CAY_CORRUPT, "No such file");
	assert_int_equal(truncate(memory, 5), 0);
	expect(verify, CAY_CORRUPT, "damaged");
}

static void test_tampered(void **state)
{
	struct cay_error err = { 0 };

	damage("memory", 8 * PAGE + 5, "b");
	assert_ok(just_open(&err)); /* too much to be read at each start */
	expect(verify, CAY_CORRUPT, "its memory is not what was frozen");
	damage("machine", 0, "q");
	expect(just_open, CAY_CORRUPT, "its machine is not what was frozen");
}

/* A page that moved, and one more where there was a hole. */
static void test_moved(void **state)
{
	damage("memory", 20 * PAGE, "b");
	expect(verify, CAY_CORRUPT, "its memory is not what was frozen");
}

static void test_written(void **state)
{
	_cleanup_free_ char *memory = file("memory");
	const struct timespec now[] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_NOW } };

	assert_int_equal(utimensat(AT_FDCWD, memory, now, 0), 0);
	expect(just_open, CAY_CORRUPT, "its memory was written to");
}

static void test_foreign(void **state)
{
	_cleanup_free_ char *memory = file("memory"), *machine = file("machine");

	assert_int_equal(chmod(memory, 0640), 0);
	expect(just_open, CAY_CORRUPT, "not permitted");
	assert_int_equal(unlink(memory), 0);
	assert_int_equal(symlink(machine, memory), 0);
	expect(just_open, CAY_CORRUPT, "damaged");
}

static void test_other_shape(void **state)
{
	struct template template = TEMPLATE_NONE;
	struct cay_error err = { 0 };

	assert_ok(template_open(directory, &template, &err));
	assert_true(template_fits(&template, "{\"format\":1,\"vcpus\":2}", &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_non_null(strstr(err.message, "vcpus"));
	assert_true(template_fits(&template,
				  "{\"kernel\":{\"path\":\"/k\",\"size\":3,\"time_ns\":5}}",
				  &err) < 0);
	assert_non_null(strstr(err.message, "kernel"));
	template_close(&template);
}

static void expect_bad(const char *from, const char *to, const char *word)
{
	static const char whole[] =
		"{\"format\":1,\"shape\":{},\"created_ns\":1,\"memory_size\":4096,"
		"\"memory_time_ns\":2,\"memory_sum\":\"00000000000000aa\",\"machine_size\":3,"
		"\"machine_sum\":\"00000000000000bb\"}";
	_cleanup_buf_ struct buf text = { 0 };
	struct template template = TEMPLATE_NONE;
	struct cay_error err = { 0 };

	assert_ok(template_parse(whole, sizeof(whole) - 1, &template, &err));
	assert_int_equal(template.machine_sum, 0xbb);
	template_close(&template);
	put_replaced(&text, whole, from, to);
	assert_true(template_parse(buf_text(&text), text.length, &template, &err) < 0);
	assert_null(template.shape);
	assert_says(&err, word);
}

static void test_documents(void **state)
{
	expect_bad("\"format\":1", "\"format\":2", "format is 2");
	expect_bad("\"format\":1,", "", "format is 0");
	expect_bad("\"shape\":{}", "\"shape\":[]", "shape");
	expect_bad("\"shape\":{},", "", "shape");
	expect_bad("4096", "-1", "memory_size");
	expect_bad("4096", "0", "memory_size");
	expect_bad("\"machine_size\":3", "\"machine_size\":99999999999", "machine_size");
	expect_bad("00000000000000aa", "00000000000000AA", "memory_sum");
	expect_bad("00000000000000bb", "bb", "machine_sum");
	expect_bad("\"machine_sum\"", "\"sum\"", "machine_sum");
	expect_bad("{\"format\"", "[\"format\"", "description");
}

/* One file's change is another shape; what a container has of its own is not. */
static void test_shape(void **state)
{
	_cleanup_free_ char *kernel = file("kernel"), *first = NULL, *second = NULL;
	const int queue = 3;
	struct vm_machine machine = {
		.qemu = "/bin/sh",
		.kernel = kernel,
		.initramfs = "/bin/sh",
		.vcpus = 1,
		.memory_bytes = 64 * MIB,
		.disks = { { .read_only = true } },
		.disk_count = 2,
		.nics = { { .fds = &queue, .fd_count = 1, .mac = { 2, 1 } } },
		.nic_count = 1,
	};
	struct cay_error err = { 0 };

	assert_true(template_shape(&machine, &first, &err) < 0); /* no such kernel */
	assert_ok(file_write_volatile(kernel, "k", 1, 0600, &err));
	assert_ok(template_shape(&machine, &first, &err));
	machine.nics[0].mac[1] = 2;
	machine.id = "other";
	assert_ok(template_shape(&machine, &second, &err));
	assert_string_equal(first, second);
	free(second);
	assert_null(strstr(first, "\"boot\"")); /* the host's start is nothing to an emulator */
	machine.disks[1].read_only = true;
	assert_ok(template_shape(&machine, &second, &err));
	assert_string_not_equal(first, second);
	free(second);
	machine.disks[1].read_only = false;
	assert_ok(file_write_volatile(kernel, "kk", 2, 0600, &err));
	assert_ok(template_shape(&machine, &second, &err));
	assert_string_not_equal(first, second);
}

static char *part_of_shape(const struct vm_machine *machine, const char *key)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ json_t *root = NULL;
	struct cay_error err = { 0 };
	const char *value;

	assert_ok(template_shape(machine, &text, &err));
	assert_ok(json_parse(text, strlen(text), "a shape", &root, &err));
	value = json_string_value(json_object_get(root, key));
	return value ? xstrdup(value) : NULL;
}

/* Whatever QEMU is told is a part of the shape, the shape's other words being the same or not. */
static void test_shape_of_arguments(void **state)
{
	const int queue = 3, other_queue = 4;
	struct vm_machine machine = {
		.id = "one",
		.qemu = "/bin/sh",
		.kernel = "/bin/sh",
		.initramfs = "/bin/sh",
		.vcpus = 1,
		.memory_bytes = 64 * MIB,
		.disk_count = 2,
		.nics = { { .fds = &queue, .fd_count = 1, .mac = { 2, 1 } } },
		.nic_count = 1,
	};
	_cleanup_free_ char *first = part_of_shape(&machine, "arguments"), *same = NULL;
	_cleanup_free_ char *memory = NULL, *kernel_line = NULL, *boot = NULL;

	assert_non_null(first);
	machine.id = "other";
	machine.nics[0].mac[5] = 9;
	machine.nics[0].fds = &other_queue;
	same = part_of_shape(&machine, "arguments");
	assert_string_equal(first, same);
	machine.memory_bytes += MIB;
	memory = part_of_shape(&machine, "arguments");
	assert_string_not_equal(first, memory);
	machine.memory_bytes -= MIB;
	machine.tsc_khz = 2100000; /* on the kernel's line, too */
	kernel_line = part_of_shape(&machine, "arguments");
	assert_string_not_equal(first, kernel_line);
	machine.accel = VMM_KVM;
	boot = part_of_shape(&machine, "boot");
	assert_true(boot && strlen(boot) == 36);
}

/* The sum is of the whole list, and the kernel's line is in it. */
static void test_arguments(void **state)
{
	_cleanup_strv_ struct strv argv = { 0 };
	const struct vm_machine machine = { .kernel = "/k", .vcpus = 3, .memory_bytes = MIB };
	_cleanup_free_ char *line = cmdline_kernel(machine.accel, 0, false);
	bool told = false;

	vm_arguments(&machine, "/q", &argv);
	assert_string_equal(argv.items[0], "/q");
	for (size_t i = 0; i < argv.count; i++)
		told |= strcmp(argv.items[i], line) == 0;
	assert_true(told);
}

/* A file may end within a page: that part of it counts, too. */
static void test_cut_page(void **state)
{
	struct cay_error err = { 0 };
	int memory = -1, machine = -1;

	make_test_directory(directory);
	assert_ok(template_create(directory, MEMORY_SIZE + 100, &memory, &machine, &err));
	assert_int_equal(pwrite(memory, "end", 3, MEMORY_SIZE + 90), 3);
	assert_int_equal(write(machine, "QEVM", 4), 4);
	assert_ok(template_finish(directory, memory, machine, shape, &err));
	(void)close(memory);
	(void)close(machine);
	assert_ok(verify(&err));
	damage("memory", MEMORY_SIZE + 91, "x");
	expect(verify, CAY_CORRUPT, "memory");
	assert_ok(remove_tree(directory, &err));
}

#define ON_TEMPLATE(test) cmocka_unit_test_setup_teardown(test, make, unmake)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_TEMPLATE(test_sound),          ON_TEMPLATE(test_holes),
		ON_TEMPLATE(test_unfinished),     ON_TEMPLATE(test_truncated),
		ON_TEMPLATE(test_tampered),       ON_TEMPLATE(test_moved),
		ON_TEMPLATE(test_written),        ON_TEMPLATE(test_foreign),
		ON_TEMPLATE(test_other_shape),    cmocka_unit_test(test_documents),
		ON_TEMPLATE(test_shape),          cmocka_unit_test(test_shape_of_arguments),
		cmocka_unit_test(test_arguments), cmocka_unit_test(test_cut_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
