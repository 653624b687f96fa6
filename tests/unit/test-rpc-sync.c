/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls from several threads to a server on a unix socket, and the socket itself. */
#include "test-rpc.h"

#include "rpc/sync.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/un.h>

/* ---- the server, on a thread of its own ---- */

struct server {
	char directory[64];
	char path[512];
	uv_loop_t loop;
	uv_async_t stop;
	struct rpc_listener *listener;
	struct rpc_service service;
	pthread_t thread;
	pthread_barrier_t ready;
	unsigned int cancelled;
};

static void version(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__VersionResponse response = CAY__VMINITD__V1__VERSION_RESPONSE__INIT;

	response.memory_bytes = 42;
	rpc_call_reply(call, &response.base);
}

static void fail_call(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	struct cay_error status = { .code = CAY_NO_COMMAND, .err = ENOENT, .message = "no sh" };

	rpc_call_finish(call, &status);
}

static void count_end(struct rpc_call *call, const struct cay_error *status, void *user)
{
	struct server *server = user;

	if (status->code == CAY_CANCELLED)
		server->cancelled++;
}

static void wait_process(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	static const struct rpc_call_events events = { .on_end = count_end };

	rpc_call_set_events(call, &events, user);
}

static void send_number(struct rpc_call *call, int64_t number)
{
	Cay__Vminitd__V1__Event event = CAY__VMINITD__V1__EVENT__INIT;

	event.time_ns = number;
	(void)rpc_call_send(call, &event.base);
}

/* Three events, and then no end. */
static void events(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	wait_process(call, request, user);
	for (int64_t i = 1; i <= 3; i++)
		send_number(call, i);
}

static void kernel_log(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	Cay__Vminitd__V1__KernelLogResponse response = CAY__VMINITD__V1__KERNEL_LOG_RESPONSE__INIT;

	for (unsigned int i = 0; i < 5; i++)
		(void)rpc_call_send(call, &response.base);
	rpc_call_finish(call, NULL);
}

static void hang_up(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	rpc_conn_close(rpc_call_conn(call));
}

static void two_answers(struct rpc_call *call, const ProtobufCMessage *request, void *user)
{
	(void)rpc_call_send_raw(call, "", 0);
	(void)rpc_call_send_raw(call, "", 0);
	rpc_call_finish(call, NULL);
}

static const struct rpc_method methods[] = {
	{ "Version", false, version },          { "DeleteContainer", false, fail_call },
	{ "WaitProcess", false, wait_process }, { "Events", false, events },
	{ "KernelLog", false, kernel_log },     { "Shutdown", false, hang_up },
	{ "Sync", false, two_answers },
};

static void on_stop(uv_async_t *async)
{
	struct server *server = async->data;

	rpc_listener_close(server->listener);
	uv_close((uv_handle_t *)async, NULL);
}

static void *serve_thread(void *data)
{
	struct server *server = data;
	struct rpc_conn_options options = { .server = true,
					    .services = &server->service,
					    .service_count = 1 };
	struct cay_error err = { 0 };

	server->service = (struct rpc_service){ VMINITD, methods, ARRAY_SIZE(methods), server };
	if (uv_loop_init(&server->loop) < 0 ||
	    uv_async_init(&server->loop, &server->stop, on_stop) < 0)
		abort();
	server->stop.data = server;
	if (rpc_listener_new(&server->loop, server->path, &options, &server->listener, &err) < 0)
		abort();
	(void)pthread_barrier_wait(&server->ready);
	(void)uv_run(&server->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&server->loop) < 0)
		abort();
	return NULL;
}

static void server_start(struct server *server, const char *name)
{
	memset(server, 0, sizeof(*server));
	make_test_directory(server->directory);
	(void)snprintf(server->path, sizeof(server->path), "%s/%s", server->directory, name);
	assert_int_equal(pthread_barrier_init(&server->ready, NULL, 2), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve_thread, server), 0);
	(void)pthread_barrier_wait(&server->ready);
}

static void server_stop(struct server *server)
{
	struct cay_error err = { 0 };

	assert_int_equal(uv_async_send(&server->stop), 0);
	assert_int_equal(pthread_join(server->thread, NULL), 0);
	assert_false(file_exists(server->path));
	(void)pthread_barrier_destroy(&server->ready);
	assert_ok(remove_tree(server->directory, &err));
}

/* ---- calls ---- */

static const Cay__Vminitd__V1__VersionRequest version_request =
	CAY__VMINITD__V1__VERSION_REQUEST__INIT;
static const Cay__Vminitd__V1__WaitProcessRequest wait_request =
	CAY__VMINITD__V1__WAIT_PROCESS_REQUEST__INIT;
static const Cay__Vminitd__V1__EventsRequest events_request =
	CAY__VMINITD__V1__EVENTS_REQUEST__INIT;

