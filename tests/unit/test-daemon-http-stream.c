/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP server: streams, hijacked connections, uploads, deadlines, and that
 * clients who vanish leave nothing behind.
 */
#include "http-client.h"

#include <dirent.h>
#include <pthread.h>

/* What handlers leave for the tests. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int waiting, gone; /* in wait_gone() */
	int stream_result;
	size_t stream_bytes;
	bool stream_ended;
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* ---- handlers ---- */

/* Writes until its client is no longer there. */
static int get_endless(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	static const char block[64 * 1024];
	int r = http_stream_begin(request, 200, "application/octet-stream");
	size_t bytes = 0;

	while (r == 0) {
		r = http_stream_write(request, block, sizeof(block));
		bytes += r == 0 ? sizeof(block) : 0;
	}
	pthread_mutex_lock(&seen.lock);
	seen.stream_result = r;
	seen.stream_bytes = bytes;
	seen.stream_ended = true;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
	return 0;
}

static void count_waiting(bool gone)
{
	pthread_mutex_lock(&seen.lock);
	seen.waiting += !gone;
	seen.gone += gone;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static int get_wait(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	struct pollfd gone = { .fd = http_request_gone_fd(request), .events = POLLIN };
	struct cay_error stopped;
	bool was_gone = http_request_gone(request);

	count_waiting(false);
	if (!was_gone && poll(&gone, 1, CLIENT_MS) > 0 && http_request_gone(request))
		count_waiting(true);
	return cay_error_set(err ? err : &stopped, CAY_CANCELLED, ECANCELED, "gone");
}

/* Waits for whoever comes first: the end of the client's input, or the client's own. */
static int post_hold(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_buf_ struct buf extra = {};
	struct pollfd gone;
	int socket, r;

	r = http_hijack(request, "application/vnd.docker.multiplexed-stream", &socket, &extra, err);
	if (r < 0)
		return r;
	gone = (struct pollfd){ .fd = http_request_gone_fd(request), .events = POLLIN };
	count_waiting(false);
	if (poll(&gone, 1, CLIENT_MS) > 0)
		count_waiting(true);
	return 0;
}

static int post_upload(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	json_t *object = json_object();
	uint64_t total = 0, sum = 0;
	unsigned char data[8192];
	int fd;

	assert_int_equal(http_body_fd(request, &fd, err), 0);
	for (;;) {
		ssize_t n = read(fd, data, sizeof(data));

		if (n <= 0)
			break;
		if (total == 0)
			count_waiting(false);
		total += (uint64_t)n;
		for (ssize_t i = 0; i < n; i++)
			sum += data[i];
	}
	if (http_request_gone(request))
		count_waiting(true);
	json_set_int(object, "total", (int64_t)total);
	json_set_int(object, "sum", (int64_t)sum);
	return http_reply_json(request, 200, object);
}

static int post_refuse(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "not an archive");
}

static const struct http_route routes[] = {
	{ "GET", "/_ping", get_ping },
	{ "GET", "/stream", get_stream },
	{ "GET", "/endless", get_endless },
	{ "GET", "/wait", get_wait },
	{ "POST", "/attach", post_attach },
	{ "POST", "/hold", post_hold },
	{ "POST", "/upload", post_upload, .raw_body = true },
	{ "POST", "/refuse", post_refuse, .raw_body = true },
	{},
};
static const struct http_route *const tables[] = { routes };

/* ---- tests ---- */

static unsigned int count_entries(const char *path)
{
	DIR *directory = opendir(path);
	unsigned int count = 0;

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* Descriptors and threads, once they are as few as before, or after a while. */
static void assert_settles(const char *path, unsigned int before)
{
	int64_t deadline = clock_monotonic_ms() + CLIENT_MS;

	while (count_entries(path) > before && clock_monotonic_ms() < deadline)
		usleep(20000);
	assert_int_equal(count_entries(path), before);
}

static void wait_for(unsigned int *number, unsigned int wanted)
{
	struct timespec until;
	unsigned int reached;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLIENT_MS / 1000;
	pthread_mutex_lock(&seen.lock);
	while (*number < wanted && r == 0)
		r = pthread_cond_timedwait(&seen.changed, &seen.lock, &until);
	reached = *number;
	pthread_mutex_unlock(&seen.lock);
	assert_int_equal(reached, wanted);
}

static void forget_seen(void)
{
	pthread_mutex_lock(&seen.lock);
	seen.waiting = seen.gone = 0;
	pthread_mutex_unlock(&seen.lock);
}

static void await_stream_end(int expected)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLIENT_MS / 1000;
	pthread_mutex_lock(&seen.lock);
	while (!seen.stream_ended && pthread_cond_timedwait(&seen.changed, &seen.lock, &until) == 0)
		;
	assert_true(seen.stream_ended);
	assert_int_equal(seen.stream_result, expected);
	seen.stream_ended = false;
	pthread_mutex_unlock(&seen.lock);
}

