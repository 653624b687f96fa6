/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Published ports: a relay on the loopback, with servers that stand for the
 * container's on threads of their own, and clients that block.
 */
#include "test.h"

#include "shim/ports.h"

#include "base/alloc.h"
#include "base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

enum { STREAM_SIZE = 8 * 1024 * 1024 };

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* A socket on a port that the kernel chooses. */
static int serve(int type, uint16_t *ret_port)
{
	struct sockaddr_in address = loopback(0);
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static uint16_t free_port(int type)
{
	uint16_t port;

	(void)close(serve(type, &port));
	return port;
}

static int dial(int type, uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	const struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

struct fixture {
	struct sandbox_port port;
	struct sandbox_config config;
	struct ports *ports;
	int server;
	uv_loop_t loop;
	pthread_t thread; /* the loop's, while a test's own code blocks */
	uv_async_t stop;
};

static void on_stop(uv_async_t *async)
{
	struct fixture *fixture = async->data;

	ports_close(fixture->ports);
	uv_close((uv_handle_t *)async, NULL);
}

static void *run_loop(void *user)
{
	struct fixture *fixture = user;

	(void)uv_run(&fixture->loop, UV_RUN_DEFAULT); /* until everything is closed */
	return NULL;
}

static void prepare(struct fixture *fixture, bool udp)
{
	const int type = udp ? SOCK_DGRAM : SOCK_STREAM;

	*fixture = (struct fixture){ .port = { .udp = udp,
					       .host_address = (char *)"127.0.0.1",
					       .container_address = (char *)"127.0.0.1" } };
	fixture->server = serve(type, &fixture->port.container_port);
	fixture->port.host_port = free_port(type);
	fixture->config.ports = &fixture->port;
	fixture->config.port_count = 1;
}

static void hold(struct fixture *fixture)
{
	struct cay_error err = { 0 };

	assert_ok(ports_bind(&fixture->config, &fixture->ports, &err));
}

static void relay(struct fixture *fixture)
{
	struct cay_error err = { 0 };

	assert_int_equal(uv_loop_init(&fixture->loop), 0);
	assert_int_equal(uv_async_init(&fixture->loop, &fixture->stop, on_stop), 0);
	fixture->stop.data = fixture;
	assert_ok(ports_start(fixture->ports, &fixture->loop, &err));
	assert_int_equal(pthread_create(&fixture->thread, NULL, run_loop, fixture), 0);
}

static void start(struct fixture *fixture)
{
	hold(fixture);
	relay(fixture);
}

static void stop(struct fixture *fixture)
{
	(void)uv_async_send(&fixture->stop);
	(void)pthread_join(fixture->thread, NULL);
	assert_int_equal(uv_loop_close(&fixture->loop), 0); /* nothing is left in it */
	(void)close(fixture->server);
}

/* ---- holding ---- */

static void test_taken(void **state)
{
	struct cay_error err = { 0 };
	struct fixture f;
	struct ports *ports = NULL, *again = NULL;
	struct sandbox_port two[2];

	for (int udp = 0; udp < 2; udp++) {
		char expected[64];

		prepare(&f, udp);
		assert_ok(ports_bind(&f.config, &ports, &err));
		assert_true(ports_bind(&f.config, &again, &err) < 0);
		assert_null(again);
		assert_int_equal(err.code, CAY_EXISTS);
		(void)snprintf(expected, sizeof(expected),
			       "Bind for 127.0.0.1:%u failed: port is already allocated",
			       f.port.host_port);
		assert_string_equal(err.message, expected);
		/* One of two is taken: the other is free again. */
		two[0] = two[1] = f.port;
		two[0].host_port = free_port(udp ? SOCK_DGRAM : SOCK_STREAM);
		f.config.ports = two;
		f.config.port_count = 2;
		assert_true(ports_bind(&f.config, &again, &err) < 0);
		f.config.port_count = 1;
		assert_ok(ports_bind(&f.config, &again, &err));
		ports_close(again);
		ports_close(ports);
		f.config.port_count = 2;
		assert_ok(ports_bind(&f.config, &again, &err));
		ports_close(again);
		again = NULL;
		(void)close(f.server);
	}
}

static void test_bad_address(void **state)
{
	struct cay_error err = { 0 };
	struct fixture f;
	struct ports *ports = NULL;

	prepare(&f, false);
	f.port.host_address = (char *)"192.0.2.1"; /* nobody's */
	assert_true(ports_bind(&f.config, &ports, &err) < 0);
	assert_non_null(strstr(err.message, "Bind for 192.0.2.1:"));
	(void)close(f.server);
}

/* IPv4 and IPv6 hold the same port side by side. */
static void test_both_families(void **state)
{
	struct cay_error err = { 0 };
	struct fixture f;
	struct ports *ports = NULL;
	struct sandbox_port two[2];

	prepare(&f, true);
	two[0] = two[1] = f.port;
	two[0].host_address = (char *)"0.0.0.0";
	two[1].host_address = (char *)"::";
	f.config.ports = two;
	f.config.port_count = 2;
	for (int udp = 0; udp < 2; udp++) {
		two[0].udp = two[1].udp = udp;
		assert_ok(ports_bind(&f.config, &ports, &err));
		ports_close(ports);
	}
	(void)close(f.server);
}

/* ---- TCP ---- */

/* Sends a stream of its own and counts the other's, ends its own first. */
static void *stream_and_count(void *user)
{
	int listener = *(int *)user, fd = accept(listener, NULL, NULL);
	_cleanup_free_ char *block = xcalloc(1, 65536);
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, block, 65536)) > 0)
		got += (size_t)n;
	/* The client's end has come; ours is still open. */
	for (size_t sent = 0; sent < got; sent += 65536)
		if (write_full(fd, block, 65536) < 0)
			break;
	(void)close(fd);
	return NULL;
}

