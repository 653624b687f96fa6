/* SPDX-License-Identifier: Apache-2.0 */
/* X-Registry-Auth: the forms clients send, and that errors keep its secrets. */
#include "test.h"

#include "base/buf.h"
#include "daemon/api/registry-auth.h"

static void test_forms(void **state)
{
	static const char *const headers[] = {
		/* {"username":"me","password":"p?>~\u00ff"} with both alphabets, padded and not */
		"eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJwPz5-w78ifQ==",
		"eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJwPz5-w78ifQ",
		"eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJwPz5+w78ifQ==",
	};

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		_cleanup_registry_auth_ struct registry_auth auth = {};
		struct cay_error err = {};

		assert_ok(registry_auth_parse(headers[i], &auth, &err));
		assert_string_equal(auth.username, "me");
		assert_string_equal(auth.password, "p?>~\xc3\xbf");
		assert_null(auth.identity_token);
	}
}

static void test_token(void **state)
{
	_cleanup_registry_auth_ struct registry_auth auth = {};
	struct cay_error err = {};

	/* {"identitytoken":"t0ken","serveraddress":"x"} */
	assert_ok(registry_auth_parse(
		"eyJpZGVudGl0eXRva2VuIjoidDBrZW4iLCJzZXJ2ZXJhZGRyZXNzIjoieCJ9", &auth, &err));
	assert_string_equal(auth.identity_token, "t0ken");
}

static void test_registry_token(void **state)
{
	_cleanup_registry_auth_ struct registry_auth auth = {};
	struct image_credentials credentials;
	struct cay_error err = {};

	/* {"registrytoken":"secret"} */
	assert_ok(registry_auth_parse("eyJyZWdpc3RyeXRva2VuIjoic2VjcmV0In0=", &auth, &err));
	credentials = registry_auth_credentials(&auth);
	assert_string_equal(credentials.registry_token, "secret");
	assert_null(credentials.username);
}

static void test_anonymous(void **state)
{
	/* "", {}, null */
	static const char *const headers[] = { NULL, "", "e30=", "bnVsbA==" };

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		_cleanup_registry_auth_ struct registry_auth auth = {};
		struct cay_error err = {};

		assert_ok(registry_auth_parse(headers[i], &auth, &err));
		assert_null(auth.username);
		assert_null(auth.password);
	}
}

static void test_refused(void **state)
{
	static const char *const headers[] = {
		"!",
		"e30=x",
		"e",
		"e3",
		"W10=" /* [] */,
		"====",
		"e30 e30=",
		"InNlY3JldCI",                      /* "secret" */
		"c2VjcmV0",                         /* secret */
		"eyJwYXNzd29yZCI6InNlY3JldCIs",     /* {"password":"secret", */
		"eyJwYXNzd29yZCI6WyJzZWNyZXQiXX0=", /* {"password":["secret"]} */
	};
	_cleanup_buf_ struct buf huge = {};
	struct cay_error err = {};

	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		struct registry_auth auth = {};

		cay_error_clear(&err);
		if (registry_auth_parse(headers[i], &auth, &err) >= 0)
			fail_msg("accepted: %s", headers[i]);
		assert_null(strstr(err.message, "secret"));
		assert_null(auth.username);
		assert_null(auth.password);
	}
	for (int i = 0; i <= REGISTRY_AUTH_MAX; i++)
		buf_putc(&huge, 'A');
	assert_true(registry_auth_parse(buf_text(&huge), &(struct registry_auth){}, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),          cmocka_unit_test(test_token),
		cmocka_unit_test(test_registry_token), cmocka_unit_test(test_anonymous),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