static void check_version(struct rpc_client *client)
{
	struct cay_error err = { 0 };
	ProtobufCMessage *response = NULL;

	assert_ok(rpc_client_call(client, VMINITD, "Version", &version_request.base, 5000,
				  &response, &err));
	assert_int_equal(((Cay__Vminitd__V1__VersionResponse *)response)->memory_bytes, 42);
	protobuf_c_message_free_unpacked(response, NULL);
}

static void test_calls(void **state)
{
	static const Cay__Vminitd__V1__DeleteContainerRequest delete_request =
		CAY__VMINITD__V1__DELETE_CONTAINER_REQUEST__INIT;
	static const Cay__Vminitd__V1__SyncRequest sync_request =
		CAY__VMINITD__V1__SYNC_REQUEST__INIT;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	struct cay_error err = { 0 };
	ProtobufCMessage *response = NULL;
	struct server server;
	int64_t began;

	server_start(&server, "s");
	assert_ok(rpc_client_new(server.path, &client, &err));
	for (unsigned int i = 0; i < 10; i++)
		check_version(client);
	assert_ok(
		rpc_client_call(client, VMINITD, "Version", &version_request.base, 0, NULL, &err));
	assert_true(rpc_client_call(client, VMINITD, "DeleteContainer", &delete_request.base, 5000,
				    &response, &err) < 0);
	assert_int_equal(err.code, CAY_NO_COMMAND);
	assert_string_equal(err.message, "no sh");
	assert_true(rpc_client_call(client, VMINITD, "Sync", &sync_request.base, 5000, &response,
				    &err) < 0);
	assert_int_equal(err.code, CAY_CORRUPT);
	assert_null(response);

	began = clock_monotonic_ms();
	assert_true(rpc_client_call(client, VMINITD, "WaitProcess", &wait_request.base, 50,
				    &response, &err) < 0);
	assert_int_equal(err.code, CAY_TIMEOUT);
	assert_true(clock_monotonic_ms() - began >= 50);
	check_version(client);
	rpc_client_free(TAKE_PTR(client));
	server_stop(&server);
}

static bool count_each(const ProtobufCMessage *response, void *user)
{
	unsigned int *count = user;

	assert_non_null(response);
	return ++*count != 3;
}

/* The first response makes the interrupt's descriptor readable. */
static bool write_to(const ProtobufCMessage *response, void *user)
{
	return write(*(int *)user, "x", 1) == 1;
}

static void test_streams(void **state)
{
	static const Cay__Vminitd__V1__KernelLogRequest log_request =
		CAY__VMINITD__V1__KERNEL_LOG_REQUEST__INIT;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	struct cay_error err = { 0 };
	struct server server;
	unsigned int count = 10;
	int fds[2];

	server_start(&server, "s");
	assert_ok(rpc_client_new(server.path, &client, &err));
	assert_ok(rpc_client_stream(client, VMINITD, "KernelLog", &log_request.base, -1, count_each,
				    &count, &err));
	assert_int_equal(count, 15);
	/* `each` ends it. */
	count = 0;
	assert_ok(rpc_client_stream(client, VMINITD, "Events", &events_request.base, -1, count_each,
				    &count, &err));
	assert_int_equal(count, 3);
	/* So does the interrupt, whose descriptor stays as it was. */
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(rpc_client_stream(client, VMINITD, "Events", &events_request.base, fds[0],
					   write_to, &fds[1], &err),
			 -ECANCELED);
	assert_int_equal(err.code, CAY_CANCELLED);
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
	check_version(client);
	rpc_client_free(TAKE_PTR(client));
	server_stop(&server);
	assert_int_equal(server.cancelled, 2);
}

static void test_stream_taken_one_by_one(void **state)
{
	static const Cay__Vminitd__V1__KernelLogRequest log_request =
		CAY__VMINITD__V1__KERNEL_LOG_REQUEST__INIT;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	struct rpc_stream *stream = NULL;
	const ProtobufCMessage *response;
	struct cay_error err = { 0 };
	struct server server;

	server_start(&server, "s");
	assert_ok(rpc_client_new(server.path, &client, &err));
	assert_ok(rpc_stream_open(client, VMINITD, "KernelLog", &log_request.base, -1, &stream,
				  &err));
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(rpc_stream_next(stream, &response, &err), 1);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(rpc_stream_next(stream, &response, &err), 0);
	rpc_stream_close(stream);
	/* One that is left in its middle ends at the server. */
	assert_ok(rpc_stream_open(client, VMINITD, "Events", &events_request.base, -1, &stream,
				  &err));
	assert_int_equal(rpc_stream_next(stream, &response, &err), 1);
	rpc_stream_close(stream);
	check_version(client);
	rpc_client_free(TAKE_PTR(client));
	server_stop(&server);
	assert_int_equal(server.cancelled, 1);
}

