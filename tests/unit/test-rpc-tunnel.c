/* SPDX-License-Identifier: Apache-2.0 */
/* Two tunnels end to end: bytes, half-closes, slow and vanished peers, hostile messages. */
#include "test-rpc.h"

#include "rpc/tunnel.h"

#include <fcntl.h>
#include <poll.h>

/* The two programs are `near` (the client's side) and `far` (the server's). */
struct bridge {
	struct pair pair;
	int near, far;
	int far_tunnel_fd; /* until the server's tunnel has it */
	struct rpc_call *call;
	struct rpc_tunnel *near_tunnel, *far_tunnel;
	unsigned int near_ended, far_ended;
	bool both_ended;
};

static void note_ended(struct bridge *bridge)
{
	bridge->both_ended = bridge->near_ended == 1 && bridge->far_ended == 1;
}

static void near_ended(struct rpc_tunnel *tunnel, const struct cay_error *status, void *user)
{
	struct bridge *bridge = user;

	bridge->near_ended++;
	bridge->near_tunnel = NULL;
	note_ended(bridge);
}

static void far_ended(struct rpc_tunnel *tunnel, const struct cay_error *status, void *user)
{
	struct bridge *bridge = user;

	bridge->far_ended++;
	bridge->far_tunnel = NULL;
	note_ended(bridge);
}

static void begin_relay(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct bridge *bridge = user;

	assert_int_equal(rpc_tunnel_new(&bridge->pair.loop, TAKE_FD(bridge->far_tunnel_fd), call,
					true, false, far_ended, bridge, &bridge->far_tunnel),
			 0);
}

static const struct rpc_method methods[] = { { "RelaySocket", true, begin_relay } };

static void make_sockets(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			 0);
}

/* With the client's end a tunnel, or left to the test as a bare call. */
static void bridge_open(struct bridge *bridge, bool tunnel, struct heard *heard)
{
	static const struct rpc_call_events no_events = { 0 };
	int near[2], far[2];

	*bridge = (struct bridge){ 0 };
	make_sockets(near);
	make_sockets(far);
	bridge->near = near[0];
	bridge->far = far[0];
	bridge->far_tunnel_fd = far[1];
	pair_open(&bridge->pair, methods, ARRAY_SIZE(methods), bridge);
	bridge->call = rpc_call_new(bridge->pair.client, VMINITD, "RelaySocket", NULL, 0,
				    heard ? &heard_events : &no_events, heard);
	if (tunnel) {
		assert_int_equal(rpc_tunnel_new(&bridge->pair.loop, near[1], bridge->call, false,
						false, near_ended, bridge, &bridge->near_tunnel),
				 0);
	} else {
		close(near[1]);
		bridge->near_ended = 1;
	}
}

static void bridge_close(struct bridge *bridge)
{
	cay_close_p(&bridge->near);
	cay_close_p(&bridge->far);
	run_until(&bridge->pair, &bridge->both_ended);
	pair_close(&bridge->pair);
}

/* Runs the loop until the descriptor can be read; the bytes, or 0 at its end. */
static ssize_t receive(struct bridge *bridge, int fd, void *data, size_t size)
{
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;
	ssize_t n;

	while ((n = recv(fd, data, size, 0)) < 0 && errno == EAGAIN) {
		assert_true(clock_monotonic_ms() < end);
		(void)uv_run(&bridge->pair.loop, UV_RUN_NOWAIT);
	}
	return n;
}

static void expect_text(struct bridge *bridge, int fd, const char *text)
{
	char data[64];
	ssize_t n = receive(bridge, fd, data, sizeof(data));

	assert_int_equal(n, strlen(text));
	assert_memory_equal(data, text, strlen(text));
}

