/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces set up and down, with the kernel itself, in a network namespace of the test's own. */
#include "test.h"

#include "guest/guest.h"
#include "guest/network-internal.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"

#include <errno.h>
#include <linux/if_link.h>
#include <sched.h>
#include <string.h>

static const uint8_t first_mac[] = { 2, 0x42, 10, 9, 0, 2 };
static const uint8_t second_mac[] = { 2, 0x42, 10, 9, 0, 3 };

/* A card of this name: a veth, whose other end nobody cares for. */
static void make_card(const char *name, const uint8_t *mac)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC };
	_Alignas(NLMSG_ALIGNTO) uint8_t info[RTA_SPACE(sizeof("veth"))] = { 0 };
	struct rtattr *kind = (struct rtattr *)info;
	struct netlink netlink;
	struct cay_error err = { 0 };

	kind->rta_type = IFLA_INFO_KIND;
	kind->rta_len = RTA_LENGTH(sizeof("veth"));
	memcpy(RTA_DATA(kind), "veth", sizeof("veth"));
	assert_ok(netlink_open(&netlink, &err));
	netlink_put(&netlink, "making a card", RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header,
		    sizeof(header));
	netlink_put_attribute(&netlink, IFLA_IFNAME, name, strlen(name) + 1);
	netlink_put_attribute(&netlink, IFLA_ADDRESS, mac, NETWORK_MAC_SIZE);
	netlink_put_attribute(&netlink, IFLA_LINKINFO | NLA_F_NESTED, info, sizeof(info));
	assert_ok(netlink_send(&netlink, &err));
	netlink_close(&netlink);
}

/* What ip(8) prints; the caller frees. */
static char *show(const char *what)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct buf output = { 0 };
	struct cay_error err = { 0 };
	struct str rest = str_from(what);

	strv_add(&argv, "ip");
	strv_add(&argv, "-o");
	while (rest.length > 0)
		strv_take(&argv, str_dup(str_split(rest, ' ', &rest)));
	assert_int_equal(process_run(&argv, 65536, &output, &err), 0);
	return buf_steal(&output);
}

static void assert_shows(const char *what, const char *expected)
{
	_cleanup_free_ char *text = show(what);

	if (!strstr(text, expected))
		fail_msg("\"%s\" is not in what \"%s\" shows: %s", expected, what, text);
}

static void assert_hides(const char *what, const char *unexpected)
{
	_cleanup_free_ char *text = show(what);

	if (strstr(text, unexpected))
		fail_msg("\"%s\" is in what \"%s\" shows: %s", unexpected, what, text);
}

static struct guest *make_guest(void)
{
	struct guest *guest = xcalloc(1, sizeof(*guest));

	if (unshare(CLONE_NEWNET) < 0) {
		free(guest);
		skip(); /* not root */
	}
	TAILQ_INIT(&guest->cards);
	TAILQ_INIT(&guest->network_waits);
	events_init(&guest->events);
	make_card("eth0", first_mac);
	make_card("eth1", second_mac);
	return guest;
}

static void free_guest(struct guest *guest)
{
	struct network_card *card;

	while ((card = TAILQ_FIRST(&guest->cards))) {
		TAILQ_REMOVE(&guest->cards, card, link);
		free(card);
	}
	free(guest);
}

static Cay__Vminitd__V1__Interface interface_of(const uint8_t *mac, const char *name)
{
	Cay__Vminitd__V1__Interface interface = CAY__VMINITD__V1__INTERFACE__INIT;

	interface.mac = (ProtobufCBinaryData){ NETWORK_MAC_SIZE, (uint8_t *)mac };
	interface.name = (char *)name;
	return interface;
}

static void give(Cay__Vminitd__V1__Interface *interface, char **addresses, size_t address_count,
		 char **gateways, size_t gateway_count)
{
	interface->addresses = addresses;
	interface->n_addresses = address_count;
	interface->gateways = gateways;
	interface->n_gateways = gateway_count;
}

static char *addresses[] = { (char *)"10.9.0.2/16", (char *)"fd00:9::2/64" };
static char *gateways[] = { (char *)"10.9.0.1", (char *)"fd00:9::1" };

