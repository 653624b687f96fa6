/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP client's states, with a clock of the test's own. */
#include "test.h"

#include "guest/dhcp-machine.h"

static const uint8_t mac[DHCP_MAC_SIZE] = { 2, 0x42, 10, 9, 0, 2 };

enum { SERVER = 0xc0a80101, ADDRESS = 0xc0a80107, HOUR_MS = 3600 * 1000 };

struct fixture {
	struct dhcp_machine machine;
	struct dhcp_step step;
	int64_t now_ms;
};

static struct dhcp_message answer(const struct fixture *fixture, enum dhcp_type type)
{
	struct dhcp_message message = {
		.type = type,
		.transaction = fixture->machine.transaction,
		.yours = { htonl(ADDRESS) },
		.server = { htonl(SERVER) },
		.router = { htonl(SERVER) },
		.netmask = { htonl(0xffffff00) },
		.dns = { { htonl(SERVER) } },
		.dns_count = 1,
		.lease_s = 3600,
	};

	memcpy(message.mac, mac, sizeof(mac));
	return message;
}

static bool receive(struct fixture *fixture, const struct dhcp_message *message)
{
	return dhcp_machine_receive(&fixture->machine, message, fixture->now_ms, &fixture->step);
}

static void wait(struct fixture *fixture)
{
	assert_true(fixture->step.wait_ms >= 0);
	fixture->now_ms += fixture->step.wait_ms;
	dhcp_machine_timeout(&fixture->machine, fixture->now_ms, &fixture->step);
}

static void begin(struct fixture *fixture)
{
	*fixture = (struct fixture){ .now_ms = 1000 };
	dhcp_machine_init(&fixture->machine, mac, "web", 7);
	dhcp_machine_start(&fixture->machine, fixture->now_ms, &fixture->step);
}

static void bind_one(struct fixture *fixture)
{
	struct dhcp_message message;

	begin(fixture);
	message = answer(fixture, DHCP_OFFER);
	assert_true(receive(fixture, &message));
	message = answer(fixture, DHCP_ACK);
	assert_true(receive(fixture, &message));
}

static void test_lease(void **state)
{
	struct fixture f;
	struct dhcp_message message;

	begin(&f);
	assert_true(f.step.send && !f.step.unicast);
	assert_int_equal(f.step.message.type, DHCP_DISCOVER);
	assert_string_equal(f.step.message.hostname, "web");
	assert_int_equal(f.step.change, DHCP_NO_CHANGE);
	message = answer(&f, DHCP_OFFER);
	assert_true(receive(&f, &message));
	assert_int_equal(f.step.message.type, DHCP_REQUEST);
	assert_int_equal(f.step.message.asked.s_addr, htonl(ADDRESS));
	assert_int_equal(f.step.message.server.s_addr, htonl(SERVER));
	assert_int_equal(f.step.message.client.s_addr, 0);
	message = answer(&f, DHCP_ACK);
	assert_true(receive(&f, &message));
	assert_false(f.step.send);
	assert_int_equal(f.step.change, DHCP_GAINED);
	assert_int_equal(f.step.before.address.s_addr, 0);
	assert_int_equal(f.step.wait_ms, HOUR_MS / 2);
	assert_int_equal(f.machine.lease.address.s_addr, htonl(ADDRESS));
	assert_int_equal(f.machine.lease.prefix, 24);
	assert_int_equal(f.machine.lease.dns_count, 1);
}

/* Silence: each wait about twice the one before, up to a limit, and another server's turn. */
static void test_retries(void **state)
{
	struct fixture f;
	struct dhcp_message message;
	uint32_t transaction;

	begin(&f);
	assert_in_range(f.step.wait_ms, 750, 1250);
	wait(&f);
	assert_in_range(f.step.wait_ms, 1500, 2500);
	for (int i = 0; i < 20; i++)
		wait(&f);
	assert_in_range(f.step.wait_ms, 48000, 80000);
	assert_int_equal(f.step.message.type, DHCP_DISCOVER);
	assert_true(f.step.message.seconds > 60);
	message = answer(&f, DHCP_OFFER);
	assert_true(receive(&f, &message));
	transaction = f.machine.transaction;
	for (int i = 0; i < 3; i++) {
		wait(&f);
		assert_int_equal(f.step.message.type, DHCP_REQUEST);
	}
	wait(&f);
	assert_int_equal(f.step.message.type, DHCP_DISCOVER);
	assert_true(f.machine.transaction != transaction);
}

static void test_renewal(void **state)
{
	struct fixture f;
	struct dhcp_message message;

	bind_one(&f);
	wait(&f);
	assert_int_equal(f.machine.state, DHCP_RENEWING);
	assert_true(f.step.send && f.step.unicast);
	assert_int_equal(f.step.message.client.s_addr, htonl(ADDRESS));
	assert_int_equal(f.step.message.asked.s_addr, 0);
	assert_int_equal(f.step.message.server.s_addr, 0);
	message = answer(&f, DHCP_ACK);
	message.server.s_addr = 0;
	assert_true(receive(&f, &message));
	assert_int_equal(f.step.change, DHCP_NO_CHANGE);
	assert_int_equal(f.machine.state, DHCP_BOUND);
	assert_int_equal(f.step.wait_ms, HOUR_MS / 2);
	assert_int_equal(f.machine.lease.server.s_addr, htonl(SERVER));
	/* Another address at the next one. */
	wait(&f);
	message = answer(&f, DHCP_ACK);
	message.yours.s_addr = htonl(ADDRESS + 1);
	assert_true(receive(&f, &message));
	assert_int_equal(f.step.change, DHCP_GAINED);
	assert_int_equal(f.step.before.address.s_addr, htonl(ADDRESS));
}