static void test_vanishing_reader(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	int fd = client_open(f);

	client_puts(fd, "GET /endless HTTP/1.1\r\nHost: d\r\n\r\n");
	client_read(fd, "\r\n\r\n", &out);
	close(fd);
	await_stream_end(-EPIPE);
}

/* The reader keeps its connection and reads nothing. */
static void test_slow_reader(void **state)
{
	const struct fixture *f = *state;
	_cleanup_close_ int fd = client_open(f);
	int64_t begun = clock_monotonic_ms();

	client_puts(fd, "GET /endless HTTP/1.1\r\nHost: d\r\n\r\n");
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
	await_stream_end(-ETIMEDOUT);
	assert_true(clock_monotonic_ms() - begun >= limits.slow_ms);
	assert_true(seen.stream_bytes < 4 * MIB);
}

/* Reads until the server hangs up, which it must do in about the given time. */
static void assert_hung_up(int fd, int64_t begun, int64_t after_ms)
{
	_cleanup_buf_ struct buf out = {};

	client_read(fd, NULL, &out);
	assert_int_equal(out.length, 0);
	assert_true(clock_monotonic_ms() - begun >= after_ms);
	assert_true(clock_monotonic_ms() - begun < after_ms + CLIENT_MS / 2);
}

static void test_deadlines(void **state)
{
	const struct fixture *f = *state;
	_cleanup_close_ int idle = client_open(f), drip = client_open(f), body = client_open(f);
	_cleanup_close_ int wait = client_open(f);
	_cleanup_buf_ struct buf out = {};
	int64_t begun = clock_monotonic_ms();

	forget_seen();
	client_puts(body, "POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: 10\r\n\r\n{");
	client_puts(wait, "GET /wait HTTP/1.1\r\nHost: d\r\n\r\n");
	wait_for(&seen.waiting, 2);
	/* A byte now and then does not renew it. */
	client_puts(drip, "GET /_ping HTTP/1.1\r\n");
	while (clock_monotonic_ms() - begun < limits.head_ms + 200) {
		client_puts(drip, "X");
		usleep(50000);
	}
	assert_hung_up(drip, begun, limits.head_ms);
	assert_hung_up(idle, begun, limits.head_ms);
	assert_hung_up(body, begun, limits.body_ms);
	/* The upload's handler saw its client go; one that waits by itself is left alone. */
	wait_for(&seen.gone, 1);
	close(TAKE_FD(wait));
	wait_for(&seen.gone, 2);
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
}

static void test_gone(void **state)
{
	const struct fixture *f = *state;
	int fd = client_open(f);

	forget_seen();
	client_puts(fd, "GET /wait HTTP/1.1\r\nHost: d\r\n\r\n");
	wait_for(&seen.waiting, 1);
	/* Having nothing more to say is not being gone. */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	usleep(50000);
	wait_for(&seen.gone, 0);
	close(fd);
	wait_for(&seen.gone, 1);
}

static void test_upgrade(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	client_puts(fd, "POST /attach" UPGRADE "\r\nextra ");
	client_read(fd, "hello\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 101"));
	assert_non_null(strstr(buf_text(&out), "Upgrade: tcp\r\n"));
	assert_non_null(
		strstr(buf_text(&out), "Content-Type: application/vnd.docker.raw-stream\r\n"));
	client_puts(fd, "and more\n");
	client_read(fd, "extra and more\n", &out);
	/* The end of input leaves the other direction open. */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	client_read(fd, NULL, &out);
	assert_true(ends_with(buf_text(&out), "\r\n\r\nhello\nextra and more\nend\n"));
}

