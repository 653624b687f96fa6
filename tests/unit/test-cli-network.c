/* SPDX-License-Identifier: Apache-2.0 */
/* The request to create a network, and addresses as users write them. */
#include "cli-rows.h"

#include "base/alloc.h"
#include "cli/address.h"
#include "cli/commands.h"
#include "cli/network-create.h"

#include <errno.h>
#include <sys/socket.h>

/* Words separated by blanks as options of "network create"; the body, or NULL with err. */
static json_t *build(const char *line, struct cay_error *err)
{
	_cleanup_(options_free_p) struct options *options = NULL;
	_cleanup_free_ const char **operands = NULL;
	_cleanup_strv_ struct strv words = { 0 };
	struct str rest = str_from(line);
	json_t *body = NULL;
	size_t count;
	bool help;

	while (rest.length > 0)
		strv_take(&words, str_dup(str_split(rest, ' ', &rest)));
	*err = (struct cay_error){ 0 };
	if (options_parse(network_create_options, (int)words.count, words.items, true, &options,
			  &operands, &count, &help, err) < 0)
		return NULL;
	(void)network_create_build(options, "n", &body, err);
	return body;
}

#define NAMED "{\"Name\":\"n\",\"Driver\":\"bridge\","

static const struct cli_row bodies[] = {
	{ "", NAMED "\"IPAM\":{\"Driver\":\"default\",\"Config\":[]}}" },
	{ "-d lan -o parent=eth0 --opt x --label a=b --label c --scope local",
	  "{\"Name\":\"n\",\"Driver\":\"lan\",\"Scope\":\"local\",\"IPAM\":{\"Driver\":\"default\","
	  "\"Config\":[]},\"Options\":{\"parent\":\"eth0\",\"x\":\"\"},"
	  "\"Labels\":{\"a\":\"b\",\"c\":\"\"}}" },
	{ "--internal --attachable --ipv4=false --ipv6",
	  NAMED "\"EnableIPv4\":false,\"EnableIPv6\":true,\"Internal\":true,\"Attachable\":true,"
		"\"IPAM\":{\"Driver\":\"default\",\"Config\":[]}}" },
	{ "--gateway fd00:1::1 --gateway 10.1.0.1 --subnet 10.1.0.0/16,fd00:1::/64 "
	  "--ip-range 10.1.2.0/24 --aux-address a=10.1.0.5 --aux-address b=fd00:1::5 "
	  "--aux-address c=10.1.0.6",
	  NAMED "\"IPAM\":{\"Driver\":\"default\",\"Config\":[{\"Subnet\":\"10.1.0.0/16\","
		"\"IPRange\":\"10.1.2.0/24\",\"Gateway\":\"10.1.0.1\",\"AuxiliaryAddresses\":{"
		"\"a\":\"10.1.0.5\",\"c\":\"10.1.0.6\"}},{\"Subnet\":\"fd00:1::/64\","
		"\"Gateway\":\"fd00:1::1\",\"AuxiliaryAddresses\":{\"b\":\"fd00:1::5\"}}]}}" },
	{ "--ipam-driver mine --ipam-opt k=v --subnet 10.1.0.0/16 --subnet 10.2.0.0/16",
	  NAMED "\"IPAM\":{\"Driver\":\"mine\",\"Config\":[{\"Subnet\":\"10.1.0.0/16\"},"
		"{\"Subnet\":\"10.2.0.0/16\"}],\"Options\":{\"k\":\"v\"}}}" },
};

static void test_bodies(void **state)
{
	check_bodies(build, bodies, ARRAY_SIZE(bodies));
}

