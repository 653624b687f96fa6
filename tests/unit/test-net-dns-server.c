/* SPDX-License-Identifier: Apache-2.0 */
/* The responder: names of ours, by UDP and TCP, and listeners that come and go. */
#include "dns-fixture.h"

static void test_own_names(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	for (int stream = 0; stream < 2; stream++) {
		assert_true(ask(f, &(struct question){ .name = "web", .stream = stream }, &reply));
		assert_address(&reply, "10.0.0.5");
		assert_int_equal(reply.flags, FLAG_QR | FLAG_AA | FLAG_RD | FLAG_RA);
		assert_true(ask(f,
				&(struct question){
					.name = "WeB", .type = DNS_TYPE_AAAA, .stream = stream },
				&reply));
		assert_address(&reply, "fd00::5");
		assert_true(ask(f, &(struct question){ .name = "web", .type = 15, .edns = 1232 },
				&reply));
		assert_int_equal(reply.rcode, DNS_NOERROR);
		assert_int_equal(reply.answers, 0);
		assert_true(reply.edns);
	}
	assert_int_equal(f->first.asked, 0);
}

/* A client asks the gateway of another network: the key says which names it gets. */
static void test_networks(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	assert_true(ask(f, &(struct question){ .name = "web", .gateway = OTHER_GATEWAY }, &reply));
	assert_address(&reply, "10.1.0.5");
	assert_true(ask(f, &(struct question){ .name = "web", .client = "::1", .gateway = "::1" },
			&reply));
	assert_address(&reply, "10.1.0.5");
}

static void test_absent_names(void **state)
{
	static const char *const names[] = { "gone.one", "nobody.cay", "cay", "a.b.c.CAY",
					     "we b.cay" };
	struct fixture *f = *state;
	struct reply reply;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_true(ask(f, &(struct question){ .name = names[i] }, &reply));
		assert_int_equal(reply.rcode, DNS_NXDOMAIN);
	}
	assert_int_equal(f->first.asked, 0);
}

static void test_reverse(void **state)
{
	struct fixture *f = *state;
	struct question q = { .name = "5.0.0.10.in-addr.arpa", .type = DNS_TYPE_PTR };
	struct reply reply;

	assert_true(ask(f, &q, &reply));
	assert_string_equal(reply.pointer, "web.one");
	q.type = DNS_TYPE_A; /* the name is there, an address it has not */
	assert_true(ask(f, &q, &reply));
	assert_int_equal(reply.rcode, DNS_NOERROR);
	assert_int_equal(reply.answers, 0);
	q = (struct question){ .name = "6.0.0.10.in-addr.arpa", .type = DNS_TYPE_PTR };
	assert_true(ask(f, &q, &reply));
	assert_int_equal(reply.rcode, DNS_NXDOMAIN);
	assert_int_equal(f->first.asked, 0);
	q.name = "7.0.0.10.in-addr.arpa";
	assert_true(ask(f, &q, &reply));
	assert_int_equal(count_of(&f->first.asked), 1);
}

static void test_host_names(void **state)
{
	static const char *const names[] = { "host.docker.internal", "host.container.internal",
					     "gateway.docker.internal" };
	struct fixture *f = *state;
	struct reply reply;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_true(ask(f, &(struct question){ .name = names[i] }, &reply));
		assert_address(&reply, GATEWAY);
		assert_true(ask(f, &(struct question){ .name = names[i], .type = DNS_TYPE_AAAA },
				&reply));
		assert_int_equal(reply.rcode, DNS_NOERROR);
		assert_int_equal(reply.answers, 0);
	}
	assert_true(ask(f,
			&(struct question){
				.name = names[0], .type = DNS_TYPE_AAAA, .gateway = OTHER_GATEWAY },
			&reply));
	assert_address(&reply, "::1");
	assert_true(ask(f, &(struct question){ .name = "localhost" }, &reply));
	assert_address(&reply, "127.0.0.1");
}

