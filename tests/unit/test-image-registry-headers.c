/* SPDX-License-Identifier: Apache-2.0 */
/* Headers by which registries tell where something is, or how much of it there is. */
#include "test.h"

#include "base/alloc.h"
#include "image/address.h"
#include "image/registry-headers.h"

#include <errno.h>

static void test_content_range(void **state)
{
	static const char *const bad[] = {
		"", "bytes", "bytes */7", "bytes -3/7", "0-1/2", "bytes 99999999999999999999-1/2"
	};
	uint64_t start = 0;

	assert_int_equal(registry_read_content_range("bytes 100-199/200", &start), 0);
	assert_int_equal(start, 100);
	assert_true(registry_read_content_range(NULL, &start) < 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (registry_read_content_range(bad[i], &start) >= 0)
			fail_msg("taken: %s", bad[i]);
}

static void test_received(void **state)
{
	static const struct {
		const char *text;
		uint64_t count;
	} good[] = { { "0-0", 0 }, { "0-1", 2 }, { "bytes=0-99", 100 } };
	static const char *const bad[] = { "",
					   "0",
					   "1-2",
					   "0-",
					   "-1",
					   "0-1x",
					   "0--1",
					   "0-1,2-3",
					   "bytes 0-1",
					   "0-9223372036854775807",
					   "0-99999999999999999999" };
	uint64_t count;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(registry_read_received(good[i].text, &count), 0);
		assert_int_equal(count, good[i].count);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (registry_read_received(bad[i], &count) >= 0)
			fail_msg("taken: %s", bad[i]);
}

#define BASE "https://host:5000/v2/x/tags/list?n=1"

static void test_link(void **state)
{
	static const struct {
		const char *text, *url;
	} good[] = {
		{ "</v2/x/tags/list?last=a&n=1>; rel=\"next\"",
		  "https://host:5000/v2/x/tags/list?last=a&n=1" },
		{ "<?last=b>; title=x ; REL=next", "https://host:5000/v2/x/tags/list?last=b" },
		{ "<a>; rel=\"prev\", <https://other/b>; rel=\"next\"", "https://other/b" },
		{ "<a>; rel=\"prev\"", NULL },
		{ "", NULL },
		{ NULL, NULL },
	};
	static const char *const bad[] = { "x",
					   "<",
					   "<a",
					   "a>; rel=next",
					   "<file:///x>; rel=next",
					   "<http://u:p@x/>; rel=next",
					   "<http://[>; rel=next" };
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *url = NULL;

		assert_ok(registry_read_link(good[i].text, BASE, &url, &err));
		if (good[i].url)
			assert_string_equal(url, good[i].url);
		else
			assert_null(url);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *url = NULL;

		if (registry_read_link(bad[i], BASE, &url, &err) >= 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(err.code, CAY_INVALID);
	}
}

static void test_location(void **state)
{
	static const struct {
		const char *text, *url;
	} good[] = {
		{ "/up/1?state=a", "https://host:5000/up/1?state=a" },
		{ "//other/up", "https://other/up" },
		{ "http://other:80/up?x=%2F", "http://other:80/up?x=%2F" },
		{ "../up", "https://host:5000/v2/x/up" },
	};
	static const char *const bad[] = { "file:///x", "http://", "http://u@x/", "gopher://x" };
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *url = NULL;

		assert_ok(url_resolve(BASE, good[i].text, &url, &err));
		assert_string_equal(url, good[i].url);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *url = NULL;

		if (url_resolve(BASE, bad[i], &url, &err) >= 0)
			fail_msg("taken: %s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_location),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
