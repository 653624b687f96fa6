/* SPDX-License-Identifier: Apache-2.0 */
/* Flow control from end to end: paused users, full queues, messages larger than the window. */
#include "test-rpc.h"

#include "rpc/rpc-internal.h"

enum { CHUNK = 50000, CHUNKS = 200 };

/* A server that sends CHUNKS chunks as fast as it may; each begins with its number. */
struct flood {
	struct rpc_call *call;
	unsigned int sent;
	size_t most_queued;
	bool begun, ended;
};

static void flood_more(struct rpc_call *call, void *user)
{
	struct flood *flood = user;
	static uint8_t data[CHUNK];
	bool room = true;

	while (room && flood->sent < CHUNKS) {
		memcpy(data, &flood->sent, sizeof(flood->sent));
		flood->sent++;
		room = rpc_call_send_raw(call, data, sizeof(data));
		flood->most_queued = MAX(flood->most_queued, rpc_call_queued(call));
	}
	if (flood->sent == CHUNKS)
		rpc_call_finish(call, NULL);
}

static void flood_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct flood *flood = user;

	flood->ended = true;
}

static void begin_flood(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_writable = flood_more,
						       .on_end = flood_end };
	struct flood *flood = user;

	flood->call = call;
	flood->begun = true;
	rpc_call_set_events(call, &events, flood);
	flood_more(call, flood);
}

static void reply(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	rpc_call_reply(call, &response.base);
}

static const struct rpc_method flood_methods[] = { { "Sync", false, begin_flood },
						   { "Version", false, reply } };

struct counted {
	unsigned int messages;
	size_t bytes;
	bool ended;
	struct cay_error status;
};

static void count_message(struct rpc_call *call, const ProtobufCMessage *message,
			  const uint8_t *data, size_t size, void *user)
{
	struct counted *counted = user;
	unsigned int number;

	assert_true(size >= sizeof(number));
	memcpy(&number, data, sizeof(number));
	assert_int_equal(number, counted->messages);
	counted->messages++;
	counted->bytes += size;
}

static void count_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct counted *counted = user;

	counted->ended = true;
	counted->status = *status;
}

static const struct rpc_call_events count_events = { .on_message = count_message,
						     .on_end = count_end };

static struct rpc_call *call_flood(struct pair *pair, struct counted *counted)
{
	struct rpc_call *call = rpc_call_new_raw(pair->client, "/cay.vminitd.v1.Vminitd/Sync", 0,
						 &count_events, counted);

	(void)rpc_call_send_raw(call, "", 0);
	rpc_call_half_close(call);
	return call;
}

static void call_version(struct pair *pair)
{
	Cay__Vminitd__V1__VersionRequest request = CAY__VMINITD__V1__VERSION_REQUEST__INIT;
	struct heard heard = { 0 };

	(void)rpc_call_new(pair->client, VMINITD, "Version", &request.base, 0, &heard_events,
			   &heard);
	run_until(pair, &heard.ended);
	assert_int_equal(heard.status.code, CAY_OK);
	heard_done(&heard);
}

static void test_paused_consumer(void **state)
{
	struct pair pair;
	struct flood flood = { 0 };
	struct counted counted = { 0 };
	struct rpc_call *call;
	unsigned int sent;

	pair_open(&pair, flood_methods, ARRAY_SIZE(flood_methods), &flood);
	call = call_flood(&pair, &counted);
	rpc_call_pause(call);
	run_until(&pair, &flood.begun);
	run_for(&pair, 50);
	assert_int_equal(counted.messages, 0);
	/* A window's worth has left, the queue is at its limit, and there it stays. */
	sent = flood.sent;
	assert_true(sent * CHUNK <= RPC_WINDOW + RPC_QUEUE_HIGH + 2 * CHUNK);
	assert_true(flood.most_queued <= RPC_QUEUE_HIGH + CHUNK + 100);
	for (unsigned int i = 0; i < 20; i++)
		call_version(&pair);
	assert_int_equal(flood.sent, sent);
	rpc_call_resume(call);
	run_until(&pair, &counted.ended);
	run_until(&pair, &flood.ended);
	assert_int_equal(counted.status.code, CAY_OK);
	assert_int_equal(counted.messages, CHUNKS);
	assert_int_equal(counted.bytes, (size_t)CHUNKS * CHUNK);
	pair_close(&pair);
}

