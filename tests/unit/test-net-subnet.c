/* SPDX-License-Identifier: Apache-2.0 */
/* Which subnets and addresses are chosen, and which are refused. */
#include "net-fixture.h"

#include "net/subnet.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

static struct net_prefix prefix(const char *text)
{
	struct net_prefix result;
	struct cay_error err = { 0 };

	assert_ok(net_prefix_parse(text, &result, &err));
	return result;
}

static struct net_address address(const char *text)
{
	struct net_address result;
	struct cay_error err = { 0 };

	assert_ok(net_address_parse(text, &result, &err));
	return result;
}

static void take(struct subnet_set *set, const char *text)
{
	const struct net_prefix item = prefix(text);

	subnet_set_add(set, &item);
}

static void expect_choice(const struct subnet_set *taken, const char *expected)
{
	struct cay_error err = { 0 };
	struct net_prefix chosen;
	char text[NET_PREFIX_TEXT_MAX];

	assert_ok(subnet_choose_ipv4(taken, &chosen, &err));
	net_prefix_format(&chosen, text);
	assert_string_equal(text, expected);
	assert_ok(subnet_check(&chosen, &err));
}

static void test_choose_ipv4(void **state)
{
	_cleanup_subnet_set_ struct subnet_set taken = { 0 };
	struct net_prefix untouched = { .bits = 99 };
	struct cay_error err = { 0 };

	expect_choice(&taken, "172.17.0.0/16");
	take(&taken, "172.17.0.0/16");
	expect_choice(&taken, "172.18.0.0/16");
	take(&taken, "172.18.200.9/32"); /* one address is enough to collide */
	expect_choice(&taken, "172.19.0.0/16");
	take(&taken, "fd00::/8");
	take(&taken, "172.16.0.0/12");
	expect_choice(&taken, "192.168.0.0/20");
	take(&taken, "192.168.1.0/24");
	expect_choice(&taken, "192.168.16.0/20");
	take(&taken, "192.168.0.0/16");
	expect_choice(&taken, "10.64.0.0/24");
	take(&taken, "10.64.0.0/16");
	expect_choice(&taken, "10.65.0.0/24");
	take(&taken, "10.0.0.0/8");
	assert_true(subnet_choose_ipv4(&taken, &untouched, &err) < 0);
	assert_int_equal(err.code, CAY_NO_SPACE);
	assert_int_equal(untouched.bits, 99);
}

static void test_choose_all(void **state)
{
	_cleanup_subnet_set_ struct subnet_set taken = { 0 };
	struct cay_error err = { 0 };

	/* Each is new, and docker's 31 come before the small ones. */
	for (int i = 0; i < 100; i++) {
		struct net_prefix chosen;

		assert_ok(subnet_choose_ipv4(&taken, &chosen, &err));
		assert_ok(subnet_check_free(&chosen, &taken, &err));
		assert_int_equal(chosen.bits, i < 15 ? 16 : i < 31 ? 20 : 24);
		subnet_set_add(&taken, &chosen);
	}
}

static void test_choose_ipv6(void **state)
{
	_cleanup_subnet_set_ struct subnet_set taken = { 0 };
	const struct net_prefix ula = prefix("fd12:3456:789a::/48");
	const struct net_prefix first = subnet_random_ula(), second = subnet_random_ula();
	struct cay_error err = { 0 };
	struct net_prefix chosen;
	char text[NET_PREFIX_TEXT_MAX];

	assert_ok(subnet_choose_ipv6(&taken, &ula, &chosen, &err));
	net_prefix_format(&chosen, text);
	assert_string_equal(text, "fd12:3456:789a::/64");
	take(&taken, "fd12:3456:789a::/64");
	take(&taken, "fd12:3456:789a:1::5/128");
	assert_ok(subnet_choose_ipv6(&taken, &ula, &chosen, &err));
	net_prefix_format(&chosen, text);
	assert_string_equal(text, "fd12:3456:789a:2::/64");
	take(&taken, "fd12:3456::/32");
	assert_true(subnet_choose_ipv6(&taken, &ula, &chosen, &err) < 0);
	assert_int_equal(err.code, CAY_NO_SPACE);
	assert_false(net_prefix_equal(&first, &second));
	assert_int_equal(first.address.bytes[0], 0xfd);
	assert_int_equal(first.bits, 48);
}

static void test_check(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "10.0.0.0/8", true },      { "172.30.0.0/30", true },
		{ "172.30.0.0/31", false },  { "172.30.0.1/16", false },
		{ "127.0.0.0/24", false },   { "0.0.0.0/0", false },
		{ "169.254.3.0/24", false }, { "224.1.0.0/16", false },
		{ "240.0.0.0/8", false },    { "100.64.0.0/10", true },
		{ "fd00::/64", true },       { "fd00::/126", true },
		{ "fd00::/127", false },     { "fe80::/64", false },
		{ "ff05::/64", false },      { "::/64", false },
		{ "2001:db8:1::/48", true }, { "fd00::1/64", false },
	};
	_cleanup_subnet_set_ struct subnet_set taken = { 0 };
	const struct net_prefix overlapping = prefix("10.1.0.0/16");
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct net_prefix subnet = prefix(rows[i].text);

		cay_error_clear(&err);
		assert_int_equal(subnet_check(&subnet, &err) == 0, rows[i].good);
		assert_int_equal(err.code, rows[i].good ? CAY_OK : CAY_INVALID);
	}
	take(&taken, "10.0.0.0/8");
	cay_error_clear(&err);
	assert_true(subnet_check_free(&overlapping, &taken, &err) < 0);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_non_null(strstr(err.message, "10.0.0.0/8"));
}

