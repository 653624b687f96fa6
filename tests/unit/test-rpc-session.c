/* SPDX-License-Identifier: Apache-2.0 */
/* The line that opens a session: after garbage, in pieces, and beside an HTTP/2 preface. */
#include "test.h"

#include "rpc/session.h"

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void test_format(void **state)
{
	char line[SESSION_LINE_LENGTH];

	session_format(0x0123456789abcdef, line);
	assert_memory_equal(line, "CAY 0123456789abcdef\n", SESSION_LINE_LENGTH);
	assert_true(session_number(line) == 0x0123456789abcdef);
	session_format(UINT64_MAX, line);
	assert_true(session_number(line) == UINT64_MAX);
	assert_memory_equal(line, "CAY ffffffffffffffff\n", SESSION_LINE_LENGTH);
}

/* Stale bytes, the line and what follows it, in pieces of every size. */
static void test_find_in_pieces(void **state)
{
	static const char before[] = "\0\0\4\1CAY 0000CAY 00000000000000CAY CA", after[] = "PRI *";
	char line[SESSION_LINE_LENGTH], other[SESSION_LINE_LENGTH];
	_cleanup_buf_ struct buf wire = { 0 };

	session_format(0, line);
	session_format(1, other);
	buf_append(&wire, before, sizeof(before) - 1);
	buf_append(&wire, other, sizeof(other)); /* an earlier session's */
	buf_append(&wire, line, sizeof(line));
	buf_append(&wire, after, sizeof(after) - 1);
	for (size_t piece = 1; piece <= wire.length; piece++) {
		_cleanup_buf_ struct buf received = { 0 };
		bool found = false;

		for (size_t at = 0; at < wire.length; at += piece) {
			buf_append(&received, wire.data + at, MIN(piece, wire.length - at));
			if (!found)
				found = session_find(&received, line);
			if (!found)
				assert_true(received.length < SESSION_LINE_LENGTH);
		}
		assert_true(found);
		assert_int_equal(received.length, sizeof(after) - 1);
		assert_memory_equal(received.data, after, received.length);
	}
}

/* The line that announces a freeze is found like any other. */
static void test_freeze(void **state)
{
	static const char wire[] = "CAY fre" SESSION_FREEZE "CAY 00000000000000aa\n";
	char line[SESSION_LINE_LENGTH];
	_cleanup_buf_ struct buf received = { 0 };

	buf_append(&received, wire, sizeof(wire) - 1);
	assert_int_equal(session_opening(&received, line), SESSION_LINE);
	assert_memory_equal(line, SESSION_FREEZE, SESSION_LINE_LENGTH);
	assert_int_equal(session_opening(&received, line), SESSION_LINE);
	assert_memory_equal(line, "CAY 00000000000000aa\n", SESSION_LINE_LENGTH);
	assert_int_equal(received.length, 0);
}

static void test_find_nothing(void **state)
{
	_cleanup_buf_ struct buf received = { 0 };
	char line[SESSION_LINE_LENGTH];

	session_format(7, line);
	assert_false(session_find(&received, line));
	buf_puts(&received, "nothing here");
	assert_false(session_find(&received, line));
	assert_int_equal(received.length, 0);
}

static void test_opening_in_pieces(void **state)
{
	static const char before[] =
		"GET / HTTP/1.1\r\nPRI CAY xyz CAY 0123456789abcdeg\nPRI * HTTP/2";
	char line[SESSION_LINE_LENGTH], found[SESSION_LINE_LENGTH];
	_cleanup_buf_ struct buf wire = { 0 };

	session_format(0xfeedface, line);
	buf_append(&wire, before, sizeof(before) - 1);
	buf_append(&wire, line, sizeof(line));
	buf_append(&wire, preface, sizeof(preface) - 1);
	buf_puts(&wire, "more");
	for (size_t piece = 1; piece <= wire.length; piece++) {
		_cleanup_buf_ struct buf received = { 0 };
		enum session_opening opening = SESSION_MORE;
		unsigned int lines = 0;

		for (size_t at = 0; at < wire.length; at += piece) {
			buf_append(&received, wire.data + at, MIN(piece, wire.length - at));
			while (opening != SESSION_PREFACE) {
				opening = session_opening(&received, found);
				if (opening != SESSION_LINE)
					break;
				assert_memory_equal(found, line, sizeof(line));
				lines++;
			}
			if (opening == SESSION_MORE)
				assert_true(received.length < sizeof(preface) - 1);
		}
		assert_int_equal(opening, SESSION_PREFACE);
		assert_int_equal(lines, 1);
		assert_int_equal(received.length, sizeof(preface) - 1 + 4);
		assert_memory_equal(received.data, preface, sizeof(preface) - 1);
	}
}

static void test_opening_drops_garbage(void **state)
{
	_cleanup_buf_ struct buf received = { 0 };
	char line[SESSION_LINE_LENGTH];

	assert_int_equal(session_opening(&received, line), SESSION_MORE);
	for (unsigned int i = 0; i < 100000; i++)
		buf_putc(&received, (char)(i * 7));
	assert_int_equal(session_opening(&received, line), SESSION_MORE);
	assert_true(received.length < sizeof(preface));
	buf_clear(&received);
	/* Digits are lower case, as the host writes them. */
	buf_puts(&received, "CAY 0123456789ABCDEF\n");
	assert_int_equal(session_opening(&received, line), SESSION_MORE);
	assert_int_equal(received.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_find_in_pieces),
		cmocka_unit_test(test_freeze),
		cmocka_unit_test(test_find_nothing),
		cmocka_unit_test(test_opening_in_pieces),
		cmocka_unit_test(test_opening_drops_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