static void test_half_close(void **state)
{
	_cleanup_free_ char *block = xcalloc(1, 65536);
	struct fixture f;
	pthread_t server;
	size_t got = 0;
	ssize_t n;
	int fd;

	prepare(&f, false);
	start(&f);
	assert_int_equal(pthread_create(&server, NULL, stream_and_count, &f.server), 0);
	fd = dial(SOCK_STREAM, f.port.host_port);
	for (size_t sent = 0; sent < STREAM_SIZE; sent += 65536)
		assert_int_equal(write_full(fd, block, 65536), 0);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	while ((n = read(fd, block, 65536)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, STREAM_SIZE);
	(void)close(fd);
	(void)pthread_join(server, NULL);
	stop(&f);
}

/* A client that does not read holds the server back: no more than the buffers is on its way. */
static void test_back_pressure(void **state)
{
	_cleanup_free_ char *block = xcalloc(1, 65536);
	struct fixture f;
	size_t sent = 0;
	int client, fd;

	prepare(&f, false);
	start(&f);
	client = dial(SOCK_STREAM, f.port.host_port);
	fd = accept(f.server, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(fd_set_nonblocking(fd, true), 0);
	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLOUT };
		ssize_t n;

		if (poll(&ready, 1, 500) == 0)
			break;
		n = write(fd, block, 65536);
		sent += n > 0 ? (size_t)n : 0;
		assert_true(sent < (size_t)64 * 1024 * 1024);
	}
	(void)close(client);
	(void)close(fd);
	stop(&f);
}

/* Nobody listens in the container. */
static void expect_reset(struct fixture *f)
{
	char byte;
	int fd = dial(SOCK_STREAM, f->port.host_port);
	ssize_t n = read(fd, &byte, 1);

	assert_true(n < 0 && errno == ECONNRESET);
	(void)close(fd);
}

static void test_refused(void **state)
{
	struct fixture f;

	prepare(&f, false);
	f.port.container_port = free_port(SOCK_STREAM);
	start(&f);
	expect_reset(&f);
	stop(&f);
}

