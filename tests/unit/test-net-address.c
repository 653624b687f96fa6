/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, prefixes and MACs: what is taken, what is refused, and the sums done with them. */
#include "test.h"

#include "net/address.h"

#include <string.h>

static struct net_address address(const char *text)
{
	struct net_address result;
	struct cay_error err = { 0 };

	assert_ok(net_address_parse(text, &result, &err));
	return result;
}

static struct net_prefix prefix(const char *text)
{
	struct net_prefix result;
	struct cay_error err = { 0 };

	assert_ok(net_prefix_parse(text, &result, &err));
	return result;
}

static void test_address_text(void **state)
{
	static const char *const good[] = { "0.0.0.0", "255.255.255.255", "172.17.0.2", "::",
					    "::1",     "fd00:1:2::3",     "fe80::1" };
	static const char *const bad[] = { "",          "1.2.3",         "1.2.3.4.5",
					   "1.2.3.256", "0x7f.1",        "127.1",
					   " 1.2.3.4",  "1.2.3.4 ",      "fe80::1%eth0",
					   ":::",       "[::1]",         "1.2.3.4/8",
					   "01.2.3.4",  "::ffff:1.2.3.4" };
	char text[NET_ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const struct net_address parsed = address(good[i]);

		net_address_format(&parsed, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct net_address untouched = { .family = 99 };
		struct cay_error err = { 0 };

		assert_true(net_address_parse(bad[i], &untouched, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
		assert_int_equal(untouched.family, 99);
	}
	net_address_format(&(struct net_address){ 0 }, text);
	assert_string_equal(text, "");
}

static void test_address_kinds(void **state)
{
	static const struct {
		const char *text;
		bool unspecified, loopback, link_local, multicast;
	} rows[] = {
		{ "0.0.0.0", true, false, false, false },
		{ "::", true, false, false, false },
		{ "127.9.9.9", false, true, false, false },
		{ "::1", false, true, false, false },
		{ "169.254.169.254", false, false, true, false },
		{ "fe80::1", false, false, true, false },
		{ "febf::1", false, false, true, false },
		{ "fec0::1", false, false, false, false },
		{ "224.0.0.251", false, false, false, true },
		{ "239.255.255.255", false, false, false, true },
		{ "240.0.0.1", false, false, false, false },
		{ "ff02::1", false, false, false, true },
		{ "10.0.0.1", false, false, false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct net_address a = address(rows[i].text);

		assert_int_equal(net_address_is_unspecified(&a), rows[i].unspecified);
		assert_int_equal(net_address_is_loopback(&a), rows[i].loopback);
		assert_int_equal(net_address_is_link_local(&a), rows[i].link_local);
		assert_int_equal(net_address_is_multicast(&a), rows[i].multicast);
	}
}

static void test_order(void **state)
{
	static const char *const ascending[] = { "0.0.0.0", "9.255.255.255", "10.0.0.0", "10.0.1.0",
						 "::",      "::1",           "fd00::" };
	struct net_address next;

	for (size_t i = 0; i < ARRAY_SIZE(ascending); i++)
		for (size_t j = 0; j < ARRAY_SIZE(ascending); j++) {
			const struct net_address a = address(ascending[i]);
			const struct net_address b = address(ascending[j]);
			const int order = net_address_compare(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
			assert_int_equal(net_address_equal(&a, &b), i == j);
		}
	next = address("10.0.255.255");
	assert_true(net_address_next(&next, &next));
	assert_true(net_address_equal(&next, &(struct net_address){ AF_INET, { 10, 1 } }));
	next = address("255.255.255.255");
	assert_false(net_address_next(&next, &next));
}

static void test_prefix_text(void **state)
{
	static const char *const bad[] = {
		"10.0.0.0",   "10.0.0.0/",   "10.0.0.0/33",
		"/8",         "10.0.0.0/-1", "10.0.0.0/8/8",
		"fd00::/129", "fd00::",      "10.0.0.0/ 8",
		"x/8",        "10.0.0.0/+8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:0000:1/8"
	};
	const struct net_prefix kept = prefix("172.18.5.1/16");
	const struct net_prefix network = net_prefix_network(&kept);
	const struct net_prefix odd = prefix("10.255.255.255/13");
	const struct net_prefix odd_network = net_prefix_network(&odd);
	char text[NET_PREFIX_TEXT_MAX];

	net_prefix_format(&kept, text);
	assert_string_equal(text, "172.18.5.1/16");
	net_prefix_format(&network, text);
	assert_string_equal(text, "172.18.0.0/16");
	net_prefix_format(&odd_network, text);
	assert_string_equal(text, "10.248.0.0/13");
	net_prefix_format(&(struct net_prefix){ 0 }, text);
	assert_string_equal(text, "");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct net_prefix untouched = { .bits = 99 };
		struct cay_error err = { 0 };

		assert_true(net_prefix_parse(bad[i], &untouched, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
		assert_int_equal(untouched.bits, 99);
	}
}

static void test_prefix_relations(void **state)
{
	static const struct {
		const char *a, *b;
		bool covers, overlaps;
	} rows[] = {
		{ "10.0.0.0/8", "10.1.0.0/16", true, true },
		{ "10.1.0.0/16", "10.0.0.0/8", false, true },
		{ "10.0.0.0/9", "10.128.0.0/9", false, false },
		{ "0.0.0.0/0", "192.168.1.0/24", true, true },
		{ "0.0.0.0/0", "fd00::/8", false, false },
		{ "172.16.0.0/12", "172.32.0.0/16", false, false },
		{ "fd00::/63", "fd00:0:0:1::/64", true, true },
		{ "fd00::/64", "fd00:0:0:1::/64", false, false },
		{ "10.0.0.1/32", "10.0.0.1/32", true, true },
	};
	const struct net_prefix subnet = prefix("192.168.16.0/20");
	const struct net_address inside = address("192.168.31.255"),
				 outside = address("192.168.32.0"), none = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct net_prefix a = prefix(rows[i].a), b = prefix(rows[i].b);

		assert_int_equal(net_prefix_covers(&a, &b), rows[i].covers);
		assert_int_equal(net_prefix_overlaps(&a, &b), rows[i].overlaps);
		assert_int_equal(net_prefix_overlaps(&b, &a), rows[i].overlaps);
	}
	assert_true(net_prefix_contains(&subnet, &inside));
	assert_false(net_prefix_contains(&subnet, &outside));
	assert_false(net_prefix_contains(&subnet, &none));
	assert_false(net_prefix_contains(&(struct net_prefix){ 0 }, &none));
}

static void expect_nth(const char *network, uint64_t n, const char *expected)
{
	const struct net_prefix subnet = prefix(network);
	struct net_address nth;
	char text[NET_ADDRESS_TEXT_MAX];

	if (!expected) {
		assert_false(net_prefix_nth(&subnet, n, &nth));
		return;
	}
	assert_true(net_prefix_nth(&subnet, n, &nth));
	net_address_format(&nth, text);
	assert_string_equal(text, expected);
}

static void test_nth(void **state)
{
	const struct net_prefix v4 = prefix("10.1.2.3/22"), v6 = prefix("fd00::/64"),
				single = prefix("10.1.2.3/32"), all = prefix("::/0");
	const struct net_address last = net_prefix_last(&v4);
	char text[NET_ADDRESS_TEXT_MAX];

	expect_nth("172.18.3.4/16", 0, "172.18.0.0");
	expect_nth("172.18.3.4/16", 1, "172.18.0.1");
	expect_nth("172.18.3.4/16", 256, "172.18.1.0");
	expect_nth("172.18.3.4/16", 65535, "172.18.255.255");
	expect_nth("172.18.3.4/16", 65536, NULL);
	expect_nth("255.255.255.0/24", 256, NULL);
	expect_nth("255.255.255.0/24", UINT64_MAX, NULL);
	expect_nth("fd00::/64", UINT64_MAX, "fd00::ffff:ffff:ffff:ffff");
	expect_nth("fd00::/65", UINT64_MAX, NULL);
	expect_nth("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124", 16, NULL);
	net_address_format(&last, text);
	assert_string_equal(text, "10.1.3.255");
	assert_int_equal(net_prefix_size(&v4), 1024);
	assert_int_equal(net_prefix_size(&single), 1);
	assert_true(net_prefix_size(&v6) == UINT64_MAX);
	assert_true(net_prefix_size(&all) == UINT64_MAX);
}

static void test_sockaddr(void **state)
{
	static const char *const texts[] = { "172.17.0.2", "fd00::9" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct net_address a = address(texts[i]);
		struct sockaddr_storage storage;
		const socklen_t length = net_address_to_sockaddr(&a, 53, &storage);
		const struct net_address back =
			net_address_from_sockaddr((const struct sockaddr *)(const void *)&storage);

		assert_true(length <= sizeof(storage) && length > 0);
		assert_true(net_address_equal(&a, &back));
	}
	assert_int_equal(
		net_address_from_sockaddr(&(struct sockaddr){ .sa_family = AF_UNIX }).family, 0);
}

static void test_mac(void **state)
{
	static const char *const bad[] = { "",
					   "02:42:ac:11:00",
					   "02:42:ac:11:00:0g",
					   "02:42:ac:11:00:02:",
					   "0242ac110002",
					   "02:42-ac:11:00:02",
					   "2:42:ac:11:00:002",
					   "02.42.ac.11.00.02" };
	struct net_mac mac = { 0 }, first, second;
	struct net_address local;
	struct cay_error err = { 0 };
	char text[NET_ADDRESS_TEXT_MAX];

	assert_ok(net_mac_parse("02:42:AC:11:00:02", &mac, &err));
	net_mac_format(&mac, text);
	assert_string_equal(text, "02:42:ac:11:00:02");
	assert_ok(net_mac_parse("52-54-00-12-34-56", &mac, &err));
	local = net_mac_link_local(&mac);
	net_address_format(&local, text);
	assert_string_equal(text, "fe80::5054:ff:fe12:3456");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cay_error_clear(&err);
		assert_true(net_mac_parse(bad[i], &mac, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
	}
	assert_false(net_mac_is_unicast(&(struct net_mac){ 0 }));
	assert_false(
		net_mac_is_unicast(&(struct net_mac){ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }));
	first = net_mac_random();
	second = net_mac_random();
	assert_false(net_mac_equal(&first, &second));
	assert_int_equal(first.bytes[0], 0x02);
	first = net_mac_from_text("cayb0123456789");
	second = net_mac_from_text("cayb0123456789");
	assert_true(net_mac_equal(&first, &second));
	second = net_mac_from_text("cayb0123456788");
	assert_false(net_mac_equal(&first, &second));
	assert_int_equal(first.bytes[0], 0x02);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_text),
		cmocka_unit_test(test_address_kinds),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_prefix_text),
		cmocka_unit_test(test_prefix_relations),
		cmocka_unit_test(test_nth),
		cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_mac),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
