/* SPDX-License-Identifier: Apache-2.0 */
/* The json-file log: lines, pieces, UTF-8, rotation, a full disk. */
#include "test.h"

#include "shim/logs.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

struct fixture {
	char directory[64];
	char *path;
	struct logs *logs;
};

static void set_up(struct fixture *fixture, uint64_t max_size, unsigned int max_files)
{
	struct cay_error err = { 0 };

	make_test_directory(fixture->directory);
	fixture->path = path_join(fixture->directory, "x.log");
	assert_ok(logs_open(fixture->path, max_size, max_files, &fixture->logs, &err));
}

static void tear_down(struct fixture *fixture)
{
	struct cay_error err = { 0 };

	logs_close(fixture->logs);
	assert_ok(remove_tree(fixture->directory, &err));
	free(fixture->path);
}

static void append(struct fixture *fixture, enum log_stream stream, const char *text)
{
	logs_append(fixture->logs, stream, text, strlen(text));
}

/* The file's entries as "stream:log" one after the other, with every time checked. */
static char *entries(const char *path)
{
	struct buf out = { 0 };
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };
	struct str rest;

	assert_ok(file_read(path, 64 * MIB, &text, &err));
	rest = (struct str){ buf_text(&text), text.length };
	assert_true(text.length == 0 || text.data[text.length - 1] == '\n');
	while (rest.length > 0) {
		struct str line = str_split(rest, '\n', &rest);
		json_t *entry = NULL, *log;
		int64_t ns;

		assert_ok(json_parse(line.data, line.length, "a log line", &entry, &err));
		log = json_object_get(entry, "log");
		buf_printf(&out, "%s:", json_string_value(json_object_get(entry, "stream")));
		buf_append(&out, json_string_value(log), json_string_length(log));
		assert_int_equal(
			clock_parse(json_string_value(json_object_get(entry, "time")), &ns), 0);
		assert_true(ns > 0);
		json_decref(entry);
	}
	return buf_steal(&out);
}

static void expect(const struct fixture *fixture, const char *wanted)
{
	_cleanup_free_ char *found = entries(fixture->path);

	assert_string_equal(found, wanted);
}

static void test_lines(void **state)
{
	struct fixture fixture;

	set_up(&fixture, 0, 1);
	append(&fixture, LOG_STDOUT, "one\ntwo\nthr");
	expect(&fixture, "stdout:one\nstdout:two\n");
	append(&fixture, LOG_STDERR, "bad\n");
	append(&fixture, LOG_STDOUT, "ee\n\n");
	expect(&fixture, "stdout:one\nstdout:two\nstderr:bad\nstdout:three\nstdout:\n");
	append(&fixture, LOG_STDOUT, "no newline");
	append(&fixture, LOG_STDERR, "here neither");
	logs_flush(fixture.logs);
	expect(&fixture,
	       "stdout:one\nstdout:two\nstderr:bad\nstdout:three\nstdout:\n"
	       "stdout:no newlinestderr:here neither");
	tear_down(&fixture);
}

/* The bytes on disk, as docker writes them. */
static void test_exact(void **state)
{
	static const char begin[] =
		"{\"log\":\"a\\\"b\\\\c\\td\\r\\u0001\\u001b\x7f\\u003c\\u003e\\u0026"
		"\xc3\xa9\xf0\x9f\x98\x80\\n\",\"stream\":\"stdout\",\"time\":\"";
	struct fixture fixture;
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err = { 0 };

	set_up(&fixture, 0, 1);
	append(&fixture, LOG_STDOUT, "a\"b\\c\td\r\x01\x1b\x7f<>&\xc3\xa9\xf0\x9f\x98\x80\n");
	assert_ok(file_read(fixture.path, 4096, &text, &err));
	assert_true(starts_with(buf_text(&text), begin));
	assert_true(ends_with(buf_text(&text), "Z\"}\n"));
	tear_down(&fixture);
}

