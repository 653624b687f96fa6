/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges, tokens, and which addresses a registry may lead to. */
#include "test.h"

#include "base/alloc.h"
#include "image/address.h"
#include "image/auth.h"

#include <string.h>

static void test_challenges(void **state)
{
	static const char header[] = "Negotiate, Basic realm=\"a\\\"b, c\", Bearer realm = "
				     "\"https://x/token\" , SERVICE=s,scope=\"a:b:pull,push\"";
	_cleanup_challenges_ struct challenges challenges = { 0 };
	const struct challenge *chosen;
	struct cay_error err = { 0 };

	assert_ok(challenges_parse(header, &challenges, &err));
	assert_int_equal(challenges.count, 3);
	assert_string_equal(challenges.items[1].realm, "a\"b, c");
	chosen = challenges_choose(&challenges);
	assert_int_equal(chosen->scheme, AUTH_BEARER);
	assert_string_equal(chosen->realm, "https://x/token");
	assert_string_equal(chosen->service, "s");
	assert_string_equal(chosen->scope, "a:b:pull,push");
}

static void test_malformed_challenges(void **state)
{
	static const char *const rows[] = {
		"",
		" ",
		"realm=x",
		"Bearer realm=",
		"Bearer realm=\"x",
		"Bearer realm=\"x\" y=z",
		"Bearer realm=x;y",
		"\"x\"",
		"Bearer realm=\"a\nb\"",
		",,,",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_challenges_ struct challenges challenges = { 0 };
		struct cay_error err = { 0 };

		if (challenges_parse(rows[i], &challenges, &err) >= 0)
			fail_msg("taken: %s", rows[i]);
		assert_int_equal(err.code, CAY_INVALID);
	}
}

static void test_tokens(void **state)
{
	static const char *const bad[] = { "",
					   "{}",
					   "[]",
					   "{\"token\":7}",
					   "{\"token\":\"\"}",
					   "{\"token\":\"a b\"}",
					   "{\"token\":\"a\\r\\nX: y\"}" };
	_cleanup_free_ char *value = NULL, *basic = auth_basic("user", "pass");
	struct cay_error err = { 0 };

	assert_string_equal(basic, "Basic dXNlcjpwYXNz");
	assert_ok(auth_read_token("{\"token\":\"abc\"}", 15, &value, &err));
	assert_string_equal(value, "Bearer abc");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *none = NULL;

		if (auth_read_token(bad[i], strlen(bad[i]), &none, &err) >= 0)
			fail_msg("taken: %s", bad[i]);
	}
}

static void test_addresses(void **state)
{
	static const char *const local[] = {
		"http://127.0.0.1/",        "http://127.1/",
		"http://2130706433/",       "http://0x7f000001/",
		"http://169.254.169.254/x", "http://[::1]:80/",
		"http://[fe80::1]/",        "http://localhost/",
		"http://a.localhost:1/",    "http://[::ffff:127.0.0.1]/",
		"http://0.0.0.0/",          "http://[fd00:ec2::254]/",
	};
	static const char *const remote[] = { "https://10.0.0.1/", "https://example.org:444/x",
					      "http://[2001:db8::1]/", "http://127.example/" };
	static const char *const bad[] = {
		"ftp://x/", "file:///etc/passwd", "http://u:p@x/", "http://", "x", "", "http://u@x/"
	};

	for (size_t i = 0; i < ARRAY_SIZE(local); i++) {
		_cleanup_url_ struct url url = { 0 };
		struct cay_error err = { 0 };

		assert_ok(url_parse(local[i], &url, &err));
		if (!url_is_local(&url))
			fail_msg("not seen as local: %s", local[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(remote); i++) {
		_cleanup_url_ struct url url = { 0 };
		struct cay_error err = { 0 };

		assert_ok(url_parse(remote[i], &url, &err));
		assert_false(url_is_local(&url));
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct url url = { 0 };

		if (url_parse(bad[i], &url, NULL) >= 0)
			fail_msg("taken: %s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_malformed_challenges),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