static void test_upgrade_with_body(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	client_puts(fd, "POST /attach" UPGRADE "Content-Length: 13\r\n\r\n{\"Tty\":false}extra");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	client_read(fd, NULL, &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 101"));
	assert_true(ends_with(buf_text(&out), "\r\n\r\nhello\nextraend\n"));
}

static void test_upgrade_refused(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	/* The connection stays one for requests. */
	client_puts(fd, "POST /attach?missing=1" UPGRADE "\r\n");
	client_read(fd, "}\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 404"));
	buf_clear(&out);
	client_puts(fd, "POST /attach" UPGRADE "Content-Length: 2\r\n\r\n{x");
	client_read(fd, "}\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 400"));
}

static void test_hijack_without_upgrade(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);

	client_puts(fd, "POST /attach HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n");
	client_read(fd, "hello\n", &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 200"));
	assert_null(strstr(buf_text(&out), "chunked"));
	client_puts(fd, "data\n");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	client_read(fd, NULL, &out);
	assert_true(ends_with(buf_text(&out), "\r\n\r\nhello\ndata\nend\n"));
}

/* What came with the request is the handler's, whether the client asked for an upgrade or not. */
static void test_hijack_of_pipelined_bytes(void **state)
{
	static const char *const requests[] = {
		"POST /attach HTTP/1.1\r\nHost: d\r\n\r\nbehind ",
		"POST /attach HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}behind ",
		"POST /attach HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
		"2\r\n{}\r\n0\r\n\r\nbehind ",
		"POST /attach HTTP/1.0\r\n\r\nbehind ",
		"POST /attach" UPGRADE "\r\nbehind ",
		"POST /attach" UPGRADE "Content-Length: 2\r\n\r\n{}behind ",
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		_cleanup_buf_ struct buf out = {};
		_cleanup_close_ int fd = client_open(f);

		client_puts(fd, requests[i]);
		client_read(fd, "hello\nbehind ", &out);
		client_puts(fd, "and after\n");
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		client_read(fd, NULL, &out);
		assert_true(ends_with(buf_text(&out), "\r\n\r\nhello\nbehind and after\nend\n"));
	}
}

static void test_upload(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f), other = -1;
	static char block[65536];

	memset(block, 3, sizeof(block));
	client_puts(fd,
		    "POST /upload HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
		    "Content-Type: application/x-tar\r\nContent-Length: 16777216\r\n\r\n");
	for (int i = 0; i < 256; i++)
		client_send(fd, block, sizeof(block));
	client_read(fd, NULL, &out);
	assert_non_null(strstr(buf_text(&out), "{\"total\":16777216,\"sum\":50331648}"));

	buf_clear(&out);
	other = client_open(f);
	client_puts(other,
		    "POST /upload HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
		    "Transfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 100; i++) {
		client_puts(other, "10000\r\n");
		client_send(other, block, sizeof(block));
		client_puts(other, "\r\n");
	}
	client_puts(other, "0\r\n\r\n");
	client_read(other, NULL, &out);
	assert_non_null(strstr(buf_text(&out), "{\"total\":6553600,"));
	assert_reply(f, "POST /upload" CLOSE, "200", "{\"total\":0,");
}

/* A handler that does not want the rest answers at once, whatever the client goes on sending. */
static void test_upload_refused(void **state)
{
	const struct fixture *f = *state;
	_cleanup_buf_ struct buf out = {};
	_cleanup_close_ int fd = client_open(f);
	static char block[65536];

	client_puts(fd, "POST /refuse HTTP/1.1\r\nHost: d\r\nContent-Length: 1073741824\r\n\r\n");
	client_send(fd, block, sizeof(block));
	client_read(fd, NULL, &out);
	assert_true(starts_with(buf_text(&out), "HTTP/1.1 400"));
	assert_true(ends_with(buf_text(&out), "\r\n\r\n{\"message\":\"not an archive\"}\n"));
	assert_error(f, "POST /refuse" CLOSE, "400");
}

static void test_upload_broken_off(void **state)
{
	const struct fixture *f = *state;
	static char block[65536];
	int fd = client_open(f);

	forget_seen();
	client_puts(fd, "POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: 1073741824\r\n\r\n");
	client_send(fd, block, sizeof(block));
	wait_for(&seen.waiting, 1);
	close(fd);
	wait_for(&seen.gone, 1);
}

