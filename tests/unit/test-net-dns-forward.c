/* SPDX-License-Identifier: Apache-2.0 */
/* Questions handed on: servers that fail, lie, keep silent or cut; and clients that ask too much.
 */
#include "dns-fixture.h"

#include "net/dns-server-internal.h"

#include <sys/resource.h>

static void test_forward(void **state)
{
	struct fixture *f = *state;
	struct question q = { .name = "a.Example" };
	uint16_t ids[8], ports[8];
	unsigned int same_ids = 0, same_ports = 0;
	struct reply reply;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		assert_true(ask(f, &q, &reply));
		assert_address(&reply, "198.51.100.0");
		ids[i] = f->first.last_id;
		ports[i] = f->first.last_port;
		same_ids += ids[i] == ids[0] || ids[i] == ID;
		same_ports += ports[i] == ports[0];
	}
	/* Numbers and ports of our own, and new ones each time. */
	assert_true(same_ids < 3 && same_ports < 3);
	assert_int_equal(f->first.last_size, 0);
	q = (struct question){ .name = "absent.example", .edns = 4096 };
	assert_true(ask(f, &q, &reply));
	assert_int_equal(reply.rcode, DNS_NXDOMAIN);
	assert_int_equal(f->first.last_size, DNS_UDP_SIZE_MAX);
	q = (struct question){ .name = "b.example", .stream = true };
	assert_true(ask(f, &q, &reply));
	assert_address(&reply, "198.51.100.0");
	assert_int_equal(count_of(&f->first.by_tcp), 1);
}

/* Answers from elsewhere, under another number, to another question, broken ones: none counts. */
static void test_lies(void **state)
{
	struct fixture *f = *state;
	struct question q = { .name = "lies.example" };
	struct reply reply;

	for (unsigned int i = 0; i < 20; i++) {
		assert_true(ask(f, &q, &reply));
		assert_address(&reply, "198.51.100.0");
	}
	assert_int_equal(count_of(&f->first.asked), 20);
}

static void test_never(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	f->forwarding = DNS_FORWARD_NEVER;
	for (int stream = 0; stream < 2; stream++) {
		assert_true(ask(f, &(struct question){ .name = "a.example", .stream = stream },
				&reply));
		assert_int_equal(reply.rcode, DNS_NXDOMAIN);
		assert_true(ask(f, &(struct question){ .name = "web", .stream = stream }, &reply));
		assert_address(&reply, "10.0.0.5");
	}
	assert_int_equal(f->first.asked + f->first.by_tcp, 0);
}

static void test_no_servers(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	f->upstreams.count = 0;
	assert_true(ask(f, &(struct question){ .name = "a.example" }, &reply));
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
	/* Ourselves, under any of our addresses: a question would go round for ever. */
	add_upstream(f, OTHER_GATEWAY, f->port);
	add_upstream(f, GATEWAY, f->port);
	assert_true(ask(f, &(struct question){ .name = "a.example" }, &reply));
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
	add_upstream(f, "127.20.0.2", f->second.port);
	assert_true(ask(f, &(struct question){ .name = "a.example" }, &reply));
	assert_address(&reply, "198.51.100.0");
}

/* ---- several servers ---- */

static int64_t timed_ask(struct fixture *f, const char *name, struct reply *reply)
{
	int64_t began = clock_monotonic_ms();

	assert_true(ask(f, &(struct question){ .name = name, .wait_ms = 12000 }, reply));
	return clock_monotonic_ms() - began;
}

/* A silent server costs its wait once: then the one that works is asked first. */
static void test_silent_server(void **state)
{
	struct fixture *f = *state;
	struct reply reply;
	int64_t took;

	add_upstream(f, "127.20.0.2", f->second.port);
	f->first.deaf = true;
	took = timed_ask(f, "a.example", &reply);
	assert_address(&reply, "198.51.100.0");
	assert_in_range(took, DNS_TRY_MS - DNS_TICK_MS, DNS_TRY_MS + 1000);
	took = timed_ask(f, "b.example", &reply);
	assert_in_range(took, 0, DNS_TRY_MS / 2);
	assert_int_equal(count_of(&f->first.asked), 1);
}

static void test_broken_server(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	f->first.broken = true;
	assert_in_range(timed_ask(f, "a.example", &reply), 0, DNS_TRY_MS / 2);
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
	add_upstream(f, "127.20.0.2", f->second.port);
	assert_in_range(timed_ask(f, "a.example", &reply), 0, DNS_TRY_MS / 2);
	assert_address(&reply, "198.51.100.0");
	assert_in_range(timed_ask(f, "broken.example", &reply), 0, DNS_TRY_MS / 2);
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
}