/* The server is gone: renewing, rebinding, lost, and asked for anew, each in its time. */
static void test_expiry(void **state)
{
	struct fixture f;
	const int64_t bound_ms = 1000;
	unsigned int sent = 0;

	bind_one(&f);
	wait(&f);
	while (f.machine.state == DHCP_RENEWING) {
		assert_true(f.step.unicast);
		sent++;
		wait(&f);
	}
	assert_int_equal(f.now_ms, bound_ms + HOUR_MS / 8 * 7);
	assert_int_equal(f.machine.state, DHCP_REBINDING);
	while (f.machine.state == DHCP_REBINDING) {
		assert_true(f.step.send && !f.step.unicast);
		sent++;
		wait(&f);
	}
	assert_int_equal(f.now_ms, bound_ms + HOUR_MS);
	assert_in_range(sent, 4, 20);
	assert_int_equal(f.machine.state, DHCP_SELECTING);
	assert_int_equal(f.step.change, DHCP_LOST);
	assert_int_equal(f.step.before.address.s_addr, htonl(ADDRESS));
	assert_int_equal(f.step.message.type, DHCP_DISCOVER);
}

static void test_refusals(void **state)
{
	struct fixture f;
	struct dhcp_message message;

	begin(&f);
	message = answer(&f, DHCP_OFFER);
	assert_true(receive(&f, &message));
	message = answer(&f, DHCP_NAK);
	message.server.s_addr = htonl(SERVER + 1); /* not the server that was asked */
	assert_false(receive(&f, &message));
	message.server.s_addr = htonl(SERVER);
	assert_true(receive(&f, &message));
	assert_int_equal(f.step.change, DHCP_NO_CHANGE);
	assert_false(f.step.send); /* a server that refuses for ever gets no storm */
	assert_true(f.step.wait_ms >= 1000);
	wait(&f);
	assert_int_equal(f.step.message.type, DHCP_DISCOVER);
	bind_one(&f);
	wait(&f);
	message = answer(&f, DHCP_NAK);
	assert_true(receive(&f, &message));
	assert_int_equal(f.step.change, DHCP_LOST);
	assert_int_equal(f.machine.lease.address.s_addr, 0);
}

/* What nobody asked for changes nothing. */
static void test_strays(void **state)
{
	struct fixture f;
	struct dhcp_message message;

	begin(&f);
	message = answer(&f, DHCP_ACK);
	assert_false(receive(&f, &message));
	message = answer(&f, DHCP_NAK);
	assert_false(receive(&f, &message));
	message = answer(&f, DHCP_OFFER);
	message.transaction++;
	assert_false(receive(&f, &message));
	message = answer(&f, DHCP_OFFER);
	message.mac[5]++;
	assert_false(receive(&f, &message));
	message = answer(&f, DHCP_OFFER);
	message.server.s_addr = 0;
	assert_false(receive(&f, &message));
	message = answer(&f, DHCP_OFFER);
	message.yours.s_addr = htonl(0x7f000001);
	assert_false(receive(&f, &message));
	message.yours.s_addr = htonl(0xe0000001);
	assert_false(receive(&f, &message));
	assert_int_equal(f.machine.state, DHCP_SELECTING);
	bind_one(&f);
	message = answer(&f, DHCP_ACK);
	assert_false(receive(&f, &message));
	wait(&f);
	message = answer(&f, DHCP_ACK);
	message.lease_s = 0;
	assert_false(receive(&f, &message));
}

/* Times that make no sense, and a lease for ever. */
static void test_times(void **state)
{
	struct fixture f;
	struct dhcp_message message;

	begin(&f);
	message = answer(&f, DHCP_OFFER);
	assert_true(receive(&f, &message));
	message = answer(&f, DHCP_ACK);
	message.lease_s = 1;
	message.renew_s = 500;
	message.rebind_s = 400;
	message.netmask.s_addr = 0;
	assert_true(receive(&f, &message));
	assert_true(f.machine.renew_ms < f.machine.rebind_ms);
	assert_true(f.machine.rebind_ms < f.machine.expire_ms);
	assert_int_equal(f.machine.expire_ms, f.now_ms + 10000);
	assert_int_equal(f.machine.lease.prefix, 24);
	begin(&f);
	message = answer(&f, DHCP_OFFER);
	assert_true(receive(&f, &message));
	message = answer(&f, DHCP_ACK);
	message.rebind_s = 1; /* which leaves no time for a renewal */
	assert_true(receive(&f, &message));
	assert_int_equal(f.step.wait_ms, HOUR_MS / 2);
	begin(&f);
	message = answer(&f, DHCP_OFFER);
	assert_true(receive(&f, &message));
	message = answer(&f, DHCP_ACK);
	message.lease_s = UINT32_MAX;
	assert_true(receive(&f, &message));
	assert_int_equal(f.step.wait_ms, -1);
}

static void test_release(void **state)
{
	struct fixture f;

	bind_one(&f);
	dhcp_machine_release(&f.machine, f.now_ms, &f.step);
	assert_true(f.step.send && f.step.unicast);
	assert_int_equal(f.step.message.type, DHCP_RELEASE);
	assert_int_equal(f.step.message.client.s_addr, htonl(ADDRESS));
	assert_int_equal(f.step.message.server.s_addr, htonl(SERVER));
	assert_int_equal(f.step.change, DHCP_LOST);
	assert_int_equal(f.step.wait_ms, -1);
	begin(&f);
	dhcp_machine_release(&f.machine, f.now_ms, &f.step);
	assert_false(f.step.send);
	assert_int_equal(f.step.change, DHCP_NO_CHANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease),    cmocka_unit_test(test_retries),
		cmocka_unit_test(test_renewal),  cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_strays),
		cmocka_unit_test(test_times),    cmocka_unit_test(test_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