/* The handler sees an end and answers as if that were all: the client learns better. */
static void test_upload_malformed(void **state)
{
	static const char *const bodies[] = {
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nno field\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"Content-Length: 4\r\n\r\nabc",
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		_cleanup_buf_ struct buf out = {};
		_cleanup_close_ int fd = client_open(f);

		forget_seen();
		client_puts(fd, "POST /upload HTTP/1.1\r\nHost: d\r\n");
		client_puts(fd, bodies[i]);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		client_read(fd, NULL, &out);
		assert_true(starts_with(buf_text(&out), "HTTP/1.1 400"));
		assert_non_null(strstr(buf_text(&out), "\r\n\r\n{\"message\":\""));
		wait_for(&seen.gone, 1);
	}
}

static void test_connection_limit(void **state)
{
	const struct http_limits few = { 20000, 20000, 20000, .connections = 3 };
	struct fixture f = {};
	bool served = false;
	int clients[3];

	start_server(&f, tables);
	http_server_set_limits(f.server, &few);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_open(&f);
	assert_error(&f, "GET /_ping" CLOSE, "503");
	close(clients[0]);
	/* The server sees it soon. */
	for (int i = 0; i < CLIENT_MS / 10 && !served; i++) {
		_cleanup_buf_ struct buf out = {};

		served = starts_with(ask(&f, "GET /_ping" CLOSE, &out), "HTTP/1.1 200");
		usleep(10000);
	}
	assert_true(served);
	close(clients[1]);
	close(clients[2]);
	stop_server(&f);
}

static void vanish(const struct fixture *f, const char *request, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		_cleanup_close_ int fd = client_open(f);

		client_puts(fd, request);
		/* Some go before they are answered, some after. */
		if (i % 4 == 0) {
			_cleanup_buf_ struct buf out = {};

			client_read(fd, "\r\n\r\n", &out);
		}
	}
}

static void test_vanishing_clients(void **state)
{
	const struct fixture *f = *state;
	unsigned int fds, threads;

	/* Threads and descriptors that the first connection makes for good are there now. */
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
	usleep(200000);
	fds = count_entries("/proc/self/fd");
	threads = count_entries("/proc/self/task");
	vanish(f, "POST /attach" UPGRADE "\r\n", 1000);
	vanish(f, "POST /hold" UPGRADE "\r\n", 200);
	vanish(f, "POST /hold HTTP/1.1\r\nHost: d\r\n\r\n", 200);
	vanish(f,
	       "POST /upload HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\n"
	       "Content-Length: 100\r\n\r\n",
	       200);
	vanish(f, "GET /stream HTTP/1.1\r\nHost: d\r\n\r\n", 200);
	assert_settles("/proc/self/task", threads);
	assert_settles("/proc/self/fd", fds);
	assert_reply(f, "GET /_ping" CLOSE, "200", NULL);
}

static int set_up(void **state)
{
	return start_group(state, tables);
}

/* Stopping ends streams, hijacked connections and idle ones, and closes every descriptor. */
static void test_stop(void **state)
{
	unsigned int fds = count_entries("/proc/self/fd");
	unsigned int threads = count_entries("/proc/self/task");
	struct fixture f = {};
	int clients[4];

	start_server(&f, tables);
	forget_seen();
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = client_open(&f);
	client_puts(clients[0], "GET /wait HTTP/1.1\r\nHost: d\r\n\r\n");
	client_puts(clients[1], "POST /hold" UPGRADE "\r\n");
	client_puts(clients[2], "POST /upload HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nx");
	wait_for(&seen.waiting, 3);
	stop_server(&f);
	wait_for(&seen.gone, 3);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	assert_settles("/proc/self/fd", fds);
	assert_settles("/proc/self/task", threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, while no connection of another test is about to be closed. */
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_vanishing_reader),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_upgrade_with_body),
		cmocka_unit_test(test_upgrade_refused),
		cmocka_unit_test(test_hijack_without_upgrade),
		cmocka_unit_test(test_hijack_of_pipelined_bytes),
		cmocka_unit_test(test_upload),
		cmocka_unit_test(test_upload_refused),
		cmocka_unit_test(test_upload_broken_off),
		cmocka_unit_test(test_upload_malformed),
		cmocka_unit_test(test_connection_limit),
		cmocka_unit_test(test_vanishing_clients),
	};

	return cmocka_run_group_tests(tests, set_up, stop_group);
}
