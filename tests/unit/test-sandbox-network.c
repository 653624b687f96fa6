/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest says of its leases, and what of that is believed. */
#include "test.h"

#include "sandbox/sandbox-internal.h"

#include <string.h>

struct heard {
	unsigned int count;
	struct sandbox_lease last;
};

static void on_lease(struct sandbox *sandbox, const struct sandbox_lease *lease, void *user)
{
	struct heard *heard = user;

	heard->count++;
	heard->last = *lease;
}

/* How many leases are told of, of what the guest says about the card with this last byte. */
static unsigned int count_told(uint8_t card, const char *address, const char *gateway)
{
	static struct sandbox_interface cards[] = {
		{ .kind = SANDBOX_MACVTAP, .mac = { 2, 0, 0, 0, 0, 1 }, .dhcp = true },
		{ .kind = SANDBOX_TAP, .mac = { 2, 0, 0, 0, 0, 2 } },
	};
	struct sandbox_config config = { .interfaces = cards, .interface_count = 2 };
	struct heard heard = { .count = 0 };
	struct sandbox sandbox = { .config = &config,
				   .events = { .on_lease = on_lease },
				   .user = &heard };
	uint8_t mac[SANDBOX_MAC_SIZE] = { 2, 0, 0, 0, 0, card };
	Cay__Vminitd__V1__LeaseEvent event = CAY__VMINITD__V1__LEASE_EVENT__INIT;

	event.mac = (ProtobufCBinaryData){ sizeof(mac), mac };
	event.address = (char *)address;
	event.gateway = (char *)gateway;
	sandbox_on_lease(&sandbox, &event);
	if (heard.count > 0) {
		assert_ptr_equal(heard.last.interface, &cards[0]);
		assert_string_equal(heard.last.address, address);
	}
	return heard.count;
}

static void test_leases(void **state)
{
	assert_int_equal(count_told(1, "192.168.1.7/24", "192.168.1.1"), 1);
	assert_int_equal(count_told(1, "", ""), 1); /* taken back */
	assert_int_equal(count_told(1, "192.168.1.7", ""), 0);
	assert_int_equal(count_told(1, "192.168.1.7/33", ""), 0);
	assert_int_equal(count_told(1, "192.168.1.7/24", "router"), 0);
	assert_int_equal(count_told(2, "192.168.1.7/24", ""), 0); /* it has no DHCP */
	assert_int_equal(count_told(3, "192.168.1.7/24", ""), 0); /* nor is it there */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
