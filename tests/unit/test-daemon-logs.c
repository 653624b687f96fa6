/* SPDX-License-Identifier: Apache-2.0 */
/* Reading json-file logs: selection, rotation, damage; and docker's frames and detach keys. */
#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "daemon/log-reader.h"
#include "daemon/stream.h"

#include <fcntl.h>

static struct cay_error err;
static char directory[64];
static char *path;

static int setup(void **state)
{
	make_test_directory(directory);
	path = path_join(directory, "log");
	return 0;
}

static int teardown(void **state)
{
	free(path);
	return remove_tree(directory, &err);
}

static void append(const char *name, const char *text)
{
	_cleanup_close_ int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, text, strlen(text)), 0);
}

/* Entry n is printed n seconds after the epoch, odd ones to stderr. */
static void append_entries(const char *name, int from, int to)
{
	for (int i = from; i <= to; i++) {
		_cleanup_free_ char *line = NULL;
		char time[CLOCK_TEXT_MAX];

		clock_format_utc(i * INT64_C(1000000000), time);
		line = xasprintf("{\"log\":\"line %d\\n\",\"stream\":\"%s\",\"time\":\"%s\"}\n", i,
				 i % 2 ? "stderr" : "stdout", time);
		append(name, line);
	}
}

/* All entries there are now, in one string without newlines. */
static char *read_all(struct log_reader *reader)
{
	struct buf text = { 0 };
	struct log_entry entry;
	int r;

	while ((r = log_reader_next(reader, &entry, &err)) > 0)
		buf_printf(&text, "%.*s,", (int)entry.length - 1, entry.text);
	assert_int_equal(r, 0);
	return buf_steal(&text);
}

static void expect(const struct log_selection *selection, const char *wanted)
{
	_cleanup_(log_reader_close_p) struct log_reader *reader = NULL;
	_cleanup_free_ char *text = NULL;

	assert_ok(log_reader_open(path, selection, &reader, &err));
	text = read_all(reader);
	assert_string_equal(text, wanted);
}

#define ALL .out = true, .err = true, .tail = -1

static void test_selection(void **state)
{
	append_entries(path, 1, 4);
	expect(&(struct log_selection){ ALL }, "line 1,line 2,line 3,line 4,");
	expect(&(struct log_selection){ .out = true, .tail = -1 }, "line 2,line 4,");
	expect(&(struct log_selection){ .err = true, .tail = -1 }, "line 1,line 3,");
	expect(&(struct log_selection){ ALL, .since_ns = 3000000000 }, "line 3,line 4,");
	expect(&(struct log_selection){ ALL, .until_ns = 2000000000 }, "line 1,line 2,");
}

static void test_tail_over_parts(void **state)
{
	_cleanup_free_ char *first = xasprintf("%s.2", path), *second = xasprintf("%s.1", path);
	struct log_selection selection = { .out = true, .err = true };

	append_entries(first, 1, 3);
	append_entries(second, 4, 5);
	append_entries(path, 6, 7);
	expect(&(struct log_selection){ ALL }, "line 1,line 2,line 3,line 4,line 5,line 6,line 7,");
	selection.tail = 0;
	expect(&selection, "");
	selection.tail = 2;
	expect(&selection, "line 6,line 7,");
	selection.tail = 3;
	expect(&selection, "line 5,line 6,line 7,");
	selection.tail = 5;
	expect(&selection, "line 3,line 4,line 5,line 6,line 7,");
	selection.tail = 100;
	expect(&selection, "line 1,line 2,line 3,line 4,line 5,line 6,line 7,");
}

/* More than one block of the backwards search, lines across its borders. */
static void test_long_tail(void **state)
{
	_cleanup_free_ char *filler = malloc(50001), *line = NULL;
	_cleanup_(log_reader_close_p) struct log_reader *reader = NULL;
	struct log_selection selection = { .out = true, .err = true, .tail = 7 };
	struct log_entry entry;
	unsigned int count = 0;

	memset(filler, 'x', 50000);
	filler[50000] = '\0';
	line = xasprintf("{\"log\":\"%s\\n\",\"stream\":\"stdout\",\"time\":"
			 "\"2026-01-01T00:00:00Z\"}\n",
			 filler);
	for (int i = 0; i < 20; i++)
		append(path, line);
	assert_ok(log_reader_open(path, &selection, &reader, &err));
	while (log_reader_next(reader, &entry, &err) > 0) {
		assert_int_equal(entry.length, 50001);
		count++;
	}
	assert_int_equal(count, 7);
}

