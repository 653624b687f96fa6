/* SPDX-License-Identifier: Apache-2.0 */
/* Templates that are wanted, and those whose clones have failed; without the thread. */
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "daemon/templates-internal.h"
#include "sandbox/template.h"
#include "vmm/template.h"

#include <unistd.h>

enum { MEMORY_SIZE = 1024 * 1024 };
static char program[] = "/bin/sh", acceleration[] = "tcg"; /* a configuration's are its own */

struct table {
	char root[64];
	struct daemon daemon;
	struct templates *templates;
	struct sandbox_config config; /* of a start that was given the template */
	char key[TEMPLATE_KEY_SIZE];
};

/* A template with the shape of this configuration. */
static void make_template(const struct table *table, const char *directory)
{
	_cleanup_free_ char *shape = NULL;
	struct cay_error err = { 0 };
	int memory = -1, machine = -1;

	assert_ok(make_dirs(directory, 0700, &err));
	assert_ok(sandbox_shape(&table->config, &shape, &err));
	assert_ok(template_create(directory, MEMORY_SIZE, &memory, &machine, &err));
	assert_int_equal(pwrite(memory, "memory", 6, 5000), 6);
	assert_int_equal(write(machine, "machine", 7), 7);
	assert_ok(template_finish(directory, memory, machine, shape, &err));
	(void)close(memory);
	(void)close(machine);
}

static int open_table(void **state)
{
	struct table *table = xcalloc(1, sizeof(*table));
	char *directory;
	struct cay_error err = { 0 };

	make_test_directory(table->root);
	table->daemon.options.root = table->root;
	table->daemon.options.use_templates = true;
	table->config = (struct sandbox_config){
		.kernel = program,
		.initramfs = program,
		.qemu = program,
		.acceleration = acceleration,
		.vcpus = 1,
		.memory_bytes = 64 * MIB,
	};
	assert_ok(templates_key(&table->config, table->key, NULL, &err));
	directory = xasprintf("%s/templates/%s", table->root, table->key);
	make_template(table, directory);
	table->config.template_directory = directory;
	assert_ok(templates_open(&table->daemon, &table->templates, &err));
	*state = table;
	return 0;
}

static int close_table(void **state)
{
	struct table *table = *state;
	struct cay_error err = { 0 };

	templates_free(table->templates);
	assert_ok(remove_tree(table->root, &err));
	free(table->config.template_directory);
	free(table);
	return 0;
}

static bool is_there(const struct table *table)
{
	return templates_entry(table->templates, table->key) != NULL;
}

/* Whether a start would be given it. */
static bool is_chosen(const struct table *table)
{
	struct sandbox_config config = table->config;
	bool chosen;

	config.template_directory = NULL;
	templates_choose(table->templates, table->key, &config);
	chosen = config.template_directory != NULL;
	free(config.template_directory);
	return chosen;
}

static void fail_one(const struct table *table, int64_t since_ms)
{
	templates_started(table->templates, table->key, &table->config, since_ms, "cold",
			  "no answer");
}

static void test_whole_one_may_fail_once(void **state)
{
	const struct table *table = *state;
	const int64_t begun = clock_monotonic_ms();

	assert_true(is_chosen(table));
	fail_one(table, begun);
	assert_false(is_chosen(table));
	templates_judge(table->templates);
	assert_true(is_chosen(table));
	/* Those that were under way as well; one that went well is a new beginning. */
	fail_one(table, begun - 1);
	assert_true(is_chosen(table));
	templates_started(table->templates, table->key, &table->config, begun, "template", "");
	fail_one(table, clock_monotonic_ms());
	templates_judge(table->templates);
	assert_true(is_chosen(table));
	assert_null(table->templates->wishes);
}

static void test_twice_in_a_row(void **state)
{
	const struct table *table = *state;

	for (int i = 0; i < 2; i++) {
		assert_true(is_there(table));
		fail_one(table, clock_monotonic_ms());
		templates_judge(table->templates);
	}
	assert_false(is_there(table));
	assert_false(file_exists(table->config.template_directory));
	assert_non_null(table->templates->wishes);
	assert_string_equal(table->templates->wishes->key, table->key);
}

static void test_damaged_one_goes_at_once(void **state)
{
	const struct table *table = *state;
	_cleanup_free_ char *machine = path_join(table->config.template_directory, "machine");

	assert_int_equal(truncate(machine, 1), 0);
	fail_one(table, clock_monotonic_ms());
	templates_judge(table->templates);
	assert_false(is_there(table));
	assert_non_null(table->templates->wishes);
}

static unsigned int count_wishes(const struct table *table)
{
	unsigned int count = 0;

	for (const struct template_wish *wish = table->templates->wishes; wish; wish = wish->next)
		count++;
	return count;
}

static void start_cold(const struct table *table, const struct sandbox_config *config)
{
	char key[TEMPLATE_KEY_SIZE];

	templates_key_of_start(&table->daemon, config, key);
	templates_started(table->templates, key, config, 0, "cold", "");
}

static void test_wishes_are_bounded(void **state)
{
	const struct table *table = *state;
	struct sandbox_config config = table->config;
	const struct template_wish *making, *waited_for, *wish;

	config.template_directory = NULL;
	/* With shares they boot in any case. */
	config.memory_bytes = 63 * MIB;
	config.share_count = 1;
	start_cold(table, &config);
	assert_null(table->templates->wishes);
	config.share_count = 0;
	for (unsigned int i = 1; i <= TEMPLATES_MAX; i++) {
		config.memory_bytes = (64 + i) * MIB;
		start_cold(table, &config);
	}
	assert_int_equal(count_wishes(table), TEMPLATES_MAX);
	making = table->templates->wishes;
	waited_for = making->next;
	table->templates->wishes->is_making = true;
	table->templates->wishes->next->is_urgent = true;
	for (unsigned int i = 1; i <= 3 * TEMPLATES_MAX; i++) {
		config.memory_bytes = (640 + i) * MIB;
		start_cold(table, &config);
	}
	assert_int_equal(count_wishes(table), TEMPLATES_MAX);
	assert_ptr_equal(table->templates->wishes, making);
	assert_ptr_equal(table->templates->wishes->next, waited_for);
	/* Of the others the last. */
	wish = waited_for->next;
	assert_int_equal(wish->like->memory_bytes, (640 + 2 * TEMPLATES_MAX + 3) * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole_one_may_fail_once, open_table,
						close_table),
		cmocka_unit_test_setup_teardown(test_twice_in_a_row, open_table, close_table),
		cmocka_unit_test_setup_teardown(test_damaged_one_goes_at_once, open_table,
						close_table),
		cmocka_unit_test_setup_teardown(test_wishes_are_bounded, open_table, close_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