/* The host gets our names and no others: its resolver has servers of its own. */
static void test_host(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	assert_true(ask(f, &(struct question){ .name = "web.cay", .client = GATEWAY }, &reply));
	assert_address(&reply, "10.0.0.5");
	assert_true(
		ask(f, &(struct question){ .name = "web.cay", .client = OTHER_GATEWAY }, &reply));
	assert_address(&reply, "10.0.0.5");
	assert_true(ask(f, &(struct question){ .name = "a.example", .client = GATEWAY }, &reply));
	assert_int_equal(reply.rcode, DNS_REFUSED);
	assert_int_equal(f->first.asked, 0);
}

/* What does not fit comes by TCP. */
static void test_large_answers(void **state)
{
	struct fixture *f = *state;
	struct question q = { .name = "many" };
	struct reply reply;

	assert_true(ask(f, &q, &reply));
	assert_true(reply.flags & FLAG_TC && reply.size <= 512);
	q.edns = 4096;
	assert_true(ask(f, &q, &reply));
	assert_true(!(reply.flags & FLAG_TC) && reply.size > 512);
	q = (struct question){ .name = "many", .stream = true };
	assert_true(ask(f, &q, &reply));
	assert_int_equal(reply.answers, DNS_ADDRESSES_MAX);
}

static void assert_alive(struct fixture *f)
{
	struct reply reply;

	assert_true(ask(f, &(struct question){ .name = "web" }, &reply));
	assert_address(&reply, "10.0.0.5");
}

static void test_listeners(void **state)
{
	struct fixture *f = *state;
	struct net_address address = address_of("127.10.2.1"), foreign = address_of("192.0.2.77");
	struct question q = { .name = "web", .gateway = "127.10.2.1", .wait_ms = 300 };
	struct cay_error err = { .code = CAY_OK };
	struct reply reply;

	for (unsigned int i = 0; i < 50; i++) {
		assert_ok(dns_server_add(f->server, "three", &address, &err));
		assert_true(ask(f, &q, &reply));
		dns_server_remove(f->server, "three");
	}
	assert_false(ask(f, &q, &reply));
	dns_server_remove(f->server, "three");
	/* One that the host doesn't have yet. */
	assert_ok(dns_server_add(f->server, "three", &foreign, &err));
	assert_int_equal(dns_server_add(f->server, "four", &foreign, &err), -EADDRINUSE);
	assert_int_equal(err.code, CAY_CONFLICT);
	assert_alive(f);
}

/* A connection and a question under way end with their network, and with the server. */
static void test_removal_under_way(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int stream =
		client_socket(OTHER_CLIENT, OTHER_GATEWAY, f->port, SOCK_STREAM);
	_cleanup_close_ int stays = client_socket(CLIENT, GATEWAY, f->port, SOCK_STREAM);
	_cleanup_close_ int udp = client_socket(OTHER_CLIENT, OTHER_GATEWAY, f->port, SOCK_DGRAM);
	_cleanup_buf_ struct buf message = { .length = 0 };
	unsigned int before;
	char byte;

	append_question(&message, ID, "silent.example", DNS_TYPE_A, NO_EDNS);
	send_datagram(udp, &message);
	send_framed(stream, &message);
	send_framed(stays, &message);
	while (count_of(&f->first.asked) < 1 || count_of(&f->first.by_tcp) < 2)
		(void)usleep(1000);
	before = open_descriptors();
	dns_server_remove(f->server, "two");
	assert_true(readable(stream, WAIT_MS));
	assert_int_equal(recv(stream, &byte, 1, 0), 0);
	/* Four listening sockets, the connection, and those on which a server was asked. */
	assert_int_equal(open_descriptors(), before - 4 - 1 - 2);
	assert_alive(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own_names, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_networks, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_absent_names, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_reverse, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_host_names, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_host, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_large_answers, fixture_setup,
						fixture_teardown),
		cmocka_unit_test_setup_teardown(test_listeners, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_removal_under_way, fixture_setup,
						fixture_teardown),
	};

	return cmocka_run_group_tests_name("dns-server", tests, NULL, NULL);
}
