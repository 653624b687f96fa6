/* SPDX-License-Identifier: Apache-2.0 */
/* Who speaks TLS and who does not, and what is said about those who do it wrongly. */
#include "image-server.h"

#include "base/clock.h"
#include "image/registry-internal.h"

#include <openssl/ssl.h>

/* A port with TLS that leads plain HTTP there, as nginx can; or one of plain HTTP alone. */
struct port {
	int listener;
	unsigned int number;
	SSL_CTX *tls; /* NULL: plain HTTP */
	pthread_t thread;
	atomic_bool stop;
	_Atomic unsigned int plain; /* questions without TLS */
};

static SSL_CTX *make_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();

	assert_true(context && key && certificate);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	assert_int_equal(X509_set_pubkey(certificate, key), 1);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

static void answer_tls(struct port *port, int fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	SSL *session = SSL_new(port->tls);
	char request[4096];

	if (SSL_set_fd(session, fd) == 1 && SSL_accept(session) == 1 &&
	    SSL_read(session, request, sizeof(request)) > 0)
		(void)SSL_write(session, answer, (int)strlen(answer));
	SSL_free(session);
}

static void answer_plain(struct port *port, int fd, bool is_hello)
{
	_cleanup_free_ char *answer = is_hello
		? xstrdup("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		: xasprintf("HTTP/1.1 %s\r\nLocation: https://127.0.0.1:%u/v2/\r\n"
			    "Content-Length: 0\r\n\r\n",
			    port->tls ? "301 Moved" : "200 OK", port->number);
	char request[4096];

	(void)!read(fd, request, sizeof(request));
	port->plain += !is_hello;
	send_text(fd, answer, strlen(answer));
}

static void *serve_port(void *data)
{
	struct port *port = data;

	while (!port->stop) {
		struct pollfd wait = { .fd = port->listener, .events = POLLIN };
		_cleanup_close_ int fd = -1;
		char first = 0;

		if (poll(&wait, 1, 20) <= 0)
			continue;
		fd = accept4(port->listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 || recv(fd, &first, 1, MSG_PEEK) != 1)
			continue;
		if (first == 0x16 && port->tls)
			answer_tls(port, fd);
		else
			answer_plain(port, fd, first == 0x16);
	}
	return NULL;
}

static void open_port(struct port *port, bool tls)
{
	struct server server;

	server_start(&server, NULL, 0);
	*port = (struct port){ .listener = server.listener, .number = server.port };
	port->tls = tls ? make_context() : NULL;
	assert_int_equal(pthread_create(&port->thread, NULL, serve_port, port), 0);
}

static void close_port(struct port *port)
{
	port->stop = true;
	assert_int_equal(pthread_join(port->thread, NULL), 0);
	(void)close(port->listener);
	SSL_CTX_free(port->tls);
}

/* The scheme that is found for the port, and how soon. */
static void assert_scheme(const struct port *port, const char *scheme)
{
	_cleanup_free_ char *name = xasprintf("127.0.0.1:%u", port->number);
	_cleanup_free_ char *wanted = xasprintf("%s://%s/v2", scheme, name);
	struct image_ref ref = { .registry = name, .repository = (char *)"x" };
	const struct registry_options options = { .ref = &ref, .idle_seconds = 60 };
	_cleanup_(registry_close_p) struct registry *registry = NULL;
	const int64_t start = clock_monotonic_ms();
	struct cay_error err = { 0 };

	assert_ok(registry_open(&options, &registry, &err));
	assert_string_equal(registry->base, wanted);
	assert_true(clock_monotonic_ms() - start < 5000);
}

/* What answers plain HTTP on a port of TLS, by leading away from it, is no registry of plain HTTP.
 */
static void test_tls_is_asked_for_first(void **state)
{
	struct port port;

	(void)state;
	open_port(&port, true);
	assert_scheme(&port, "https");
	close_port(&port);
	assert_int_equal(port.plain, 0);
}

static void test_plain_http_is_found(void **state)
{
	struct port port;

	(void)state;
	open_port(&port, false);
	assert_scheme(&port, "http");
	close_port(&port);
}

/* What is said about a server that cannot be spoken to. */
static void ask(const char *url, struct cay_error *err)
{
	_cleanup_(transfer_free_p) struct transfer *transfer = transfer_new();
	_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
	const struct transfer_request request = {
		.url = url, .direct = true, .idle_seconds = 20, .limit = 1000
	};

	assert_true(transfer_run(transfer, &request, &reply, err) < 0);
	assert_int_equal(err->code, CAY_UNAVAILABLE);
	assert_null(strstr(err->message, "hidden"));
}

static void test_unknown_authority(void **state)
{
	_cleanup_free_ char *url = NULL, *folder = NULL, *option = NULL;
	struct cay_error err = { 0 };
	struct port port;

	(void)state;
	open_port(&port, true);
	url = xasprintf("https://127.0.0.1:%u/v2/?sig=hidden", port.number);
	folder = xasprintf("certs.d/127.0.0.1:%u/ca.crt", port.number);
	option = xasprintf("--insecure-registry 127.0.0.1:%u", port.number);
	ask(url, &err);
	close_port(&port);
	assert_says(&err, "certificate problem: self-signed");
	assert_says(&err, folder);
	assert_says(&err, option);
}

static void test_no_tls(void **state)
{
	_cleanup_free_ char *url = NULL, *option = NULL;
	struct cay_error err = { 0 };
	struct port port;

	(void)state;
	open_port(&port, false);
	url = xasprintf("https://127.0.0.1:%u/v2/?sig=hidden", port.number);
	option = xasprintf("--insecure-registry 127.0.0.1:%u", port.number);
	ask(url, &err);
	close_port(&port);
	assert_says(&err, "plain HTTP");
	assert_says(&err, option);
}

static void test_unknown_name(void **state)
{
	struct cay_error err = { 0 };

	(void)state;
	ask("https://no-such-host.invalid:5000/v2/?sig=hidden", &err);
	assert_says(&err, "no-such-host.invalid:5000: ");
	assert_says(&err, "check the name");
}

static void test_nobody_there(void **state)
{
	struct cay_error err = { 0 };

	(void)state;
	ask("http://[::1]:1/v2/?sig=hidden", &err);
	assert_says(&err, "[::1]:1: ");
	assert_says(&err, "check that it is running");
}

/* A malformed proxy's URL may have a password in it, which curl would show. */
static void test_malformed_proxy(void **state)
{
	static const char *const proxies[] = { "odd://user:hidden@x.invalid:1",
					       "http://user:hidden@x.invalid:1:2" };
	_cleanup_(transfer_free_p) struct transfer *transfer = transfer_new();
	const struct transfer_request request = { .url = "http://x.invalid/",
						  .idle_seconds = 20,
						  .limit = 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(proxies); i++) {
		_cleanup_transfer_reply_ struct transfer_reply reply = { 0 };
		struct cay_error err = { 0 };

		assert_int_equal(setenv("HTTP_PROXY", proxies[i], 1), 0);
		assert_true(transfer_run(transfer, &request, &reply, &err) < 0);
		assert_int_equal(unsetenv("HTTP_PROXY"), 0);
		assert_null(strstr(err.message, "hidden"));
		assert_says(&err, "proxy");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_is_asked_for_first),
		cmocka_unit_test(test_plain_http_is_found),
		cmocka_unit_test(test_unknown_authority),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_unknown_name),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_malformed_proxy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