/* The container is at another address than when the ports were bound, or at none. */
static void test_lead(void **state)
{
	struct fixture f;
	struct cay_error err = { 0 };
	char byte;
	int fd, peer;

	prepare(&f, false);
	f.port.container_address = (char *)"127.0.0.9";
	hold(&f);
	assert_int_equal(ports_lead(f.ports, "127.0.0.1", "", &err), 0);
	assert_int_equal(ports_lead(f.ports, "127.0.0.1:80", "", &err), -EINVAL);
	assert_int_equal(err.code, CAY_INVALID);
	relay(&f);
	fd = dial(SOCK_STREAM, f.port.host_port);
	peer = accept(f.server, NULL, NULL);
	assert_int_equal(write(peer, "x", 1), 1);
	assert_int_equal(read(fd, &byte, 1), 1);
	(void)close(fd);
	(void)close(peer);
	stop(&f);

	prepare(&f, false);
	hold(&f);
	cay_error_clear(&err);
	assert_ok(ports_lead(f.ports, "", "", &err));
	relay(&f);
	expect_reset(&f);
	stop(&f);
}

/* Closing the ports breaks what is open. */
static void test_close(void **state)
{
	struct fixture f;
	char byte;
	int fd, peer;

	prepare(&f, false);
	start(&f);
	fd = dial(SOCK_STREAM, f.port.host_port);
	peer = accept(f.server, NULL, NULL);
	stop(&f);
	assert_true(read(fd, &byte, 1) < 0 && errno == ECONNRESET);
	(void)close(fd);
	(void)close(peer);
}

/* ---- UDP ---- */

static void test_udp(void **state)
{
	struct fixture f;
	char data[16];
	int clients[3];

	prepare(&f, true);
	start(&f);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = dial(SOCK_DGRAM, f.port.host_port);
	/* Each answer finds the one who asked, in whichever order they come. */
	for (int round = 0; round < 3; round++) {
		struct sockaddr_in from[ARRAY_SIZE(clients)];

		for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
			socklen_t length = sizeof(from[i]);
			const char digit = (char)('0' + i);

			assert_int_equal(send(clients[i], &digit, 1, 0), 1);
			assert_int_equal(recvfrom(f.server, data, sizeof(data), 0,
						  (struct sockaddr *)&from[i], &length),
					 1);
			assert_int_equal(data[0], digit);
		}
		for (size_t i = ARRAY_SIZE(clients); i-- > 0;) {
			const char answer[] = { 'a', (char)('0' + i) };

			assert_int_equal(sendto(f.server, answer, 2, 0, (struct sockaddr *)&from[i],
						sizeof(from[i])),
					 2);
			assert_int_equal(recv(clients[i], data, sizeof(data), 0), 2);
			assert_memory_equal(data, answer, 2);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		(void)close(clients[i]);
	stop(&f);
}

/* More clients than there may be sessions: the last are served, the first make room. */
static void test_udp_flood(void **state)
{
	struct fixture f;
	struct sockaddr_in from;
	socklen_t length = sizeof(from);
	char data[16];
	int fd;

	prepare(&f, true);
	start(&f);
	for (int i = 0; i < PORTS_SESSIONS_MAX + 200; i++) {
		fd = dial(SOCK_DGRAM, f.port.host_port);
		assert_int_equal(send(fd, "x", 1, 0), 1);
		assert_int_equal(recv(f.server, data, sizeof(data), 0), 1);
		(void)close(fd);
	}
	fd = dial(SOCK_DGRAM, f.port.host_port);
	assert_int_equal(send(fd, "y", 1, 0), 1);
	assert_int_equal(
		recvfrom(f.server, data, sizeof(data), 0, (struct sockaddr *)&from, &length), 1);
	assert_int_equal(sendto(f.server, "z", 1, 0, (struct sockaddr *)&from, sizeof(from)), 1);
	assert_int_equal(recv(fd, data, sizeof(data), 0), 1);
	assert_int_equal(data[0], 'z');
	(void)close(fd);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),         cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_both_families), cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_back_pressure), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lead),          cmocka_unit_test(test_close),
		cmocka_unit_test(test_udp),           cmocka_unit_test(test_udp_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