/* Nobody listens there: an ICMP error says so at once. */
static void test_closed_port(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	f->upstreams.count = 0;
	add_upstream(f, "127.20.0.3", f->first.port);
	assert_in_range(timed_ask(f, "a.example", &reply), 0, DNS_TRY_MS / 2);
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
	add_upstream(f, "127.20.0.2", f->second.port);
	assert_in_range(timed_ask(f, "a.example", &reply), 0, DNS_TRY_MS / 2);
	assert_address(&reply, "198.51.100.0");
}

/* All are silent: the client is told before it gives up, and each server was asked twice. */
static void test_all_silent(void **state)
{
	struct fixture *f = *state;
	struct reply reply;
	int64_t took;

	add_upstream(f, "127.20.0.2", f->second.port);
	took = timed_ask(f, "silent.example", &reply);
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
	assert_in_range(took, DNS_ASK_MS - DNS_TICK_MS, DNS_ASK_MS + 1000);
	assert_int_equal(count_of(&f->first.asked), 2);
	assert_int_equal(count_of(&f->second.asked), 2);
}

/* ---- what does not fit into a datagram ---- */

static void test_cut_answers(void **state)
{
	struct fixture *f = *state;
	struct question q = { .name = "big.example", .edns = 4096 };
	struct reply reply;

	/* 100 addresses, which the server only gives by TCP, and which we can't give by UDP. */
	assert_true(ask(f, &q, &reply));
	assert_true(reply.flags & FLAG_TC && reply.size <= DNS_UDP_SIZE_MAX && reply.edns);
	assert_in_range(reply.answers, 60, 80);
	assert_int_equal(count_of(&f->first.by_tcp), 1);
	q.edns = NO_EDNS;
	assert_true(ask(f, &q, &reply));
	assert_true(reply.flags & FLAG_TC && reply.size <= 512 && !reply.edns);
	q.stream = true;
	assert_true(ask(f, &q, &reply));
	assert_int_equal(reply.answers, 100);
	assert_int_equal(count_of(&f->first.by_tcp), 3);
	/* One that sends more than it was asked for. */
	q = (struct question){ .name = "bigger.example" };
	assert_true(ask(f, &q, &reply));
	assert_true(reply.flags & FLAG_TC && reply.size <= 512);
}

/* No TCP there: the part that came by UDP is better than nothing. */
static void test_no_tcp(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	shutdown(f->first.tcp, SHUT_RD);
	assert_in_range(timed_ask(f, "big.example", &reply), 0, DNS_TRY_MS / 2);
	assert_true(reply.flags & FLAG_TC);
	assert_int_equal(reply.answers, 2);
}

static void test_tcp_failures(void **state)
{
	struct fixture *f = *state;
	struct question q = { .name = "hangup.example", .stream = true };
	struct reply reply;

	assert_true(ask(f, &q, &reply));
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
	assert_int_equal(count_of(&f->first.by_tcp), 1);
	f->upstreams.count = 0;
	add_upstream(f, "127.20.0.3", f->first.port);
	add_upstream(f, "127.20.0.2", f->second.port);
	q.name = "a.example";
	assert_true(ask(f, &q, &reply));
	assert_address(&reply, "198.51.100.0");
}

/* ---- clients that ask too much ---- */

/* Asks `count` questions from one socket that stay without an answer; how many were refused. */
static unsigned int flood(struct fixture *f, const char *client, unsigned int count)
{
	_cleanup_close_ int fd = client_socket(client, GATEWAY, f->port, SOCK_DGRAM);
	unsigned int refused = 0;
	struct reply reply;

	for (unsigned int i = 0; i < count; i++) {
		_cleanup_buf_ struct buf message = { .length = 0 };

		append_question(&message, i, "silent.example", DNS_TYPE_A, NO_EDNS);
		send_datagram(fd, &message);
		if (receive_datagram(fd, i + 1 < count ? 0 : 200, &reply)) {
			assert_int_equal(reply.rcode, DNS_REFUSED);
			refused++;
		}
	}
	while (receive_datagram(fd, 200, &reply))
		refused++;
	return refused;
}

/* As the daemon does at its start. */
static int many_descriptors_setup(void **state)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return fixture_setup(state);
}

static void test_flood(void **state)
{
	struct fixture *f = *state;
	struct reply reply;

	if (sysconf(_SC_OPEN_MAX) / 4 < DNS_PENDING_MAX)
		skip();
	f->upstreams.count = 0;
	add_upstream(f, "127.20.0.1", f->first.port);
	f->first.deaf = true;
	assert_int_equal(flood(f, CLIENT, DNS_PENDING_CLIENT_MAX + 40), 40);
	assert_true(ask(f, &(struct question){ .name = "web" }, &reply));
	/* Other clients are not refused for it, until there are too many of them. */
	for (unsigned int i = 1; i < DNS_PENDING_MAX / DNS_PENDING_CLIENT_MAX; i++) {
		char client[32];

		(void)snprintf(client, sizeof(client), "127.10.0.%u", 10 + i);
		assert_int_equal(flood(f, client, DNS_PENDING_CLIENT_MAX), 0);
	}
	assert_int_equal(flood(f, "127.10.0.200", 3), 3);
	assert_true(ask(f, &(struct question){ .name = "web" }, &reply));
	assert_address(&reply, "10.0.0.5");
}