static void test_refused(void **state)
{
	static const struct cli_row cases[] = {
		{ "--subnet 10.1.0.0",
		  "--subnet: \"10.1.0.0\" is not a subnet such as 10.1.0.0/16" },
		{ "--subnet 10.1.0.0/33",
		  "--subnet: \"10.1.0.0/33\" is not a subnet such as 10.1.0.0/16" },
		{ "--subnet 10.1.0.0/16 --subnet 10.1.2.0/24",
		  "--subnet: 10.1.0.0/16 and 10.1.2.0/24 overlap" },
		{ "--subnet 10.1.2.0/24 --subnet 10.1.0.0/16",
		  "--subnet: 10.1.2.0/24 and 10.1.0.0/16 overlap" },
		{ "--gateway 10.1.0.1", "--gateway: 10.1.0.1 is in no --subnet" },
		{ "--subnet 10.1.0.0/17 --gateway 10.1.128.1",
		  "--gateway: 10.1.128.1 is in no --subnet" },
		{ "--subnet fd00::/64 --gateway 10.1.0.1",
		  "--gateway: 10.1.0.1 is in no --subnet" },
		{ "--subnet 10.1.0.0/16 --gateway x", "--gateway: \"x\" is not an IP address" },
		{ "--subnet 10.1.0.0/16 --gateway 10.1.0.1,10.1.0.2",
		  "--gateway: 10.1.0.2 is the second one for subnet 10.1.0.0/16" },
		{ "--subnet 10.1.0.0/16 --ip-range 10.1.0.0/15",
		  "--ip-range: 10.1.0.0/15 is in no --subnet" },
		{ "--subnet 10.1.0.0/16 --ip-range 10.1.0.1",
		  "--ip-range: \"10.1.0.1\" is not a subnet such as 10.1.2.0/24" },
		{ "--aux-address a=10.1.0.5", "--aux-address: 10.1.0.5 is in no --subnet" },
		{ "--subnet 10.1.0.0/16 --aux-address 10.1.0.5",
		  "--aux-address: \"10.1.0.5\" is not of the form NAME=ADDRESS" },
		{ "-o =x", "--opt: \"=x\" is not of the form KEY=VALUE" },
	};

	check_refusals(build, cases, ARRAY_SIZE(cases));
}

static void test_subnets(void **state)
{
	static const struct {
		const char *outer, *inner;
		bool contains;
	} cases[] = {
		{ "10.1.0.0/16", "10.1.255.255/32", true },
		{ "10.1.0.0/16", "10.2.0.0/32", false },
		{ "10.1.0.0/15", "10.0.0.0/16", true },
		{ "10.1.0.0/16", "10.1.0.0/15", false },
		{ "10.1.0.0/17", "10.1.128.0/17", false },
		{ "0.0.0.0/0", "1.2.3.4/32", true },
		{ "::/0", "1.2.3.4/32", false },
		{ "fd00::/63", "fd00:0:0:1::/64", true },
		{ "fd00::/64", "fd00:0:0:1::/64", false },
	};
	struct subnet outer, inner;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(subnet_parse(cases[i].outer, &outer), 0);
		assert_int_equal(subnet_parse(cases[i].inner, &inner), 0);
		assert_int_equal(subnet_contains(&outer, &inner), cases[i].contains);
	}
	assert_int_equal(subnet_parse("", &outer), -EINVAL);
	assert_int_equal(subnet_parse("10.0.0.0/", &outer), -EINVAL);
	assert_int_equal(subnet_parse("10.0.0.0/-1", &outer), -EINVAL);
	assert_int_equal(subnet_parse("fd00::/129", &outer), -EINVAL);
	assert_int_equal(
		subnet_parse("0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/1", &outer),
		-EINVAL);
}

static void test_addresses(void **state)
{
	static const char *const bad_macs[] = { "",
						"02:42:ac:11:00",
						"02:42:ac:11:00:02:03",
						"02:42:ac:11:00:0g",
						"02:42:ac:11:00-02",
						"0242ac110002",
						"02:42:ac:11:0:002" };
	char mac[MAC_TEXT_SIZE];

	assert_true(address_is_valid(AF_INET, "1.2.3.4"));
	assert_false(address_is_valid(AF_INET, "1.2.3.4 "));
	assert_false(address_is_valid(AF_INET, "::1"));
	assert_true(address_is_valid(AF_UNSPEC, "::1"));
	assert_false(address_is_valid(AF_UNSPEC, "[::1]"));
	assert_false(address_is_valid(AF_INET6, "1.2.3.4"));
	assert_int_equal(mac_normalise("02-42-AC-11-00-0f", mac), 0);
	assert_string_equal(mac, "02:42:ac:11:00:0f");
	for (size_t i = 0; i < ARRAY_SIZE(bad_macs); i++)
		assert_int_equal(mac_normalise(bad_macs[i], mac), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_subnets),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