static void test_up_and_down(void **state)
{
	struct guest *guest = make_guest();
	Cay__Vminitd__V1__Interface interface = interface_of(first_mac, "eth0");
	struct cay_error err = { 0 };

	give(&interface, addresses, 2, gateways, 2);
	interface.mtu = 1400;
	assert_ok(network_configure(guest, &interface, &err));
	assert_shows("link show eth0", "mtu 1400");
	assert_shows("link show eth0", ",UP");
	assert_shows("link show lo", ",UP");
	assert_shows("addr show eth0", "inet 10.9.0.2/16 brd 10.9.255.255 scope global eth0");
	assert_shows("addr show eth0", "inet6 fd00:9::2/64 scope global nodad");
	assert_shows("route", "default via 10.9.0.1 dev eth0");
	assert_shows("-6 route", "default via fd00:9::1 dev eth0");
	assert_hides("link show eth1", ",UP");
	/* Another set of addresses takes the place of the first, with what others have added. */
	free(show("addr add 10.77.0.1/24 dev eth0"));
	give(&interface, addresses + 1, 1, NULL, 0);
	assert_ok(network_configure(guest, &interface, &err));
	assert_hides("addr show eth0", "inet 10.");
	assert_shows("addr show eth0", "fd00:9::2/64");
	assert_hides("route", "default");
	interface.down = true;
	assert_ok(network_configure(guest, &interface, &err));
	assert_hides("addr show eth0", "inet");
	assert_hides("link show eth0", ",UP");
	free_guest(guest);
}

/* The card's own address is asked for where others than the host's guests may have it. */
static void test_asked_for(void **state)
{
	struct guest *guest = make_guest();
	Cay__Vminitd__V1__Interface interface = interface_of(first_mac, "eth0");
	struct cay_error err = { 0 };

	give(&interface, addresses, 2, gateways, 2);
	for (int foreign = 0; foreign < 2; foreign++) {
		_cleanup_buf_ struct buf setting = { 0 };

		interface.foreign_link = foreign;
		assert_ok(network_configure(guest, &interface, &err));
		assert_ok(file_read("/proc/sys/net/ipv6/conf/eth0/accept_dad", 16, &setting, &err));
		assert_string_equal(buf_text(&setting), foreign ? "1\n" : "0\n");
	}
	free_guest(guest);
}

/* More addresses than one message to the kernel holds. */
static void test_many_addresses(void **state)
{
	struct guest *guest = make_guest();
	Cay__Vminitd__V1__Interface interface = interface_of(first_mac, "eth0");
	struct cay_error err = { 0 };

	assert_ok(network_configure(guest, &interface, &err));
	for (int i = 1; i < 90; i++) {
		_cleanup_free_ char *command = xasprintf("addr add 10.77.%d.1/24 dev eth0", i);

		free(show(command));
	}
	interface.down = true;
	assert_ok(network_configure(guest, &interface, &err));
	assert_hides("addr show eth0", "inet");
	free_guest(guest);
}

/* The cards are known by their addresses, whatever the kernel has called them. */
static void test_names(void **state)
{
	struct guest *guest = make_guest();
	Cay__Vminitd__V1__Interface first = interface_of(first_mac, "eth1");
	Cay__Vminitd__V1__Interface second = interface_of(second_mac, "eth0");
	struct cay_error err = { 0 };

	give(&first, addresses, 1, NULL, 0);
	assert_ok(network_configure(guest, &first, &err));
	assert_ok(network_configure(guest, &second, &err));
	assert_shows("link show eth1", "02:42:0a:09:00:02");
	assert_shows("link show eth0", "02:42:0a:09:00:03");
	assert_shows("addr show eth1", "10.9.0.2/16");
	free_guest(guest);
}