/* Pausing after each message loses and reorders nothing, and the end waits for the last. */
static void pause_each(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
		       size_t size, void *user)
{
	count_message(call, message, data, size, user);
	rpc_call_pause(call);
}

static void test_stop_and_go(void **state)
{
	static const struct rpc_call_events events = { .on_message = pause_each,
						       .on_end = count_end };
	struct pair pair;
	struct flood flood = { 0 };
	struct counted counted = { 0 };
	struct rpc_call *call;
	unsigned int before;
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	pair_open(&pair, flood_methods, ARRAY_SIZE(flood_methods), &flood);
	call = rpc_call_new_raw(pair.client, "/cay.vminitd.v1.Vminitd/Sync", 0, &events, &counted);
	(void)rpc_call_send_raw(call, "", 0);
	while (!counted.ended) {
		assert_true(clock_monotonic_ms() < end);
		before = counted.messages;
		rpc_call_resume(call);
		(void)uv_run(&pair.loop, UV_RUN_NOWAIT);
		assert_true(counted.messages <= before + 1);
	}
	assert_int_equal(counted.messages, CHUNKS);
	assert_int_equal(counted.status.code, CAY_OK);
	pair_close(&pair);
}

/* Two floods share the connection, and the later one does not wait for the other's end. */
static void begin_next_flood(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct flood *flood = user;

	begin_flood(call, request, flood[0].begun ? &flood[1] : &flood[0]);
}

static void test_fair_shares(void **state)
{
	const struct rpc_method methods[] = { { "Sync", false, begin_next_flood } };
	struct pair pair;
	struct flood floods[2] = { 0 };
	struct counted first = { 0 }, second = { 0 };

	pair_open(&pair, methods, 1, floods);
	(void)call_flood(&pair, &first);
	run_until(&pair, &floods[0].begun);
	(void)call_flood(&pair, &second);
	run_until(&pair, &first.ended);
	assert_true(second.messages > CHUNKS / 2);
	run_until(&pair, &second.ended);
	assert_int_equal(first.messages, CHUNKS);
	assert_int_equal(second.messages, CHUNKS);
	pair_close(&pair);
}

/* ---- messages near and over the window ---- */

static void run_until_bytes(struct pair *pair, const struct counted *counted, size_t bytes)
{
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	while (counted->bytes < bytes) {
		assert_true(clock_monotonic_ms() < end);
		assert_false(counted->ended);
		(void)uv_run(&pair->loop, UV_RUN_NOWAIT);
	}
}

static void fallback_counted(struct rpc_call *call, const char *path, void *user)
{
	rpc_call_set_events(call, &count_events, user);
}

/* A raw server: what comes is counted in `counted`, with its types unknown. */
static void raw_pair_open(struct pair *pair,
			  void (*fallback)(struct rpc_call *call, const char *path, void *user),
			  struct counted *counted)
{
	struct rpc_conn_options options = { .on_close = on_pair_close, .user = pair };
	struct cay_error err = { 0 };
	int fds[2];

