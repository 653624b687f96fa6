/* SPDX-License-Identifier: Apache-2.0 */
/* Translations that are given to starts, and those that are wanted; without the thread. */
#include "test.h"

#include "base/alloc.h"
#include "base/file.h"
#include "daemon/recorder-internal.h"
#include "vmm/translations-format.h"

#include <sys/stat.h>
#include <unistd.h>

static char program[] = "/bin/sh", tcg[] = "tcg", kvm[] = "kvm"; /* a configuration's are its own */

struct table {
	char root[64];
	struct daemon daemon;
	struct recorder *recorder;
	struct sandbox_config config;
	char key[TRANSLATIONS_KEY_SIZE];
	char *path; /* of the file with this key */
};

static int open_table(void **state)
{
	struct table *table = xcalloc(1, sizeof(*table));
	struct cay_error err = { 0 };

	make_test_directory(table->root);
	table->daemon.options.root = table->root;
	table->daemon.options.use_translations = true;
	table->config = (struct sandbox_config){
		.kernel = program,
		.initramfs = program,
		.qemu = program,
		.acceleration = tcg,
		.vcpus = 1,
		.memory_bytes = 64 * MIB,
	};
	recording_key(&table->config, table->key);
	assert_ok(recorder_open(&table->daemon, &table->recorder, &err));
	table->path = path_join(table->recorder->directory, table->key);
	*state = table;
	return 0;
}

static int close_table(void **state)
{
	struct table *table = *state;
	struct cay_error err = { 0 };

	recorder_free(table->recorder);
	assert_ok(remove_tree(table->root, &err));
	free(table->path);
	free(table);
	return 0;
}

static void reopen(struct table *table)
{
	struct cay_error err = { 0 };

	recorder_free(table->recorder);
	assert_ok(recorder_open(&table->daemon, &table->recorder, &err));
}

/* A recording of one block of one instruction. */
static void write_recording(const char *path)
{
	struct {
		struct translations_head head;
		struct translation block;
		char guest[8], row[8], code[8];
	} file = {
		.head.format = TRANSLATIONS_FORMAT,
		.head.build_id = "a",
		.block = { .size = sizeof(file) - sizeof(file.head),
			   .offset = 16,
			   .guest_size = 1,
			   .instructions = 1,
			   .code_size = 8,
			   .jump_end = { TRANSLATION_NO_JUMP, TRANSLATION_NO_JUMP } },
	};
	struct cay_error err = { 0 };

	assert_int_equal(translation_parts(&file.block).end, file.block.size);
	memcpy(file.head.magic, RECORDING_MAGIC, sizeof(file.head.magic));
	file.block.sum = translation_sum(&file.block.key, file.block.size - sizeof(file.block.sum));
	assert_ok(file_write_volatile(path, &file, sizeof(file), 0600, &err));
}

static void make_file(const struct table *table)
{
	_cleanup_free_ char *first = path_join(table->root, "first");
	_cleanup_free_ char *second = path_join(table->root, "second");
	struct translations_counts counts;
	struct cay_error err = { 0 };

	write_recording(first);
	write_recording(second);
	(void)unlink(table->path);
	assert_ok(translations_merge(first, second, table->path, &counts, &err));
	assert_int_equal(counts.kept, 1);
}

/* Whether a start is given them. */
static bool is_chosen(const struct table *table)
{
	struct sandbox_config config = table->config;
	bool chosen;

	config.translations = NULL;
	recorder_choose(table->recorder, &config);
	chosen = config.translations && strcmp(config.translations, table->path) == 0;
	free(config.translations);
	return chosen;
}

static bool is_wanted(const struct table *table)
{
	return table->recorder->wanted_ms > 0;
}

static void damage_head(const struct table *table)
{
	struct cay_error err = { 0 };
	_cleanup_buf_ struct buf bytes = { 0 };

	assert_ok(file_read(table->path, MIB, &bytes, &err));
	((char *)bytes.data)[3] ^= 1;
	assert_ok(file_write_atomic(table->path, bytes.data, bytes.length, 0400, &err));
}

static void test_wanted_then_used(void **state)
{
	const struct table *table = *state;
	struct cay_error none = { 0 };

	assert_false(is_wanted(table));
	assert_false(is_chosen(table));
	assert_true(is_wanted(table));
	make_file(table);
	recorder_conclude(table->recorder, table->key, 0, &none);
	assert_false(is_wanted(table));
	assert_true(is_chosen(table));
	assert_false(is_wanted(table));
}

