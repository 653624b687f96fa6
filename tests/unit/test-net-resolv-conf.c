/* SPDX-License-Identifier: Apache-2.0 */
/* resolv.conf as people and programs write it. */
#include "test.h"

#include "net/resolv-conf.h"
#include "net/resolved.h"

#include <errno.h>

static void parse(const char *text, struct resolv_conf *conf)
{
	resolv_conf_parse(str_from(text), conf);
}

static void assert_server(const struct resolv_conf *conf, size_t index, const char *text)
{
	char found[NET_ADDRESS_TEXT_MAX];

	assert_true(index < conf->servers.count);
	net_address_format(&conf->servers.items[index].address, found);
	assert_string_equal(found, text);
}

static void test_usual(void **state)
{
	struct resolv_conf conf;

	parse("# by hand\n; too\nsearch corp.example lab.example\nnameserver 192.0.2.1\n"
	      "nameserver\t2001:db8::53  # the other\nnameserver fe80::1%lo\n"
	      "options edns0 ndots:2\noptions trust-ad",
	      &conf);
	assert_int_equal(conf.servers.count, 3);
	assert_server(&conf, 0, "192.0.2.1");
	assert_server(&conf, 1, "2001:db8::53");
	assert_server(&conf, 2, "fe80::1");
	assert_int_equal(conf.servers.items[2].scope, 1);
	assert_int_equal(conf.servers.items[0].scope, 0);
	assert_int_equal(conf.search.count, 2);
	assert_string_equal(conf.search.items[1], "lab.example");
	assert_int_equal(conf.options.count, 3);
	assert_string_equal(conf.options.items[2], "trust-ad");
	resolv_conf_done(&conf);
}

/* The last of "search" and "domain" counts; nonsense does not. */
static void test_unusual(void **state)
{
	struct resolv_conf conf;

	parse("search a b\ndomain c\nsortlist 1.2.3.4\nnameservers 192.0.2.9\n nameserver 192.0.2.2\r\n"
	      "nameserver example.org\nnameserver 192.0.2.3%lo\nnameserver fe80::1%no-such-link\n"
	      "nameserver\nnameserver 192.0.2.300",
	      &conf);
	assert_int_equal(conf.servers.count, 1);
	assert_server(&conf, 0, "192.0.2.2");
	assert_int_equal(conf.search.count, 1);
	assert_string_equal(conf.search.items[0], "c");
	resolv_conf_done(&conf);
}

static void test_empty(void **state)
{
	struct resolv_conf conf;
	struct cay_error err = { .code = CAY_OK };

	parse("", &conf);
	assert_int_equal(conf.servers.count, 1);
	assert_server(&conf, 0, "127.0.0.1");
	resolv_conf_done(&conf);
	assert_ok(resolv_conf_read("/nonexistent/resolv.conf", &conf, &err));
	assert_server(&conf, 0, "127.0.0.1");
	resolv_conf_done(&conf);
	assert_int_equal(resolv_conf_read("/proc/self", &conf, &err), -EISDIR);
	assert_non_null(strstr(err.message, "/proc/self"));
}

static void test_limits(void **state)
{
	_cleanup_buf_ struct buf text = { .length = 0 };
	struct resolv_conf conf;

	buf_puts(&text, "search");
	for (unsigned int i = 0; i < 200; i++)
		buf_printf(&text, " d%u.example", i);
	for (unsigned int i = 1; i < 20; i++)
		buf_printf(&text, "\nnameserver 192.0.2.%u", i);
	parse(buf_text(&text), &conf);
	assert_int_equal(conf.servers.count, DNS_UPSTREAMS_MAX);
	assert_int_equal(conf.search.count, 64);
	resolv_conf_done(&conf);
}

/* ---- what systemd-resolved is told ---- */

static void assert_reverse(const char *subnet, size_t count, const char *first, const char *last)
{
	_cleanup_strv_ struct strv domains = { .count = 0 };
	struct cay_error err = { .code = CAY_OK };
	struct net_prefix prefix;

	assert_ok(net_prefix_parse(subnet, &prefix, &err));
	resolved_add_reverse(&prefix, &domains);
	assert_int_equal(domains.count, count);
	assert_string_equal(domains.items[0], first);
	assert_string_equal(domains.items[count - 1], last);
}

static void test_reverse_domains(void **state)
{
	assert_reverse("172.17.0.0/16", 1, "17.172.in-addr.arpa", "17.172.in-addr.arpa");
	assert_reverse("172.17.0.1/16", 1, "17.172.in-addr.arpa", "17.172.in-addr.arpa");
	assert_reverse("192.168.16.0/20", 16, "16.168.192.in-addr.arpa", "31.168.192.in-addr.arpa");
	assert_reverse("10.64.3.0/24", 1, "3.64.10.in-addr.arpa", "3.64.10.in-addr.arpa");
	assert_reverse("10.64.3.8/30", 4, "8.3.64.10.in-addr.arpa", "11.3.64.10.in-addr.arpa");
	assert_reverse("10.128.0.0/9", 128, "128.10.in-addr.arpa", "255.10.in-addr.arpa");
	assert_reverse("fd00:1:2:3::/64", 1, "3.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa",
		       "3.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa");
	assert_reverse("fd00::/7", 2, "c.f.ip6.arpa", "d.f.ip6.arpa");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usual),           cmocka_unit_test(test_unusual),
		cmocka_unit_test(test_empty),           cmocka_unit_test(test_limits),
		cmocka_unit_test(test_reverse_domains),
	};

	return cmocka_run_group_tests_name("resolv-conf", tests, NULL, NULL);
}