	*pair = (struct pair){ 0 };
	assert_int_equal(uv_loop_init(&pair->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_ok(rpc_conn_new(&pair->loop, fds[0], &options, NULL, 0, &pair->client, &err));
	options =
		(struct rpc_conn_options){ .server = true, .fallback = fallback, .user = counted };
	assert_ok(rpc_conn_new(&pair->loop, fds[1], &options, NULL, 0, &pair->server, &err));
}

static void raw_pair_close(struct pair *pair)
{
	rpc_conn_close(pair->client);
	(void)uv_run(&pair->loop, UV_RUN_DEFAULT);
	assert_null(pair->client);
	assert_int_equal(uv_loop_close(&pair->loop), 0);
}

static void test_sizes_around_the_window(void **state)
{
	static const size_t sizes[] = {
		RPC_WINDOW / 2 - 6,
		RPC_WINDOW / 2 - 5,
		RPC_WINDOW / 2 - 4,
		RPC_WINDOW / 2,
		RPC_WINDOW - 6,
		RPC_WINDOW - 5,
		RPC_WINDOW - 4,
		RPC_WINDOW,
		RPC_WINDOW + 1,
		2 * RPC_WINDOW + 3,
		10,
		RPC_WINDOW / 2 - 7,
	};
	_cleanup_free_ uint8_t *data = xcalloc(1, 3 * RPC_WINDOW);
	struct pair pair;
	struct counted counted = { 0 };
	struct heard heard = { 0 };
	struct rpc_call *call;
	unsigned int number = 0;
	size_t total = 0;

	raw_pair_open(&pair, fallback_counted, &counted);
	call = rpc_call_new_raw(pair.client, "/x/y", 0, &heard_events, &heard);
	/* One after the other and several at once, so that windows are partly used. */
	for (unsigned int round = 0; round < 3 * ARRAY_SIZE(sizes); round++) {
		for (unsigned int i = 0; i <= round % 3; i++) {
			size_t size = sizes[(round * 5 + i) % ARRAY_SIZE(sizes)];

			memcpy(data, &number, sizeof(number));
			number++;
			(void)rpc_call_send_raw(call, data, size);
			total += size;
		}
		run_until_bytes(&pair, &counted, total);
	}
	assert_int_equal(counted.messages, number);
	raw_pair_close(&pair);
}

/* More large messages at once than there is room for: they take turns, and all arrive. */
static void sum_message(struct rpc_call *call, const ProtobufCMessage *message, const uint8_t *data,
			size_t size, void *user)
{
	struct counted *counted = user;

	counted->messages++;
	counted->bytes += size;
	assert_int_equal(data[0] ^ data[size - 1], 0xff);
}

static void fallback_sum(struct rpc_call *call, const char *path, void *user)
{
	static const struct rpc_call_events events = { .on_message = sum_message };

	rpc_call_set_events(call, &events, user);
}

static void test_many_large_messages(void **state)
{
	enum { COUNT = 12 };
	_cleanup_free_ uint8_t *data = xcalloc(1, RPC_MESSAGE_MAX);
	struct pair pair;
	struct counted counted = { 0 };
	struct heard heard[COUNT] = { 0 };
	size_t most = 0;
	int64_t end = clock_monotonic_ms() + PATIENCE_MS;

	data[0] = 0x5a;
	data[RPC_MESSAGE_MAX - 1] = 0xa5;
	raw_pair_open(&pair, fallback_sum, &counted);
	for (unsigned int i = 0; i < COUNT; i++) {
		struct rpc_call *call =
			rpc_call_new_raw(pair.client, "/x/y", 0, &heard_events, &heard[i]);

		(void)rpc_call_send_raw(call, data, RPC_MESSAGE_MAX);
	}
	while (counted.messages < COUNT) {
		assert_true(clock_monotonic_ms() < end);
		(void)uv_run(&pair.loop, UV_RUN_NOWAIT);
		most = MAX(most, pair.server->large);
	}
	assert_true(most > RPC_MESSAGE_MAX && most <= 4 * RPC_MESSAGE_MAX);
	assert_int_equal(pair.server->large, 0);
	assert_int_equal(counted.bytes, (size_t)COUNT * RPC_MESSAGE_MAX);
	raw_pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paused_consumer),
		cmocka_unit_test(test_stop_and_go),
		cmocka_unit_test(test_fair_shares),
		cmocka_unit_test(test_sizes_around_the_window),
		cmocka_unit_test(test_many_large_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