static void expect_end(struct bridge *bridge, int fd)
{
	char byte;

	assert_int_equal(receive(bridge, fd, &byte, 1), 0);
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Waits until a write fails as on a socket whose peer is gone. */
static void expect_broken(struct bridge *bridge, int fd)
{
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	while (send(fd, "x", 1, MSG_NOSIGNAL) >= 0 || errno == EAGAIN) {
		assert_true(clock_monotonic_ms() < end);
		(void)uv_run(&bridge->pair.loop, UV_RUN_NOWAIT);
	}
	assert_true(errno == EPIPE || errno == ECONNRESET);
}

static void test_half_closes(void **state)
{
	struct bridge bridge;

	for (int first = 0; first < 2; first++) {
		int from, to;

		bridge_open(&bridge, true, NULL);
		from = first ? bridge.far : bridge.near;
		to = first ? bridge.near : bridge.far;
		put(from, "question");
		shutdown(from, SHUT_WR);
		expect_text(&bridge, to, "question");
		expect_end(&bridge, to);
		put(to, "answer");
		expect_text(&bridge, from, "answer");
		put(to, "more");
		shutdown(to, SHUT_WR);
		expect_text(&bridge, from, "more");
		expect_end(&bridge, from);
		run_until(&bridge.pair, &bridge.both_ended);
		bridge_close(&bridge);
	}
}

/* What was said before the end arrives, and then both directions have ended. */
static void test_vanished_peer(void **state)
{
	struct bridge bridge;

	for (int first = 0; first < 2; first++) {
		int to;

		bridge_open(&bridge, true, NULL);
		to = first ? bridge.near : bridge.far;
		put(first ? bridge.far : bridge.near, "last words");
		cay_close_p(first ? &bridge.far : &bridge.near);
		*(first ? &bridge.far : &bridge.near) = -1;
		expect_text(&bridge, to, "last words");
		expect_end(&bridge, to);
		expect_broken(&bridge, to);
		run_until(&bridge.pair, &bridge.both_ended);
		bridge_close(&bridge);
	}
}

/* One that has half-closed and dies while the other still thinks is noticed without a write. */
static void test_vanished_after_half_close(void **state)
{
	struct bridge bridge;

	for (int first = 0; first < 2; first++) {
		int *from, to;
		struct pollfd now;
		int64_t end = clock_monotonic_ms() + PATIENCE_MS;

		bridge_open(&bridge, true, NULL);
		from = first ? &bridge.far : &bridge.near;
		to = first ? bridge.near : bridge.far;
		shutdown(*from, SHUT_WR);
		expect_end(&bridge, to);
		now = (struct pollfd){ .fd = to };
		run_for(&bridge.pair, 20);
		assert_int_equal(poll(&now, 1, 0), 0);
		cay_close_p(from);
		*from = -1;
		while (poll(&now, 1, 0) == 0) {
			assert_true(clock_monotonic_ms() < end);
			(void)uv_run(&bridge.pair.loop, UV_RUN_NOWAIT);
		}
		assert_true(now.revents & POLLHUP);
		bridge_close(&bridge);
	}
}

/* Fills one way until nothing more is taken: what is under way is bounded, and arrives whole. */
static void test_slow_reader(void **state)
{
	enum { MOST = 4 * 1024 * 1024 };
	struct bridge bridge;
	static uint8_t data[100 * 1000];

	for (int first = 0; first < 2; first++) {
		int64_t quiet_since;
		size_t sent = 0, received = 0;
		int from, to;

		bridge_open(&bridge, true, NULL);
		from = first ? bridge.far : bridge.near;
		to = first ? bridge.near : bridge.far;
		quiet_since = clock_monotonic_ms();
		while (clock_monotonic_ms() < quiet_since + 200) {
			ssize_t n;

			for (size_t i = 0; i < sizeof(data); i++)
				data[i] = (uint8_t)((sent + i) % 251);
			n = send(from, data, sizeof(data), MSG_NOSIGNAL);
			if (n > 0) {
				sent += (size_t)n;
				quiet_since = clock_monotonic_ms();
				assert_true(sent < MOST);
			}
			(void)uv_run(&bridge.pair.loop, UV_RUN_NOWAIT);
		}
		/* The other way is not held up by this one. */
		put(to, "hello");
		expect_text(&bridge, from, "hello");
		shutdown(from, SHUT_WR);
		for (;;) {
			ssize_t n = receive(&bridge, to, data, sizeof(data));

			assert_true(n >= 0);
			if (n == 0)
				break;
			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(data[i], (received + (size_t)i) % 251);
			received += (size_t)n;
		}
		assert_int_equal(received, sent);
		bridge_close(&bridge);
	}
}

/* A writer that dies leaves what it wrote to a reader that is slow. */
static void test_end_behind_slow_reader(void **state)
{
	static uint8_t data[64 * 1024];
	struct bridge bridge;
	size_t sent = 0, received = 0;
	ssize_t n;

	bridge_open(&bridge, true, NULL);
	for (int i = 0; i < 2000; i++) {
		n = send(bridge.near, data, sizeof(data), MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		(void)uv_run(&bridge.pair.loop, UV_RUN_NOWAIT);
	}
	cay_close_p(&bridge.near);
	bridge.near = -1;
	while ((n = receive(&bridge, bridge.far, data, sizeof(data))) > 0)
		received += (size_t)n;
	assert_int_equal(received, sent);
	run_until(&bridge.pair, &bridge.both_ended);
	bridge_close(&bridge);
}

/* A client that leaves before anything was said gives the call up: here it was not even sent. */
static void test_left_without_a_word(void **state)
{
	struct bridge bridge;

	bridge_open(&bridge, true, NULL);
	cay_close_p(&bridge.near);
	bridge.near = -1;
	bridge.far_ended = 1; /* it never begins */
	run_until(&bridge.pair, &bridge.both_ended);
	assert_true(bridge.far_tunnel_fd >= 0);
	close(bridge.far_tunnel_fd);
	bridge_close(&bridge);
}

/* Both write and neither reads; when one dies, the other's writes fail before it reads anything. */
static void test_vanished_behind_full_queue(void **state)
{
	static uint8_t data[64 * 1024];

	for (int first = 0; first < 2; first++) {
		struct bridge bridge;
		int *from, to;

		bridge_open(&bridge, true, NULL);
		from = first ? &bridge.far : &bridge.near;
		to = first ? bridge.near : bridge.far;
		for (int i = 0; i < 2000; i++) {
			(void)send(*from, data, sizeof(data), MSG_NOSIGNAL);
			(void)uv_run(&bridge.pair.loop, UV_RUN_NOWAIT);
		}
		cay_close_p(from);
		*from = -1;
		expect_broken(&bridge, to);
		bridge_close(&bridge);
	}
}

/* As it is on a socket of its own: what was written before the end can be read, writing fails. */
static void test_end_while_writing(void **state)
{
	static uint8_t data[64 * 1024];

	for (int first = 0; first < 2; first++) {
		struct bridge bridge;
		size_t sent = 0, received = 0;
		ssize_t n;
		int *from, to;

		bridge_open(&bridge, true, NULL);
		from = first ? &bridge.far : &bridge.near;
		to = first ? bridge.near : bridge.far;
		for (int i = 0; i < 2; i++) {
			n = send(*from, data, sizeof(data), MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
			run_for(&bridge.pair, 5);
		}
		cay_close_p(from);
		*from = -1;
		expect_broken(&bridge, to);
		while ((n = receive(&bridge, to, data, sizeof(data))) > 0)
			received += (size_t)n;
		assert_int_equal(received, sent);
		bridge_close(&bridge);
	}
}

static void test_break(void **state)
{
	struct bridge bridge;
	char byte;

	bridge_open(&bridge, true, NULL);
	put(bridge.near, "some");
	expect_text(&bridge, bridge.far, "some");
	rpc_tunnel_break(bridge.near_tunnel);
	run_until(&bridge.pair, &bridge.both_ended);
	assert_true(receive(&bridge, bridge.near, &byte, 1) <= 0);
	assert_true(receive(&bridge, bridge.far, &byte, 1) <= 0);
	bridge_close(&bridge);
}

static void test_lost_connection(void **state)
{
	struct bridge bridge;

	bridge_open(&bridge, true, NULL);
	put(bridge.near, "some");
	expect_text(&bridge, bridge.far, "some");
	rpc_conn_close(bridge.pair.client);
	expect_end(&bridge, bridge.near);
	expect_end(&bridge, bridge.far);
	bridge_close(&bridge);
}

static void test_refused(void **state)
{
	struct bridge bridge;
	struct heard heard = { 0 };

	bridge_open(&bridge, false, &heard);
	rpc_tunnel_refuse(bridge.call);
	expect_end(&bridge, bridge.far);
	run_until(&bridge.pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	bridge_close(&bridge);
	heard_done(&heard);
}

static void test_client_half_close(void **state)
{
	struct bridge bridge;
	struct heard heard = { 0 };

	bridge_open(&bridge, false, &heard);
	rpc_call_half_close(bridge.call);
	expect_end(&bridge, bridge.far);
	shutdown(bridge.far, SHUT_WR);
	run_until(&bridge.pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	bridge_close(&bridge);
	heard_done(&heard);
}

/* Messages over the agreed size would be memory that nobody has agreed to. */
static void test_large_message(void **state)
{
	Cay__Vminitd__V1__SocketData message = CAY__VMINITD__V1__SOCKET_DATA__INIT;
	static uint8_t data[RPC_TUNNEL_DATA_MAX + 1];
	struct bridge bridge;
	struct heard heard = { 0 };

	bridge_open(&bridge, false, &heard);
	message.data = (ProtobufCBinaryData){ sizeof(data), data };
	(void)rpc_call_send(bridge.call, &message.base);
	run_until(&bridge.pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_CANCELLED);
	bridge_close(&bridge);
	heard_done(&heard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_closes),
		cmocka_unit_test(test_vanished_peer),
		cmocka_unit_test(test_vanished_after_half_close),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_end_behind_slow_reader),
		cmocka_unit_test(test_left_without_a_word),
		cmocka_unit_test(test_vanished_behind_full_queue),
		cmocka_unit_test(test_end_while_writing),
		cmocka_unit_test(test_break),
		cmocka_unit_test(test_lost_connection),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_client_half_close),
		cmocka_unit_test(test_large_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
