/* SPDX-License-Identifier: Apache-2.0 */
/* Calls against a server of canned answers: what is sent, what an answer becomes, and failures. */
#include "test.h"

#include "base/alloc.h"
#include "base/process.h"
#include "cli/attachment.h"
#include "cli/client.h"
#include "cli/image-name.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

struct server {
	char directory[64];
	char *path;
	char *seen; /* where the child writes the request it got */
	pid_t pid;
};

/* Child: answers one connection, byte by byte, after reading the request's head. */
static _Noreturn void serve(int listener, const char *seen, const char *answer)
{
	_cleanup_buf_ struct buf request = { 0 };
	int fd = accept(listener, NULL, NULL);
	char byte;

	while (!ends_with(buf_text(&request), "\r\n\r\n") && read(fd, &byte, 1) == 1)
		buf_putc(&request, byte);
	(void)file_write_volatile(seen, buf_text(&request), request.length, 0600, NULL);
	for (; *answer; answer++)
		(void)send(fd, answer, 1, MSG_NOSIGNAL);
	_exit(0);
}

static struct client *start(struct server *server, const char *answer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_free_ char *host = NULL;
	struct cay_error err = { 0 };
	struct client *client = NULL;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	make_test_directory(server->directory);
	server->path = path_join(server->directory, "sock");
	server->seen = path_join(server->directory, "seen");
	memcpy(address.sun_path, server->path, strlen(server->path) + 1);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	server->pid = fork();
	if (server->pid == 0)
		serve(listener, server->seen, answer);
	(void)close(listener);
	host = xasprintf("unix://%s", server->path);
	assert_ok(client_new(host, &client, &err));
	return client;
}

/* The request that arrived; the server is gone after it. */
static char *stop(struct server *server, struct client *client)
{
	struct buf seen = { 0 };
	struct cay_error err = { 0 };
	int status;

	assert_int_equal(waitpid(server->pid, &status, 0), server->pid);
	assert_ok(file_read(server->seen, 65536, &seen, &err));
	assert_ok(remove_tree(server->directory, &err));
	free(server->path);
	free(server->seen);
	client_free(client);
	return buf_steal(&seen);
}

static void test_json(void **state)
{
	struct server server;
	struct client *client = start(&server,
				      "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
				      "b\r\n{\"Id\":\"abc\"\r\n1\r\n}\r\n0\r\n\r\n");
	_cleanup_json_ json_t *answer = NULL, *body = json_pack("{s:s}", "a", "b");
	_cleanup_target_ struct target target = { 0 };
	_cleanup_free_ char *seen = NULL;
	struct cay_error err = { 0 };

	target_set(&target, "/images/%s/json", "h:5/n@sha256:1 ?", NULL);
	target_add(&target, "q", "a&b=c/\xc3\xa9");
	target_add_int(&target, "n", -1);
	assert_ok(client_call(client, "POST", &target, body, &answer, &err));
	assert_string_equal(json_string_value(json_object_get(answer, "Id")), "abc");
	seen = stop(&server, client);
	assert_string_equal(seen,
			    "POST /images/h:5/n%40sha256:1%20%3F/json?q=a%26b%3Dc/%C3%A9&n=-1 "
			    "HTTP/1.1\r\nHost: cay\r\nUser-Agent: cay/" CAY_VERSION
			    "\r\nConnection: close\r\nContent-Type: application/json\r\n"
			    "Content-Length: 9\r\n\r\n");
}

static void check_failure(const char *answer, enum cay_code code, const char *message)
{
	struct server server;
	struct client *client = start(&server, answer);
	struct cay_error err = { 0 };
	_cleanup_free_ char *seen = NULL;
	json_t *value = NULL;

	assert_true(client_call_named(client, "GET", "/x", "", &value, &err) < 0);
	assert_null(value);
	assert_int_equal(err.code, code);
	assert_string_equal(err.message, message);
	seen = stop(&server, client);
}

static void test_failures(void **state)
{
	check_failure("HTTP/1.1 404 Not Found\r\nContent-Length: 31\r\n\r\n"
		      "{\"message\":\"No such container\"}",
		      CAY_NOT_FOUND, "No such container");
	check_failure("HTTP/1.1 500 Oops\r\n\r\nplain words\nand more", CAY_CORRUPT, "plain words");
	check_failure("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", CAY_EXISTS,
		      "the daemon answered with status 409 (already exists)");
	check_failure("HTTP/1.1 304 Not Modified\r\n\r\n", CAY_NOT_MODIFIED,
		      "the daemon answered with status 304 (not modified)");
	check_failure("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", CAY_UNAVAILABLE,
		      "the daemon closed the connection before its answer was complete");
	check_failure("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", CAY_CORRUPT,
		      "the daemon's answer: not valid JSON: string or '}' expected near end of "
		      "file at line 1, column 1");
}