static void test_follows_rotation(void **state)
{
	_cleanup_(log_reader_close_p) struct log_reader *reader = NULL;
	_cleanup_free_ char *older = xasprintf("%s.1", path), *oldest = xasprintf("%s.2", path);
	_cleanup_free_ char *text = NULL;

	/* not there yet */
	assert_ok(log_reader_open(path, &(struct log_selection){ ALL }, &reader, &err));
	text = read_all(reader);
	assert_string_equal(text, "");
	append_entries(path, 1, 2);
	free(text);
	text = read_all(reader);
	assert_string_equal(text, "line 1,line 2,");
	/* two rotations between two looks */
	append_entries(path, 3, 3);
	assert_int_equal(rename(path, older), 0);
	append_entries(path, 4, 4);
	assert_int_equal(rename(older, oldest), 0);
	assert_int_equal(rename(path, older), 0);
	append_entries(path, 5, 5);
	free(text);
	text = read_all(reader);
	assert_string_equal(text, "line 3,line 4,line 5,");
	/* emptied in place, as with one file only */
	assert_int_equal(truncate(path, 0), 0);
	append_entries(path, 6, 6);
	assert_int_equal(truncate(path, 0), 0);
	append_entries(path, 8, 8);
	free(text);
	text = read_all(reader);
	assert_true(strcmp(text, "") == 0 || strcmp(text, "line 8,") == 0);
}

static void test_emptied(void **state)
{
	_cleanup_(log_reader_close_p) struct log_reader *reader = NULL;
	_cleanup_free_ char *text = NULL;

	append_entries(path, 1, 5);
	assert_ok(log_reader_open(path, &(struct log_selection){ ALL }, &reader, &err));
	text = read_all(reader);
	assert_int_equal(truncate(path, 0), 0);
	append_entries(path, 6, 6);
	free(text);
	text = read_all(reader);
	assert_string_equal(text, "line 6,");
}

static void test_damage(void **state)
{
	_cleanup_(log_reader_close_p) struct log_reader *reader = NULL;
	_cleanup_free_ char *huge = malloc(3 * 1024 * 1024), *text = NULL;

	append(path,
	       "\n\0garbage\n{\"log\":5}\n[]\n{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"no\"}\n");
	append_entries(path, 1, 1);
	memset(huge, 'z', 3 * 1024 * 1024 - 1);
	huge[3 * 1024 * 1024 - 1] = '\0';
	append(path, huge);
	append(path, "\n");
	append_entries(path, 2, 2);
	append(path, "{\"log\":\"torn");
	assert_ok(log_reader_open(path, &(struct log_selection){ ALL }, &reader, &err));
	text = read_all(reader);
	assert_string_equal(text, "line 1,line 2,");
	/* the rest of the torn line comes later */
	append(path, " no more\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n");
	free(text);
	text = read_all(reader);
	assert_string_equal(text, "torn no more,");
}

static void test_times(void **state)
{
	int64_t ns = 0;

	assert_int_equal(log_parse_time("12", &ns), 0);
	assert_true(ns == 12000000000);
	assert_int_equal(log_parse_time("12.5", &ns), 0);
	assert_true(ns == 12500000000);
	assert_int_equal(log_parse_time("12.000000001", &ns), 0);
	assert_true(ns == 12000000001);
	assert_int_equal(log_parse_time("1970-01-01T00:00:02Z", &ns), 0);
	assert_true(ns == 2000000000);
	assert_true(log_parse_time("x", &ns) < 0);
	assert_true(log_parse_time("-1", &ns) < 0);
	assert_true(log_parse_time("1.0000000001", &ns) < 0);
	assert_true(log_parse_time("99999999999999", &ns) < 0);
}

static void test_frames(void **state)
{
	_cleanup_buf_ struct buf out = { 0 };

	frame_append(&out, FRAME_STDERR, "abc", 3);
	assert_int_equal(out.length, 11);
	assert_memory_equal(out.data, "\2\0\0\0\0\0\0\3abc", 11);
}

static void test_detach_keys(void **state)
{
	struct detach_keys keys;

	assert_ok(detach_keys_parse(NULL, &keys, &err));
	assert_int_equal(keys.count, 2);
	assert_memory_equal(keys.bytes, "\x10\x11", 2);
	assert_ok(detach_keys_parse("ctrl-@,a,ctrl-[,ctrl-_", &keys, &err));
	assert_memory_equal(keys.bytes, "\0a\x1b\x1f", 4);
	assert_true(detach_keys_parse("ctrl-A", &keys, &err) < 0);
	assert_true(detach_keys_parse("ab", &keys, &err) < 0);
	assert_true(detach_keys_parse(",", &keys, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_selection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tail_over_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_tail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follows_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_emptied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_detach_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
