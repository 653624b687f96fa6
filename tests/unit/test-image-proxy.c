/* SPDX-License-Identifier: Apache-2.0 */
/* Which proxy is used for what, and which hosts lie in a network. */
#include "test.h"

#include "base/alloc.h"
#include "image/address.h"
#include "image/proxy.h"

static void set_environment(const char *http, const char *https, const char *exempt)
{
	static const char *const small[] = { "http_proxy", "https_proxy", "no_proxy" };

	for (size_t i = 0; i < ARRAY_SIZE(small); i++)
		assert_int_equal(unsetenv(small[i]), 0);
	assert_int_equal(setenv("HTTP_PROXY", http, 1), 0);
	assert_int_equal(setenv("HTTPS_PROXY", https, 1), 0);
	assert_int_equal(setenv("NO_PROXY", exempt, 1), 0);
}

static void assert_proxy(const char *url, const char *wanted)
{
	_cleanup_free_ char *proxy = proxy_for(url);

	if (wanted ? !proxy || strcmp(proxy, wanted) != 0 : proxy != NULL)
		fail_msg("%s: %s instead of %s", url, proxy ? proxy : "none",
			 wanted ? wanted : "none");
}

static void test_by_scheme(void **state)
{
	set_environment("http://a:1", "http://b:2", "");
	assert_proxy("http://x.example/", "http://a:1");
	assert_proxy("https://x.example/", "http://b:2");
	set_environment("", "http://b:2", "");
	assert_proxy("http://x.example/", NULL);
	assert_int_equal(setenv("http_proxy", "http://small:1", 1), 0);
	assert_proxy("http://x.example/", "http://small:1");
}

/* This host itself is never asked by way of another. */
static void test_this_host(void **state)
{
	set_environment("http://a:1", "http://b:2", "");
	assert_proxy("http://localhost:5000/", NULL);
	assert_proxy("http://127.0.0.2/", NULL);
	assert_proxy("https://[::1]:5000/", NULL);
}

static void test_exempt(void **state)
{
	static const struct {
		const char *list, *url;
		bool exempt;
	} rows[] = {
		{ "*", "https://x.example/", true },
		{ "x.example", "https://x.example/", true },
		{ "X.EXAMPLE", "https://x.example:5000/", true },
		{ "example", "https://x.example/", true },
		{ "ample", "https://x.example/", false },
		{ ".example", "https://x.example/", true },
		{ ".x.example", "https://x.example/", false },
		{ "*.example", "https://x.example/", true },
		{ "a, x.example ,b", "https://x.example/", true },
		{ "x.example:5000", "https://x.example:5000/", true },
		{ "x.example:5000", "https://x.example/", false },
		{ "x.example:443", "https://x.example/", true },
		{ "10.0.0.0/8", "https://10.1.2.3:5000/", true },
		{ "10.0.0.0/8", "https://11.1.2.3/", false },
		{ "10.1.2.3", "https://10.1.2.3/", true },
		{ "10.1.2.3:80", "https://10.1.2.3/", false },
		{ "2001:db8::/32", "https://[2001:db8::1]/", true },
		{ "[2001:db8::1]:443", "https://[2001:db8::1]/", true },
		{ "2001:db8::2", "https://[2001:db8::1]/", false },
		{ ",,", "https://x.example/", false },
		{ ":443,[,]", "https://x.example/", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		set_environment("http://a:1", "http://b:2", rows[i].list);
		assert_proxy(rows[i].url, rows[i].exempt ? NULL : "http://b:2");
	}
}

static void test_shown(void **state)
{
	_cleanup_free_ char *shown = NULL;

	set_environment("http://user:s3cret@a:1", "", "");
	shown = proxy_shown("HTTP_PROXY", "http_proxy");
	assert_string_equal(shown, "http://xxxxx:xxxxx@a:1");
}

static void test_networks(void **state)
{
	static const char *const good[] = { "10.0.0.0/8", "0.0.0.0/0", "::1/128", "fd00::/7" };
	static const char *const bad[] = { "10.0.0.0", "10.0.0.0/33", "10.0.0/8",  "::/129",
					   "a/8",      "/8",          "10.0.0.0/", "10.0.0.0/8x" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(network_is_valid(good[i]));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (network_is_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
	assert_true(address_in_network("172.31.255.255", "172.16.0.0/12"));
	assert_false(address_in_network("172.32.0.0", "172.16.0.0/12"));
	assert_true(address_in_network("1.2.3.4", "0.0.0.0/0"));
	assert_false(address_in_network("::1", "0.0.0.0/0"));
	assert_false(address_in_network("name", "0.0.0.0/0"));
	assert_true(host_in_network("localhost", "127.0.0.0/8") ||
		    host_in_network("localhost", "::1/128"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_scheme), cmocka_unit_test(test_this_host),
		cmocka_unit_test(test_exempt),    cmocka_unit_test(test_shown),
		cmocka_unit_test(test_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