static void test_bad_utf8(void **state)
{
	static const struct {
		const char *bytes, *logged;
	} cases[] = {
		{ "\xff", "\xef\xbf\xbd" },
		{ "a\x80z", "a\xef\xbf\xbdz" },
		{ "\xc3", "\xef\xbf\xbd" },                 /* cut */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" }, /* longer than needed */
		{ "\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* a surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" }, /* U+10FFFF */
		{ "\xe2\x82\xac", "\xe2\x82\xac" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture fixture;
		_cleanup_free_ char *line = xasprintf("%s\n", cases[i].bytes);
		_cleanup_free_ char *wanted = xasprintf("stdout:%s\n", cases[i].logged);

		set_up(&fixture, 0, 1);
		append(&fixture, LOG_STDOUT, line);
		expect(&fixture, wanted);
		tear_down(&fixture);
	}
}

/* A line of `length` bytes, fed in pieces, must come out in parts of LOG_LINE_MAX. */
static void check_long(size_t length, size_t piece)
{
	struct fixture fixture;
	_cleanup_free_ char *line = xmalloc(length + 1), *found = NULL;
	_cleanup_buf_ struct buf wanted = { 0 };

	memset(line, 'x', length);
	line[length] = '\n';
	set_up(&fixture, 0, 1);
	for (size_t at = 0; at < length + 1; at += piece)
		logs_append(fixture.logs, LOG_STDOUT, line + at, MIN(piece, length + 1 - at));
	for (size_t at = 0; at + LOG_LINE_MAX <= length; at += LOG_LINE_MAX) {
		buf_puts(&wanted, "stdout:");
		buf_append(&wanted, line, LOG_LINE_MAX);
	}
	buf_puts(&wanted, "stdout:");
	buf_append(&wanted, line, length % LOG_LINE_MAX);
	buf_putc(&wanted, '\n');
	found = entries(fixture.path);
	assert_string_equal(found, buf_text(&wanted));
	tear_down(&fixture);
}

static void test_long_lines(void **state)
{
	static const size_t pieces[] = { 1000, LOG_LINE_MAX - 1, LOG_LINE_MAX, LOG_LINE_MAX + 1,
					 200000 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		check_long(LOG_LINE_MAX - 1, pieces[i]);
		check_long(LOG_LINE_MAX, pieces[i]);
		check_long(LOG_LINE_MAX + 1, pieces[i]);
		check_long(100000, pieces[i]);
	}
}

/* Every entry is in exactly one of the files, the newest in the file without a number. */
static void test_rotation(void **state)
{
	struct fixture fixture;
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL, *newest = NULL;
	_cleanup_buf_ struct buf all = { 0 }, wanted = { 0 };
	struct stat st;

	set_up(&fixture, 1000, 3);
	first = xasprintf("%s.1", fixture.path);
	second = xasprintf("%s.2", fixture.path);
	third = xasprintf("%s.3", fixture.path);
	for (unsigned int i = 0; i < 100; i++) {
		_cleanup_free_ char *line = xasprintf("line %u\n", i);

		append(&fixture, LOG_STDOUT, line);
	}
	assert_true(file_exists(second));
	assert_false(file_exists(third));
	assert_int_equal(stat(first, &st), 0);
	assert_in_range(st.st_size, 1000, 1100);
	newest = entries(second);
	buf_puts(&all, newest);
	free(newest);
	newest = entries(first);
	buf_puts(&all, newest);
	free(newest);
	newest = entries(fixture.path);
	buf_puts(&all, newest);
	for (unsigned int i = 0; i < 100; i++)
		buf_printf(&wanted, "stdout:line %u\n", i);
	assert_true(all.length > 200);
	assert_true(ends_with(buf_text(&wanted), buf_text(&all)));
	tear_down(&fixture);
}

static void test_rotation_of_one(void **state)
{
	struct fixture fixture;
	_cleanup_free_ char *first = NULL;
	struct stat st;

	set_up(&fixture, 500, 1);
	first = xasprintf("%s.1", fixture.path);
	for (unsigned int i = 0; i < 50; i++)
		append(&fixture, LOG_STDOUT, "some line\n");
	assert_false(file_exists(first));
	assert_int_equal(stat(fixture.path, &st), 0);
	assert_true(st.st_size < 600);
	tear_down(&fixture);
}

/* A container that is started again goes on in the file it had. */
static void test_reopened(void **state)
{
	struct fixture fixture;
	struct cay_error err = { 0 };

	set_up(&fixture, 0, 1);
	append(&fixture, LOG_STDOUT, "before");
	logs_close(fixture.logs);
	assert_ok(logs_open(fixture.path, 0, 1, &fixture.logs, &err));
	append(&fixture, LOG_STDOUT, "after\n");
	expect(&fixture, "stdout:beforestdout:after\n");
	tear_down(&fixture);
}

/* On a full disk entries are counted and lost whole, and later ones are written again. */
static void test_full_disk(void **state)
{
	char directory[64];
	_cleanup_free_ char *path = NULL, *filler = NULL, *found = NULL;
	_cleanup_free_ char *ballast = xcalloc(1, 60 * 1024);
	struct logs *logs = NULL;
	struct cay_error err = { 0 };

	make_test_directory(directory);
	if (mount("test", directory, "tmpfs", 0, "size=64k") < 0) {
		assert_ok(remove_tree(directory, &err));
		skip(); /* not root */
	}
	path = path_join(directory, "x.log");
	filler = path_join(directory, "filler");
	assert_ok(logs_open(path, 0, 1, &logs, &err));
	logs_append(logs, LOG_STDOUT, "first\n", 6);
	assert_ok(file_write_volatile(filler, ballast, 60 * 1024, 0600, &err));
	for (unsigned int i = 0; i < 200; i++)
		logs_append(logs, LOG_STDOUT, "a line that finds no room\n", 26);
	assert_true(logs_dropped(logs) > 0);
	assert_true(logs_dropped(logs) < 200);
	assert_int_equal(unlink(filler), 0);
	logs_append(logs, LOG_STDOUT, "last\n", 5);
	logs_close(logs);
	found = entries(path); /* every entry is whole, or this fails */
	assert_true(starts_with(found, "stdout:first\n"));
	assert_true(ends_with(found, "stdout:last\n"));
	assert_int_equal(umount2(directory, MNT_DETACH), 0);
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),    cmocka_unit_test(test_exact),
		cmocka_unit_test(test_bad_utf8), cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_rotation), cmocka_unit_test(test_rotation_of_one),
		cmocka_unit_test(test_reopened), cmocka_unit_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
