/* SPDX-License-Identifier: Apache-2.0 */
/* Clients that send garbage, too much, too slowly, or leave: others are served as before. */
#include "dns-fixture.h"

#include "net/dns-server-internal.h"

#include <sys/resource.h>

static void assert_alive(struct fixture *f)
{
	struct question q = { .name = "web", .client = OTHER_CLIENT };
	struct reply reply;

	assert_true(ask(f, &q, &reply));
	assert_address(&reply, "10.0.0.5");
	q.stream = true;
	assert_true(ask(f, &q, &reply));
	assert_address(&reply, "10.0.0.5");
}

/* None of these gets an answer. */
static void test_garbage(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = client_socket(CLIENT, GATEWAY, f->port, SOCK_DGRAM);
	_cleanup_buf_ struct buf good = { .length = 0 }, huge = { .length = 0 };
	struct reply reply;
	uint32_t random = 1;

	append_question(&good, ID, "web.example", DNS_TYPE_A, 1232);
	for (size_t length = 0; length < good.length; length++)
		assert_int_equal(send(fd, good.data, length, 0), length);
	for (unsigned int i = 0; i < 1000; i++) {
		_cleanup_buf_ struct buf noise = { .length = 0 };

		buf_append(&noise, good.data, good.length);
		for (size_t j = 12; j < noise.length; j++) {
			random = random * 1664525 + 1013904223;
			noise.data[j] = (char)(random >> 24);
		}
		noise.data[2] = (char)(noise.data[2] | 0x80);
		send_datagram(fd, &noise);
	}
	append_question(&huge, ID, "web", DNS_TYPE_A, NO_EDNS);
	(void)buf_reserve(&huge, 9000);
	memset(huge.data + huge.length, 0, 9000);
	huge.length += 9000;
	send_datagram(fd, &huge);
	assert_false(receive_datagram(fd, 300, &reply));
	assert_alive(f);
	assert_int_equal(f->first.asked, 0);
}

/* An answer sent to us from port 53 of somebody: answered, it would come back for ever. */
static void test_reflection(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = client_socket(CLIENT, GATEWAY, f->port, SOCK_DGRAM);
	_cleanup_buf_ struct buf message = { .length = 0 };
	struct reply reply;

	append_header(&message, ID, FLAG_QR, 1, 0, 0);
	append_name(&message, "web");
	append_u16(&message, DNS_TYPE_A);
	append_u16(&message, DNS_CLASS_IN);
	send_datagram(fd, &message);
	assert_false(receive_datagram(fd, 200, &reply));
}

/* ---- TCP ---- */

/* Whether the server hung up. */
static bool is_closed(int fd, int wait_ms)
{
	char byte;

	return readable(fd, wait_ms) && recv(fd, &byte, 1, 0) <= 0;
}

static void test_bad_frames(void **state)
{
	static const struct {
		uint8_t data[32];
		size_t size;
	} cases[] = {
		{ { 0, 0 }, 2 },
		{ { 0, 11 }, 2 },
		{ { 0xff, 0xff }, 2 },
		{ { 0, 12, 0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0 }, 14 },
		{ { 0, 12, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 }, 14 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_close_ int fd = client_socket(CLIENT, GATEWAY, f->port, SOCK_STREAM);

		assert_int_equal(write_full(fd, cases[i].data, cases[i].size), 0);
		assert_true(is_closed(fd, WAIT_MS));
	}
	assert_alive(f);
}

/* A byte at a time, several questions in one packet, a half-closed connection. */
static void test_unusual_frames(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int slow = client_socket(CLIENT, GATEWAY, f->port, SOCK_STREAM);
	_cleanup_close_ int fast = client_socket(CLIENT, GATEWAY, f->port, SOCK_STREAM);
	_cleanup_buf_ struct buf message = { .length = 0 }, framed = { .length = 0 },
				 many = { .length = 0 };
	struct reply reply;

	append_question(&message, ID, "a.example", DNS_TYPE_A, NO_EDNS);
	append_u16(&framed, (unsigned int)message.length);
	buf_append(&framed, message.data, message.length);
	for (size_t i = 0; i < framed.length; i++) {
		assert_int_equal(write_full(slow, framed.data + i, 1), 0);
		(void)usleep(200);
	}
	assert_true(receive_framed(slow, WAIT_MS, &reply));
	for (unsigned int i = 0; i < 8; i++)
		buf_append(&many, framed.data, framed.length);
	assert_int_equal(write_full(fast, many.data, many.length), 0);
	assert_int_equal(shutdown(fast, SHUT_WR), 0);
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(receive_framed(fast, WAIT_MS, &reply));
		assert_address(&reply, "198.51.100.0");
	}
	assert_true(is_closed(fast, WAIT_MS));
	assert_alive(f);
}