static void test_hijack(void **state)
{
	struct server server;
	struct client *client = start(&server, "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nabc");
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = {
		.method = "POST", .target = &target, .body_fd = -1, .hijack = true
	};
	_cleanup_buf_ struct buf data = { 0 };
	_cleanup_free_ char *seen = NULL;
	_cleanup_close_ int fd = -1;
	struct cay_error err = { 0 };

	target_set(&target, "/containers/%s/attach", "x", NULL);
	assert_ok(call_open(client, &spec, &call, &err));
	assert_ok(call_wait_head(call, &err));
	fd = call_hijack(call, &data, &err);
	assert_true(fd >= 0);
	/* What was read with the head, and the rest, are the stream together. */
	assert_ok(fd_read(fd, "stream", 100, &data, &err));
	assert_string_equal(data.data, "abc");
	seen = stop(&server, client);
	assert_non_null(strstr(seen, "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"));
}

static int count_documents(void *context, const json_t *value, struct cay_error *err)
{
	int *count = context;

	return json_integer_value(json_object_get(value, "n")) == ++*count ? 0 : -EBADMSG;
}

static void test_stream_of_documents(void **state)
{
	struct server server;
	struct client *client = start(&server,
				      "HTTP/1.1 200 OK\r\n\r\n{\"n\":1}\r\n{\"n\":2}"
				      "{\"n\":3,\"s\":\"}{\\\"\"}\n\n");
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };
	_cleanup_free_ char *seen = NULL;
	struct cay_error err = { 0 };
	int count = 0;

	target_set(&target, "/events", NULL, NULL);
	assert_ok(call_open(client, &spec, &call, &err));
	assert_ok(client_stream_json(call, count_documents, &count, &err));
	assert_int_equal(count, 3);
	seen = stop(&server, client);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = { "tcp://1.2.3.4:5", "unix://relative", "/run/x" };
	struct cay_error err = { 0 };
	struct client *client = NULL;
	char longer[256];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(client_new(bad[i], &client, &err), -EINVAL);
	(void)snprintf(longer, sizeof(longer), "unix:///%0120d", 0);
	assert_int_equal(client_new(longer, &client, &err), -ENAMETOOLONG);
	assert_int_equal(setenv("CAY_HOST", "unix:///nowhere/sock", 1), 0);
	assert_ok(client_new(NULL, &client, &err));
	assert_false(client->is_default);
	assert_int_equal(client_call_named(client, "GET", "/x", "", NULL, &err), -ENOENT);
	assert_string_equal(err.message, "no daemon answers at unix:///nowhere/sock");
	client_free(client);
	assert_int_equal(unsetenv("CAY_HOST"), 0);
}

static void test_start_errors(void **state)
{
	static const struct {
		const char *message;
		enum cay_code code;
	} cases[] = {
		{ "exec: \"x\": executable file not found in $PATH", CAY_NO_COMMAND },
		{ "exec /x: no such file or directory", CAY_NO_COMMAND },
		{ "exec /etc/passwd: permission denied", CAY_NOT_EXEC },
		{ "exec /etc: is a directory", CAY_NOT_EXEC },
		{ "no more memory", CAY_INVALID },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cay_error err = { .code = CAY_INVALID, .err = EREMOTEIO };

		(void)snprintf(err.message, sizeof(err.message), "%s", cases[i].message);
		classify_start_error(&err);
		assert_int_equal(err.code, cases[i].code);
	}
}