static void test_connection_lost(void **state)
{
	static const Cay__Vminitd__V1__ShutdownRequest shutdown_request =
		CAY__VMINITD__V1__SHUTDOWN_REQUEST__INIT;
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	struct cay_error err = { 0 };
	struct server server;

	server_start(&server, "s");
	assert_ok(rpc_client_new(server.path, &client, &err));
	assert_true(rpc_client_call(client, VMINITD, "Shutdown", &shutdown_request.base, 5000, NULL,
				    &err) < 0);
	assert_int_equal(err.code, CAY_UNAVAILABLE);
	for (unsigned int i = 0; i < 2; i++) {
		cay_error_clear(&err);
		assert_true(rpc_client_call(client, VMINITD, "Version", &version_request.base, 5000,
					    NULL, &err) < 0);
		assert_int_equal(err.code, CAY_UNAVAILABLE);
		assert_true(err.message[0]);
	}
	rpc_client_free(TAKE_PTR(client));
	server_stop(&server);
}

static void *call_many(void *data)
{
	struct server *server = data;

	for (unsigned int i = 0; i < 10; i++) {
		_cleanup_rpc_client_ struct rpc_client *client = NULL;
		struct cay_error err = { 0 };

		if (rpc_client_new(server->path, &client, &err) < 0)
			return (void *)"no connection";
		for (unsigned int j = 0; j < 20; j++)
			if (rpc_client_call(client, VMINITD, "Version", &version_request.base,
					    20000, NULL, &err) < 0)
				return (void *)"no answer";
	}
	return NULL;
}

static void test_threads(void **state)
{
	enum { THREADS = 8 };
	pthread_t threads[THREADS];
	struct server server;

	server_start(&server, "s");
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_many, &server), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		void *fault;

		assert_int_equal(pthread_join(threads[i], &fault), 0);
		assert_null(fault);
	}
	server_stop(&server);
}

/* ---- the socket ---- */

static void test_no_server(void **state)
{
	struct rpc_client *client = NULL;
	struct cay_error err = { 0 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char directory[64];
	int fd;

	make_test_directory(directory);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
	assert_true(rpc_client_new(address.sun_path, &client, &err) < 0);
	assert_int_equal(err.code, CAY_UNAVAILABLE);
	/* A socket file whose server is gone. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)close(fd);
	cay_error_clear(&err);
	assert_true(rpc_client_new(address.sun_path, &client, &err) < 0);
	assert_int_equal(err.code, CAY_UNAVAILABLE);
	assert_null(client);
	assert_ok(remove_tree(directory, &err));
}

static void test_socket_file(void **state)
{
	const struct rpc_conn_options options = { .server = true };
	struct rpc_listener *first = NULL, *second = NULL;
	struct cay_error err = { 0 };
	char directory[64], path[96];
	struct stat st;
	uv_loop_t loop;

	make_test_directory(directory);
	(void)snprintf(path, sizeof(path), "%s/s", directory);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_ok(rpc_listener_new(&loop, path, &options, &first, &err));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* A second takes the place, which the first then leaves alone. */
	assert_ok(rpc_listener_new(&loop, path, &options, &second, &err));
	rpc_listener_close(first);
	assert_true(file_exists(path));
	rpc_listener_close(second);
	assert_false(file_exists(path));
	rpc_listener_close(NULL);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	/* What is no socket stays. */
	assert_ok(file_write_volatile(path, "text", 4, 0600, &err));
	assert_true(rpc_listener_new(&loop, path, &options, &first, &err) < 0);
	assert_int_equal(err.code, CAY_EXISTS);
	assert_true(file_exists(path));
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_ok(remove_tree(directory, &err));
}

/* A path longer than a socket address holds. */
static void test_long_path(void **state)
{
	_cleanup_rpc_client_ struct rpc_client *client = NULL;
	char name[128], path[512], directory[64];
	const struct rpc_conn_options options = { .server = true };
	struct rpc_listener *listener = NULL;
	struct cay_error err = { 0 };
	uv_loop_t loop;

	make_test_directory(directory);
	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_ok(make_dirs(path, 0700, &err));
	(void)snprintf(path, sizeof(path), "%s/%s/shim.sock", directory, name);
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_ok(rpc_listener_new(&loop, path, &options, &listener, &err));
	assert_ok(rpc_client_new(path, &client, &err));
	rpc_client_free(TAKE_PTR(client));
	rpc_listener_close(listener);
	assert_false(file_exists(path));
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_ok(remove_tree(directory, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_stream_taken_one_by_one),
		cmocka_unit_test(test_connection_lost),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_no_server),
		cmocka_unit_test(test_socket_file),
		cmocka_unit_test(test_long_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