static void test_new_mac(void **state)
{
	static const uint8_t other[] = { 2, 0, 0, 0, 0, 9 };
	struct guest *guest = make_guest();
	Cay__Vminitd__V1__Interface interface = interface_of(second_mac, "eth1");
	struct cay_error err = { 0 };

	interface.new_mac = (ProtobufCBinaryData){ sizeof(other), (uint8_t *)other };
	assert_ok(network_configure(guest, &interface, &err));
	assert_shows("link show eth1", "02:00:00:00:00:09");
	interface.new_mac.len = 0; /* it is still found by the first, and has it again */
	assert_ok(network_configure(guest, &interface, &err));
	assert_shows("link show eth1", "02:42:0a:09:00:03");
	free_guest(guest);
}

/* A machine that was booted before it was known whose it becomes. */
static void test_adopt(void **state)
{
	static const uint8_t other[] = { 2, 0, 0, 0, 0, 9 }, third[] = { 2, 0, 0, 0, 0, 8 };
	struct guest *guest = make_guest();
	Cay__Vminitd__V1__Interface interface = interface_of(second_mac, "eth1");
	struct cay_error err = { 0 };

	interface.new_mac = (ProtobufCBinaryData){ sizeof(other), (uint8_t *)other };
	interface.adopt = true;
	interface.down = true;
	assert_ok(network_configure(guest, &interface, &err));
	assert_shows("link show eth1", "02:00:00:00:00:09");
	assert_hides("link show eth1", ",UP");
	assert_true(network_configure(guest, &interface, &err) < 0); /* nobody's any more */
	assert_int_equal(err.code, CAY_NOT_FOUND);
	interface = interface_of(other, "eth1"); /* its own, also without being told */
	give(&interface, addresses, 1, NULL, 0);
	assert_ok(network_configure(guest, &interface, &err));
	assert_shows("link show eth1", "02:00:00:00:00:09");
	assert_shows("addr show eth1", "10.9.0.2/16");
	interface = interface_of(first_mac, "eth0"); /* and while it comes up */
	interface.adopt = true;
	interface.new_mac = (ProtobufCBinaryData){ sizeof(other), (uint8_t *)other };
	assert_true(network_configure(guest, &interface, &err) < 0); /* the other one's */
	assert_int_equal(err.code, CAY_EXISTS);
	interface.new_mac = (ProtobufCBinaryData){ sizeof(third), (uint8_t *)third };
	assert_ok(network_configure(guest, &interface, &err));
	assert_shows("link show eth0", "02:00:00:00:00:08");
	interface = interface_of(third, "eth0");
	assert_ok(network_configure(guest, &interface, &err));
	assert_shows("link show eth0", "02:00:00:00:00:08");
	free_guest(guest);
}

static void test_failures(void **state)
{
	static const uint8_t nobody[] = { 2, 0, 0, 0, 0, 1 };
	static char *bad[] = { (char *)"10.9.0.2/16", (char *)"10.9.0.2/33" };
	static char *elsewhere[] = { (char *)"172.31.0.1" };
	struct guest *guest = make_guest();
	Cay__Vminitd__V1__Interface interface = interface_of(nobody, "eth0");
	struct cay_error err = { 0 };

	assert_true(network_configure(guest, &interface, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_non_null(strstr(err.message, "eth0: no network card has the address 02:00"));
	interface = interface_of(first_mac, "a-name-of-sixteen");
	assert_true(network_configure(guest, &interface, &err) < 0);
	interface = interface_of(first_mac, "eth0");
	interface.mac.len = 5;
	assert_true(network_configure(guest, &interface, &err) < 0);
	interface = interface_of(first_mac, "eth0");
	give(&interface, bad, 2, NULL, 0);
	assert_true(network_configure(guest, &interface, &err) < 0);
	assert_hides("addr show eth0", "inet ");
	/* The kernel's own refusal, half-way: nothing is left. */
	give(&interface, addresses, 2, elsewhere, 1);
	assert_true(network_configure(guest, &interface, &err) < 0);
	assert_non_null(strstr(err.message, "setting the default route"));
	assert_hides("addr show eth0", "inet");
	assert_hides("link show eth0", ",UP");
	free_guest(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up_and_down), cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_asked_for),   cmocka_unit_test(test_asked_for),
		cmocka_unit_test(test_names),       cmocka_unit_test(test_new_mac),
		cmocka_unit_test(test_adopt),       cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