/* Child: lots of words before the body is read, as a daemon reports progress; then its size. */
static _Noreturn void serve_upload(int listener)
{
	static char words[4096];
	_cleanup_buf_ struct buf request = { 0 };
	int fd = accept(listener, NULL, NULL);
	size_t size = 0;
	char data[4096];
	ssize_t n;

	memset(words, ' ', sizeof(words));
	while (!strstr(buf_text(&request), "\r\n\r\n") && read(fd, data, 1) == 1)
		buf_append(&request, data, 1);
	(void)write_full(fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
	for (int i = 0; i < 512; i++)
		(void)write_full(fd, words, sizeof(words));
	buf_clear(&request);
	while (!ends_with(buf_text(&request), "0\r\n\r\n") &&
	       (n = read(fd, data, sizeof(data))) > 0) {
		size += (size_t)n;
		buf_append(&request, data, (size_t)n);
		if (request.length > 16) /* the end may come in two pieces */
			buf_consume(&request, request.length - 16);
	}
	(void)snprintf(data, sizeof(data), "{\"stream\":\"%d\"}", size > 4 * MIB);
	(void)write_full(fd, data, strlen(data));
	_exit(0);
}

static int keep_stream(void *context, const json_t *value, struct cay_error *err)
{
	replace_string(context, json_string_value(json_object_get(value, "stream")));
	return 0;
}

/* Both sides send more than a socket holds: whoever only sends would wait for ever. */
static void test_upload_both_ways(void **state)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_(client_free_p) struct client *client = NULL;
	_cleanup_free_ char *path = NULL, *host = NULL, *said = NULL, *data = xmalloc(4 * MIB);
	_cleanup_close_ int file = memfd_with("archive", "", 0);
	struct call_spec spec = { .method = "POST", .target = &target, .body_fd = file };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
	struct cay_error err = { 0 };
	char directory[64];
	pid_t pid;

	memset(data, 'a', 4 * MIB); /* no NUL, at which the server would stop looking for the end */
	assert_int_equal(pwrite_full(file, data, 4 * MIB, 0), 0);
	make_test_directory(directory);
	path = path_join(directory, "sock");
	host = xasprintf("unix://%s", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	pid = fork();
	if (pid == 0)
		serve_upload(listener);
	(void)close(listener);
	assert_ok(client_new(host, &client, &err));
	target_set(&target, "/images/load", NULL, NULL);
	(void)alarm(20);
	assert_ok(call_open(client, &spec, &call, &err));
	assert_ok(client_stream_json(call, keep_stream, &said, &err));
	(void)alarm(0);
	assert_string_equal(said, "1");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_ok(remove_tree(directory, &err));
}

/* What the daemon says about an archive that it stops reading is what the user hears. */
static void test_upload_refused(void **state)
{
	struct server server;
	struct client *client = start(&server,
				      "HTTP/1.1 400 Bad Request\r\nContent-Length: 20\r\n\r\n"
				      "{\"message\":\"no tar\"}");
	_cleanup_free_ char *data = xcalloc(4, MIB), *seen = NULL;
	_cleanup_close_ int file = memfd_with("archive", data, 4 * MIB);
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	struct call_spec spec = { .method = "POST", .target = &target, .body_fd = file };
	_cleanup_json_ json_t *value = NULL;
	struct cay_error err = { 0 };

	target_set(&target, "/images/load", NULL, NULL);
	assert_ok(call_open(client, &spec, &call, &err));
	assert_true(call_json(call, &value, &err) < 0);
	assert_string_equal(err.message, "no tar");
	seen = stop(&server, client);
	assert_non_null(strstr(seen, "Transfer-Encoding: chunked\r\n"));
}

static void test_image_names(void **state)
{
	static const struct {
		const char *image, *name, *tag, *digest, *full;
	} cases[] = {
		{ "debian", "debian", NULL, NULL, "docker.io/library/debian" },
		{ "debian:12", "debian", "12", NULL, "docker.io/library/debian" },
		{ "a/b", "a/b", NULL, NULL, "docker.io/a/b" },
		{ "localhost/b", "localhost/b", NULL, NULL, "localhost/b" },
		{ "127.0.0.1:5000/b:c", "127.0.0.1:5000/b", "c", NULL, "127.0.0.1:5000/b" },
		{ "h:5/b", "h:5/b", NULL, NULL, "h:5/b" },
		{ "x@sha256:00", "x", NULL, "sha256:00", "docker.io/library/x" },
		{ "h:5/x:t@sha256:00", "h:5/x", "t", "sha256:00", "h:5/x" },
		{ "Box/b", "Box/b", NULL, NULL, "Box/b" },
		{ "localHost/b", "localHost/b", NULL, NULL, "localHost/b" },
		{ "x/B", "x/B", NULL, NULL, "docker.io/x/B" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_image_name_ struct image_name name = { 0 };
		_cleanup_free_ char *full = NULL;

		image_name_split(cases[i].image, &name);
		full = image_name_expand(name.name);
		assert_string_equal(name.name, cases[i].name);
		assert_string_equal(name.tag ? name.tag : "-", cases[i].tag ? cases[i].tag : "-");
		assert_string_equal(name.digest ? name.digest : "-",
				    cases[i].digest ? cases[i].digest : "-");
		assert_string_equal(full, cases[i].full);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),           cmocka_unit_test(test_failures),
		cmocka_unit_test(test_hijack),         cmocka_unit_test(test_stream_of_documents),
		cmocka_unit_test(test_addresses),      cmocka_unit_test(test_start_errors),
		cmocka_unit_test(test_image_names),    cmocka_unit_test(test_upload_both_ways),
		cmocka_unit_test(test_upload_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