/* One client may hold so many connections, and those that say nothing end. */
static void test_idle_connections(void **state)
{
	struct fixture *f = *state;
	int fds[DNS_STREAM_CLIENT_MAX + 8];
	unsigned int closed = 0;
	int64_t began = clock_monotonic_ms();

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = client_socket(CLIENT, GATEWAY, f->port, SOCK_STREAM);
	(void)usleep(200 * 1000);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		closed += is_closed(fds[i], 0);
	assert_int_equal(closed, 8);
	assert_alive(f);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		(void)is_closed(fds[i], DNS_STREAM_IDLE_MS + 1000);
		(void)close(fds[i]);
	}
	assert_in_range(clock_monotonic_ms() - began, DNS_STREAM_IDLE_MS - 500,
			DNS_STREAM_IDLE_MS + 1500);
}

/* Asks for long answers and reads none: it holds its own connections up, and nothing else. */
static void test_reader_that_never_reads(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = client_socket(CLIENT, GATEWAY, f->port, SOCK_STREAM);
	_cleanup_buf_ struct buf message = { .length = 0 };
	unsigned int sent = 0;

	assert_int_equal(fd_set_nonblocking(fd, true), 0);
	append_u16(&message, 22);
	append_question(&message, ID, "many", DNS_TYPE_A, NO_EDNS);
	assert_int_equal(message.length, 2 + 22);
	while (sent < 100000 && readable(fd, 0) == false &&
	       send(fd, message.data, message.length, MSG_NOSIGNAL) > 0)
		sent++;
	assert_alive(f);
}

/* Connections that come and go, most of them with a question under way. */
static void test_vanishing_clients(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf message = { .length = 0 };
	unsigned int before = open_descriptors();

	append_question(&message, ID, "hangup.example", DNS_TYPE_A, NO_EDNS);
	for (unsigned int i = 0; i < 1000; i++) {
		int fd = client_socket(CLIENT, GATEWAY, f->port, SOCK_STREAM);
		struct linger reset = { .l_onoff = 1 };

		send_framed(fd, &message);
		if (i % 2)
			assert_int_equal(
				setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
		(void)close(fd);
	}
	assert_alive(f);
	for (unsigned int i = 0; i < 100 && open_descriptors() > before; i++)
		(void)usleep(50 * 1000);
	assert_int_equal(open_descriptors(), before);
}

/* No descriptor is left: it waits for one without spinning, and serves again. */
static void test_no_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit limit, low;
	_cleanup_buf_ struct buf message = { .length = 0 };
	int fds[4], last = -1;
	struct timespec cpu, later;
	struct reply reply;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = bound_socket(CLIENT, 0, SOCK_STREAM, false);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	last = dup(0);
	low = (struct rlimit){ .rlim_cur = (rlim_t)last + 1, .rlim_max = limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct net_address gateway = address_of(GATEWAY);
		struct sockaddr_storage name;
		socklen_t length = net_address_to_sockaddr(&gateway, (uint16_t)f->port, &name);

		assert_int_equal(connect(fds[i], (const struct sockaddr *)&name, length), 0);
	}
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu), 0);
	(void)usleep(500 * 1000);
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &later), 0);
	assert_in_range((later.tv_sec - cpu.tv_sec) * 1000 +
				(later.tv_nsec - cpu.tv_nsec) / 1000000,
			0, 100);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	(void)close(last);
	append_question(&message, ID, "web", DNS_TYPE_A, NO_EDNS);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		send_framed(fds[i], &message);
		assert_true(receive_framed(fds[i], WAIT_MS, &reply));
		(void)close(fds[i]);
	}
	assert_alive(f);
}

/* Listeners come and go under load, from another thread and from the functions' own. */
static void *asking_thread(void *user)
{
	struct fixture *f = user;
	struct reply *reply = xcalloc(1, sizeof(*reply));

	for (unsigned int i = 0; i < 300; i++) {
		struct question q = { .name = i % 2 ? "web" : "a.example",
				      .gateway = OTHER_GATEWAY,
				      .client = OTHER_CLIENT,
				      .wait_ms = 2 };

		(void)ask(f, &q, reply);
	}
	free(reply);
	return NULL;
}

static void test_listeners_under_load(void **state)
{
	struct fixture *f = *state;
	struct net_address address = address_of(OTHER_GATEWAY);
	struct cay_error err = { .code = CAY_OK };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, asking_thread, f), 0);
	for (unsigned int i = 0; i < 300; i++) {
		dns_server_remove(f->server, "two");
		assert_ok(dns_server_add(f->server, "two", &address, &err));
		(void)usleep(500);
	}
	pthread_join(thread, NULL);
	assert_alive(f);
}

#define with_server(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_server(test_garbage),
		with_server(test_reflection),
		with_server(test_bad_frames),
		with_server(test_unusual_frames),
		with_server(test_idle_connections),
		with_server(test_reader_that_never_reads),
		with_server(test_vanishing_clients),
		with_server(test_no_descriptors),
		with_server(test_listeners_under_load),
	};

	return cmocka_run_group_tests_name("dns-hostile", tests, NULL, NULL);
}
