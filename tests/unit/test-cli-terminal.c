/* SPDX-License-Identifier: Apache-2.0 */
/* What is drawn on a terminal and read from it: progress lines, detach keys. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "cli/progress.h"
#include "cli/terminal.h"

#include <errno.h>

static void test_parse_keys(void **state)
{
	static const char *const bad[] = { "ctrl-",
					   "ctrl-1",
					   "ab",
					   "a,",
					   "ctrl-p,,",
					   "ctrl-pq",
					   "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q" };
	struct cay_error err = { 0 };
	struct detach_keys keys;

	assert_ok(detach_keys_parse(NULL, &keys, &err));
	assert_int_equal(keys.count, 2);
	assert_memory_equal(keys.keys, "\x10\x11", 2);
	assert_ok(detach_keys_parse("ctrl-@,ctrl-[,ctrl-_,ctrl-A,z", &keys, &err));
	assert_int_equal(keys.count, 5);
	assert_memory_equal(keys.keys, "\0\x1b\x1f\1z", 5);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (strcmp(bad[i], "a,") == 0)
			continue; /* a comma at the end adds no key */
		assert_int_equal(detach_keys_parse(bad[i], &keys, &err), -EINVAL);
	}
}

/* Types `typed` in one piece and byte by byte: what goes through, and whether it detaches. */
static void check_filter(const char *sequence, const char *typed, const char *through,
			 bool detaches)
{
	for (int bytewise = 0; bytewise < 2; bytewise++) {
		_cleanup_buf_ struct buf out = { 0 };
		struct cay_error err = { 0 };
		struct detach_keys keys;
		bool detached = false;

		assert_ok(detach_keys_parse(sequence, &keys, &err));
		if (bytewise)
			for (const char *at = typed; *at && !detached; at++)
				detached = detach_keys_filter(&keys, at, 1, &out);
		else
			detached = detach_keys_filter(&keys, typed, strlen(typed), &out);
		assert_true(detached == detaches);
		assert_string_equal(buf_text(&out), through);
	}
}

static void test_filter(void **state)
{
	check_filter(NULL, "ls\r", "ls\r", false);
	check_filter(NULL, "ls\x10\x11more", "ls", true);
	check_filter(NULL, "\x10x\x10\x10\x11", "\x10x\x10", true);
	check_filter(NULL, "a\x10", "a", false); /* held back: the next key decides */
	check_filter("a,a,b", "aaab", "a", true);
	check_filter("a,b,a,c", "ababac", "ab", true);
	check_filter("a,b,a,c", "abxc", "abxc", false);
}

static char *draw(unsigned int columns, const char *const *messages)
{
	_cleanup_(progress_free_p) struct progress *progress = NULL;
	struct buf out = { 0 };

	progress_open(-1, 24, columns, &progress);
	for (; *messages; messages++) {
		_cleanup_json_ json_t *message = NULL;
		struct cay_error err = { 0 };

		assert_ok(json_parse(*messages, strlen(*messages), "test", &message, &err));
		assert_ok(progress_render(progress, message, &out, &err));
	}
	return buf_steal(&out);
}

static const char *const pull[] = {
	"{\"status\":\"Pulling from x\",\"id\":\"latest\"}",
	"{\"status\":\"Waiting\",\"id\":\"aa\",\"progressDetail\":{}}",
	"{\"status\":\"Downloading\",\"id\":\"aa\",\"progressDetail\":{\"current\":1,\"total\":2}}",
	"{\"status\":\"Downloading\",\"id\":\"aa\",\"progressDetail\":{\"current\":2,\"total\":2}}",
	"{\"status\":\"Done\\u001b[2J\",\"id\":\"aa\"}",
	"{\"status\":\"Status: new\"}",
	NULL,
};

static void test_progress(void **state)
{
	_cleanup_free_ char *plain = draw(0, pull), *narrow = draw(40, pull);
	static const char *const half[] = {
		"{\"status\":\"D\",\"id\":\"a\",\"progressDetail\":{\"current\":500000,\"total\":1000000}}",
		NULL
	};
	static const char *const remarks[] = {
		"{\"status\":\"Pulling from a/long/name/of/an/image\",\"id\":\"latest\"}",
		"{\"status\":\"latest: digest: sha256:0123456789abcdef size: 1\"}",
		"{\"status\":\"A long word on what is done\",\"id\":\"a\",\"progressDetail\":{}}",
		NULL
	};
	_cleanup_free_ char *bar = draw(120, half), *long_ones = draw(20, remarks);

	assert_string_equal(plain,
			    "latest: Pulling from x\naa: Waiting\n"
			    "aa: Done?[2J\nStatus: new\n");
	assert_string_equal(narrow,
			    "latest: Pulling from x\naa: Waiting\n"
			    "\033[1A\r\033[2Kaa: Downloading       1B/2B\r\033[1B"
			    "\033[1A\r\033[2Kaa: Downloading       2B/2B\r\033[1B"
			    "\033[1A\r\033[2Kaa: Done?[2J\r\033[1B"
			    "Status: new\n");
	assert_string_equal(bar,
			    "a: D [=========================>                        ]"
			    "    500kB/1MB\n");
	/* Only what is redrawn must fit into a line. */
	assert_string_equal(long_ones,
			    "latest: Pulling from a/long/name/of/an/image\n"
			    "latest: digest: sha256:0123456789abcdef size: 1\n"
			    "a: A long word on …\n");
}

static void test_progress_error(void **state)
{
	static const char text[] =
		"{\"error\":\"short\",\"errorDetail\":{\"message\":\"no such tag\"}}";
	_cleanup_(progress_free_p) struct progress *progress = NULL;
	_cleanup_json_ json_t *message = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	struct cay_error err = { 0 };

	progress_open(-1, 0, 0, &progress);
	assert_ok(json_parse(text, strlen(text), "test", &message, &err));
	assert_int_equal(progress_render(progress, message, &out, &err), -EREMOTEIO);
	assert_string_equal(err.message, "no such tag");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_keys),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_progress_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