static int few_descriptors_setup(void **state)
{
	const struct rlimit few = { .rlim_cur = 256, .rlim_max = 4096 };

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	return fixture_setup(state);
}

/* Questions that wait leave most of the descriptors to the rest of the daemon. */
static void test_few_descriptors(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = client_socket(CLIENT, GATEWAY, f->port, SOCK_DGRAM);
	unsigned int before = open_descriptors(), failed = 0;
	struct reply reply;

	for (unsigned int i = 0; i < 100; i++) {
		_cleanup_buf_ struct buf message = { .length = 0 };

		append_question(&message, i, "silent.example", DNS_TYPE_A, NO_EDNS);
		send_datagram(fd, &message);
		failed += receive_datagram(fd, i < 64 ? 0 : 200, &reply) &&
			reply.rcode == DNS_SERVFAIL;
	}
	assert_int_equal(failed, 100 - 256 / 4);
	assert_int_equal(open_descriptors(), before + 256 / 4);
	assert_true(ask(f, &(struct question){ .name = "web" }, &reply));
	assert_address(&reply, "10.0.0.5");
}

/* A client that repeats itself is one question. */
static void test_repetition(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = client_socket(CLIENT, GATEWAY, f->port, SOCK_DGRAM);
	_cleanup_buf_ struct buf message = { .length = 0 };
	struct reply reply;

	append_question(&message, ID, "silent.example", DNS_TYPE_A, NO_EDNS);
	for (unsigned int i = 0; i < 10; i++)
		send_datagram(fd, &message);
	assert_true(ask(f, &(struct question){ .name = "a.example" }, &reply));
	assert_int_equal(count_of(&f->first.asked), 2);
}

/* ---- the host's resolv.conf ---- */

static void write_conf(struct fixture *f, const char *text)
{
	struct cay_error err = { .code = CAY_OK };

	assert_ok(file_write_volatile(f->resolv_conf, text, strlen(text), 0644, &err));
}

/*
 * The file has no way to name a port, so what it says is seen by who is not asked: servers on a
 * port 53 where nobody listens fail, and none at all is 127.0.0.1.
 */
static void test_host_servers(void **state)
{
	struct fixture *f = *state;
	struct resolv_conf_follower follower = { .path = f->resolv_conf };
	const struct resolv_conf *conf = resolv_conf_follow(&follower, 1);
	struct net_address expected = address_of("127.0.0.1");
	struct reply reply;

	assert_int_equal(conf->servers.count, 1);
	assert_true(net_address_equal(&conf->servers.items[0].address, &expected));
	write_conf(f, "nameserver 127.20.0.7\nnameserver ::1\nsearch a.example b.example\n");
	assert_int_equal(resolv_conf_follow(&follower, 2)->servers.count, 1);
	conf = resolv_conf_follow(&follower, 1001);
	assert_int_equal(conf->servers.count, 2);
	assert_int_equal(conf->search.count, 2);
	write_conf(f, "nameserver 127.20.0.8\n");
	conf = resolv_conf_follow(&follower, 2002);
	assert_int_equal(conf->servers.count, 1);
	assert_int_equal(conf->search.count, 0);
	expected = address_of("127.20.0.8");
	assert_true(net_address_equal(&conf->servers.items[0].address, &expected));
	assert_int_equal(unlink(f->resolv_conf), 0);
	assert_int_equal(symlink("/dev/null/not", f->resolv_conf), 0);
	/* Unreadable: what was known stays. */
	assert_int_equal(resolv_conf_follow(&follower, 3003)->servers.count, 1);
	resolv_conf_done(&follower.conf);

	f->forwarding = DNS_FORWARD_HOST;
	assert_true(ask(f, &(struct question){ .name = "a.example", .wait_ms = 12000 }, &reply));
	assert_int_equal(reply.rcode, DNS_SERVFAIL);
	assert_int_equal(count_of(&f->first.asked), 0);
}

#define with_server(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(test_forward),
		with_server(test_lies),
		with_server(test_never),
		with_server(test_no_servers),
		with_server(test_silent_server),
		with_server(test_broken_server),
		with_server(test_closed_port),
		with_server(test_all_silent),
		with_server(test_cut_answers),
		with_server(test_no_tcp),
		with_server(test_tcp_failures),
		cmocka_unit_test_setup_teardown(test_flood, many_descriptors_setup,
						fixture_teardown),
		with_server(test_repetition),
		with_server(test_host_servers),
		/* The last, for it lowers a limit. */
		cmocka_unit_test_setup_teardown(test_few_descriptors, few_descriptors_setup,
						fixture_teardown),
	};

	return cmocka_run_group_tests_name("dns-forward", tests, NULL, NULL);
}