static void expect_address(const char *subnet, const char *range, const char *after,
			   const char *const *taken, size_t count, const char *expected)
{
	const struct net_prefix within = prefix(subnet);
	const struct net_prefix part = range ? prefix(range) : (struct net_prefix){ 0 };
	const struct net_address hint = after ? address(after) : (struct net_address){ 0 };
	struct net_address list[8], chosen = { .family = 99 };
	struct cay_error err = { 0 };
	char text[NET_ADDRESS_TEXT_MAX];
	int r;

	for (size_t i = 0; i < count; i++)
		list[i] = address(taken[i]);
	r = subnet_allocate(&within, &part, &hint, list, count, &chosen, &err);
	if (!expected) {
		assert_int_equal(r, -ENOSPC);
		assert_int_equal(err.code, CAY_NO_SPACE);
		assert_int_equal(chosen.family, 99);
		return;
	}
	assert_ok(r);
	net_address_format(&chosen, text);
	assert_string_equal(text, expected);
	assert_ok(subnet_check_address(&within, &chosen, &err));
}

static void test_allocate(void **state)
{
	static const char *const some[] = { "172.18.0.3", "172.18.0.1", "172.18.0.2" };
	static const char *const v6[] = { "fd00::1", "fd00::2", "172.18.0.2" };
	static const char *const tiny[] = { "10.0.0.1", "10.0.0.2" };
	static const char *const end[] = { "172.18.255.254", "172.18.0.1" };
	static const char *const top[] = { "255.255.255.254" };

	expect_address("172.18.0.0/16", NULL, NULL, NULL, 0, "172.18.0.1");
	expect_address("172.18.0.0/16", NULL, NULL, some, 3, "172.18.0.4");
	expect_address("172.18.0.0/16", NULL, "172.18.0.9", some, 3, "172.18.0.9");
	expect_address("172.18.0.0/16", NULL, "172.18.255.254", end, 2, "172.18.0.2");
	expect_address("172.18.0.0/16", NULL, "10.0.0.1", some, 3, "172.18.0.4");
	expect_address("172.18.0.0/16", "172.18.5.0/24", NULL, some, 3, "172.18.5.0");
	expect_address("172.18.0.0/16", "172.18.0.0/30", NULL, some, 3, NULL);
	expect_address("172.18.0.0/16", "172.18.0.0/29", "172.18.0.7", some, 3, "172.18.0.7");
	expect_address("172.18.0.0/16", "172.18.255.252/30", NULL, end, 2, "172.18.255.252");
	expect_address("10.0.0.0/30", NULL, NULL, tiny, 2, NULL);
	expect_address("10.0.0.0/30", NULL, NULL, tiny, 1, "10.0.0.2");
	expect_address("fd00::/64", NULL, NULL, v6, 3, "fd00::3");
	expect_address("255.255.255.252/30", NULL, "255.255.255.254", top, 1, "255.255.255.253");
	expect_address("ffff::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", NULL, NULL, 0,
		       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

static void test_check_address(void **state)
{
	static const char *const bad[] = { "172.18.0.0", "172.18.255.255", "172.19.0.1",
					   "fd00::1" };
	const struct net_prefix subnet = prefix("172.18.0.0/16"), v6 = prefix("fd00::/64");
	const struct net_address good = address("172.18.255.254"), anycast = address("fd00::"),
				 last = address("fd00::ffff:ffff:ffff:ffff");
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct net_address item = address(bad[i]);

		cay_error_clear(&err);
		assert_true(subnet_check_address(&subnet, &item, &err) < 0);
		assert_int_equal(err.code, CAY_INVALID);
	}
	assert_ok(subnet_check_address(&subnet, &good, &err));
	assert_true(subnet_check_address(&v6, &anycast, &err) < 0);
	assert_ok(subnet_check_address(&v6, &last, &err));
}

static void test_host(void **state)
{
	_cleanup_subnet_set_ struct subnet_set taken = { 0 };
	struct cay_error err = { 0 };
	int fd = -1, second;

	if (geteuid() != 0) {
		print_message("SKIPPED: this test makes network links, which needs root\n");
		skip();
	}
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	shell("ip link set lo up; ip link add uplink type veth peer name far;"
	      "ip addr add 172.17.5.9/24 dev uplink; ip link set uplink up; ip link set far up;"
	      "ip route add default via 172.17.5.1; ip route add 172.18.3.0/24 via 172.17.5.1;"
	      "ip route add 172.19.0.0/16 via 172.17.5.1 table 77; ip link add idle type veth peer name i2;"
	      "ip addr add 172.20.0.1/16 dev idle");
	assert_ok(subnet_host_taken(&taken, &err));
	/* A link's own network, a route, one of another table, and an address on a link that is
	 * down. */
	expect_choice(&taken, "172.21.0.0/16");
	assert_ok(subnet_lock(&fd, &err));
	second = open("/run/cay-net.lock", O_RDWR | O_CLOEXEC);
	assert_true(second >= 0);
	assert_int_equal(flock(second, LOCK_EX | LOCK_NB), -1);
	(void)close(fd);
	assert_int_equal(flock(second, LOCK_EX | LOCK_NB), 0);
	(void)close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose_ipv4), cmocka_unit_test(test_choose_all),
		cmocka_unit_test(test_choose_ipv6), cmocka_unit_test(test_check),
		cmocka_unit_test(test_allocate),    cmocka_unit_test(test_check_address),
		cmocka_unit_test(test_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