static void test_only_where_qemu_translates(void **state)
{
	struct table *table = *state;

	make_file(table);
	table->config.acceleration = kvm;
	assert_false(is_chosen(table));
	assert_int_equal(recorder_left_ms(table->recorder, &table->config), 0);
	table->config.acceleration = tcg;
	table->daemon.options.use_translations = false;
	assert_false(is_chosen(table));
	assert_int_equal(recorder_left_ms(table->recorder, &table->config), 0);
	assert_false(is_wanted(table));
}

static void test_damaged_is_removed_and_wanted(void **state)
{
	const struct table *table = *state;

	make_file(table);
	damage_head(table);
	assert_false(is_chosen(table));
	assert_false(file_exists(table->path));
	assert_true(is_wanted(table));
}

/* What is made ahead waits for the first attempt, and not for ever. */
static void test_waited_for(void **state)
{
	const struct table *table = *state;
	struct recorder *recorder = table->recorder;
	struct cay_error err = { 0 };

	assert_true(recorder_left_ms(recorder, &table->config) > 0);
	assert_true(is_wanted(table));
	recorder->wanted_ms -= 60000;
	assert_int_equal(recorder_left_ms(recorder, &table->config), 0);
	recorder->wanted_ms += 60000;
	recorder_conclude(recorder, table->key,
			  cay_error_set(&err, CAY_NO_SPACE, ENOSPC, "the disk is full"), &err);
	assert_int_equal(recorder_left_ms(recorder, &table->config), 0);
	make_file(table);
	recorder_conclude(recorder, table->key, 0, &err);
	assert_int_equal(recorder_left_ms(recorder, &table->config), 0);
}

/* Each failure that follows another doubles the time to the next attempt. */
static void test_tried_again_later(void **state)
{
	const struct table *table = *state;
	struct cay_error err = { 0 };
	int64_t first, second;
	int r = cay_error_set(&err, CAY_TIMEOUT, ETIMEDOUT, "the VM did not come up");

	assert_false(is_chosen(table));
	recorder_conclude(table->recorder, table->key, r, &err);
	first = table->recorder->not_before_ms - table->recorder->wanted_ms;
	recorder_conclude(table->recorder, table->key, r, &err);
	second = table->recorder->not_before_ms - table->recorder->wanted_ms;
	assert_true(is_wanted(table));
	assert_in_range(first, 60000, 62000);
	assert_in_range(second, 120000, 122000);
}

static void test_another_kernel_may_be_supported(void **state)
{
	struct table *table = *state;
	struct cay_error err = { 0 };
	int r = cay_error_set(&err, CAY_UNSUPPORTED, ENOTSUP, "nothing was recorded");

	assert_false(is_chosen(table));
	recorder_conclude(table->recorder, table->key, r, &err);
	assert_false(is_chosen(table));
	assert_false(is_wanted(table));
	assert_int_equal(recorder_left_ms(table->recorder, &table->config), 0);
	table->config.kernel = table->config.initramfs = (char *)"/proc/self/exe";
	assert_false(is_chosen(table));
	assert_true(is_wanted(table));
}

static void test_cleared_at_the_start(void **state)
{
	struct table *table = *state;
	_cleanup_free_ char *left = path_join(table->recorder->directory, ".new-left");
	_cleanup_free_ char *notes = path_join(table->recorder->directory, "notes");
	_cleanup_free_ char *other = path_join(table->recorder->directory,
					       "0123456789abcdef0123456789abcdef"
					       "0123456789abcdef0123456789abcdef");
	struct cay_error err = { 0 };

	make_file(table);
	assert_int_equal(mkdir(left, 0700), 0);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_ok(file_write_volatile(notes, "mine", 4, 0600, &err));
	reopen(table);
	assert_false(file_exists(left));
	assert_false(file_exists(notes));
	assert_false(file_exists(other));
	assert_true(is_chosen(table));
	damage_head(table);
	reopen(table);
	assert_false(file_exists(table->path));
	assert_false(is_wanted(table));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wanted_then_used, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_only_where_qemu_translates, open_table,
						close_table),
		cmocka_unit_test_setup_teardown(test_damaged_is_removed_and_wanted, open_table,
						close_table),
		cmocka_unit_test_setup_teardown(test_waited_for, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_tried_again_later, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_another_kernel_may_be_supported, open_table,
						close_table),
		cmocka_unit_test_setup_teardown(test_cleared_at_the_start, open_table, close_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
