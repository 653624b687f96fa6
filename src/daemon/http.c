/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: libmicrohttpd's callbacks, the threads, and their end.
 *
 * libmicrohttpd gives each connection a thread and calls access() in it: once
 * when the head is there, then for each piece of the body, then to be answered.
 * The handler runs in that last call. It cannot do so in two cases, where it
 * gets a thread of its own and the connection's thread serves it: a raw body
 * arrives while the handler reads it, and an upgraded socket is handed out only
 * after access() has returned.
 *
 * Streams are written to the socket by ourselves while libmicrohttpd waits for
 * access() to return, because what it sends only goes out after that; it is
 * told to close the connection then.
 *
 * A connection that owes us something (a head, the next piece of a body, the
 * reading of our reply) has a deadline. The watchdog, a thread that looks at
 * all of them, shuts the sockets of late ones. While a handler runs there is no
 * deadline: a stream may last for months.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/api/api.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum {
	HEAD_MS = 5 * 60 * 1000, /* from the connection or the last reply to a whole head */
	BODY_MS = 60 * 1000,     /* from one piece of a body to the next */
	WATCHDOG_MS = 5000,
	HEAD_MAX = 64 * 1024, /* bytes of a request's head, and of libmicrohttpd's buffers */
	/* Handlers keep large things on the heap; untouched pages of a stack cost nothing. */
	STACK_SIZE = 512 * 1024,
};

/* One connection; lives as long as libmicrohttpd's. */
struct http_connection {
	int socket;
	int64_t deadline; /* monotonic ms; 0: none. Under the server's lock */
	bool uploading;   /* a handler waits for a raw body. Under the server's lock */
	char *url;        /* as it came, of the request whose head was read last */
	struct http_connection *previous, *next;
};

static void set_deadline(struct http_server *server, struct http_connection *connection,
			 int64_t after_ms)
{
	pthread_mutex_lock(&server->lock);
	connection->deadline = after_ms > 0 ? clock_monotonic_ms() + after_ms : 0;
	pthread_mutex_unlock(&server->lock);
}

static void set_uploading(struct http_server *server, struct http_connection *connection,
			  bool uploading)
{
	pthread_mutex_lock(&server->lock);
	connection->uploading = uploading;
	pthread_mutex_unlock(&server->lock);
}

static struct http_connection *connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
}

/* ---- requests ---- */

static enum MHD_Result add_header(void *user, enum MHD_ValueKind kind, const char *name,
				  const char *value)
{
	struct http_request *request = user;

	strv_add(&request->header_names, name);
	strv_add(&request->header_values, value ? value : "");
	return MHD_YES;
}

static struct http_request *request_new(struct http_server *server, struct MHD_Connection *mhd,
					const char *method, const char *version)
{
	struct http_request *request = xcalloc(1, sizeof(*request));

	*request = (struct http_request){
		.server = server,
		.mhd = mhd,
		.socket = connection_of(mhd)->socket,
		.method = xstrdup(method),
		.is_head = strcmp(method, "HEAD") == 0,
		.is_http10 = strcmp(version, "HTTP/1.1") != 0,
		.body_in = -1,
		.body_out = -1,
		.gone_fd = -1,
		.upgrade_socket = -1,
	};
	pthread_mutex_init(&request->lock, NULL);
	pthread_cond_init(&request->changed, NULL);
	MHD_get_connection_values(mhd, MHD_HEADER_KIND, add_header, request);
	return request;
}

static void request_free(struct http_request *request)
{
	cay_close_p(&request->body_in);
	cay_close_p(&request->body_out);
	cay_close_p(&request->gone_fd);
	http_target_done(&request->target);
	strv_done(&request->params);
	strv_done(&request->header_names);
	strv_done(&request->header_values);
	strv_done(&request->reply_names);
	strv_done(&request->reply_values);
	buf_done(&request->body);
	buf_done(&request->reply_body);
	buf_done(&request->upgrade_extra);
	json_decref(request->json);
	pthread_cond_destroy(&request->changed);
	pthread_mutex_destroy(&request->lock);
	free(request->reply_type);
	free(request->method);
	free(request);
}

/* False once the server stops: no handler begins any more. */
static bool handler_begin(struct http_server *server)
{
	bool begun;

	pthread_mutex_lock(&server->lock);
	begun = !server->stopping;
	server->handlers += begun;
	pthread_mutex_unlock(&server->lock);
	return begun;
}

static void handler_end(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->handlers--;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

static void run_handler(struct http_request *request)
{
	struct http_server *server = request->server;
	struct cay_error error = {};
	int r;

	if (!handler_begin(server)) {
		cay_error_set(&error, CAY_UNAVAILABLE, ESHUTDOWN, "the daemon is stopping");
		http_reply_error(request, &error);
		return;
	}
	r = request->route->handler(server->daemon, request, &error);
	if (r >= 0 && request->answer == HTTP_ANSWER_NONE)
		r = cay_error_set(&error, CAY_INTERNAL, 0, "nothing was answered");
	if (r < 0) {
		if (cay_code_http_status(error.code) >= 500 && error.code != CAY_UNSUPPORTED)
			log_warning("%s %s: %s", request->method, request->route->path,
				    error.message);
		http_reply_error(request, &error);
	}
	if (request->answer == HTTP_ANSWER_STREAM)
		http_stream_end(request);
	handler_end(server);
}

/* ---- handlers with a thread of their own ---- */

static void *handler_thread(void *user)
{
	struct http_request *request = user;

	run_handler(request);
	/* Nobody reads the body any more. */
	if (request->body_out >= 0)
		shutdown(request->body_out, SHUT_RDWR);

	pthread_mutex_lock(&request->lock);
	/*
	 * The client still sends its body and libmicrohttpd takes no reply before its end, which
	 * may never come: answer now, and hang up.
	 */
	if (!request->body_ended) {
		http_reply_directly(request);
		shutdown(request->socket, SHUT_RDWR);
	}
	request->handler_ended = true;
	pthread_cond_broadcast(&request->changed);
	pthread_mutex_unlock(&request->lock);
	return NULL;
}

static bool start_handler_thread(struct http_request *request)
{
	pthread_attr_t attributes;
	int r;

	if (request->route->raw_body) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return false;
		request->body_in = pair[0];
		request->body_out = pair[1];
		set_uploading(request->server, connection_of(request->mhd), true);
	}
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	r = pthread_create(&request->thread, &attributes, handler_thread, request);
	pthread_attr_destroy(&attributes);
	request->threaded = r == 0;
	return request->threaded;
}

static void join_handler_thread(struct http_request *request)
{
	if (request->threaded)
		pthread_join(request->thread, NULL);
	request->threaded = false;
}

/* The handler reads the end of its body. */
static void end_body(struct http_request *request)
{
	pthread_mutex_lock(&request->lock);
	request->body_ended = true;
	pthread_mutex_unlock(&request->lock);
	if (request->body_in >= 0) {
		set_uploading(request->server, connection_of(request->mhd), false);
		shutdown(request->body_in, SHUT_WR);
	}
}

int http_request_upgrade(struct http_request *request)
{
	int socket;

	pthread_mutex_lock(&request->lock);
	request->upgrade_wanted = true;
	pthread_cond_broadcast(&request->changed);
	while (!request->upgrade_settled)
		pthread_cond_wait(&request->changed, &request->lock);
	socket = request->upgrade_socket;
	pthread_mutex_unlock(&request->lock);
	return socket >= 0 ? 0 : -ECONNRESET;
}

static void settle_upgrade(struct http_request *request, int socket, const char *extra, size_t size)
{
	pthread_mutex_lock(&request->lock);
	request->upgrade_settled = true;
	request->upgrade_socket = socket;
	buf_append(&request->upgrade_extra, extra, size);
	pthread_cond_broadcast(&request->changed);
	pthread_mutex_unlock(&request->lock);
}

/* libmicrohttpd has sent the 101. May block, with a thread a connection. */
static void upgraded(void *user, struct MHD_Connection *mhd, void *request_context,
		     const char *extra, size_t extra_size, MHD_socket socket,
		     struct MHD_UpgradeResponseHandle *handle)
{
	struct http_request *request = request_context;

	set_deadline(request->server, connection_of(mhd), 0);
	settle_upgrade(request, socket, extra, extra_size);
	join_handler_thread(request);
	MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}

/* ---- access() ---- */

static void set_mhd_header(const char *name, const char *value, void *user)
{
	MHD_add_response_header(user, name, value);
}

/* Gives the reply to libmicrohttpd. */
static enum MHD_Result queue_reply(struct http_request *request)
{
	bool upgrade = request->answer == HTTP_ANSWER_UPGRADE;
	struct MHD_Response *response;
	enum MHD_Result result;
	struct buf *body = &request->reply_body;

	/* The body stays where it is: the request outlives the sending of its reply. */
	response = upgrade ? MHD_create_response_for_upgrade(upgraded, NULL)
			   : MHD_create_response_from_buffer(body->length, (void *)buf_text(body),
							     MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	http_reply_headers(request, set_mhd_header, response);
	if (upgrade)
		MHD_add_response_header(response, "Upgrade", "tcp");
	set_deadline(request->server, connection_of(request->mhd), HTTP_SLOW_MS);
	result = MHD_queue_response(request->mhd, request->status, response);
	MHD_destroy_response(response);
	return result;
}

/* After the handler's end, or where it waits for its upgrade. */
static enum MHD_Result finish(struct http_request *request)
{
	switch (request->answer) {
	case HTTP_ANSWER_REPLY:
	case HTTP_ANSWER_UPGRADE:
		return queue_reply(request);
	case HTTP_ANSWER_NONE:
	case HTTP_ANSWER_STREAM:
	case HTTP_ANSWER_RAW:
		break;
	}
	return MHD_NO; /* closes the connection */
}

static enum MHD_Result refuse(struct http_request *request, const struct cay_error *error)
{
	http_reply_error(request, error);
	http_set_header(request, "Connection", "close");
	return finish(request);
}

static enum MHD_Result refuse_no_thread(struct http_request *request)
{
	struct cay_error error = {};

	cay_error_set(&error, CAY_NO_SPACE, EAGAIN, "no thread left for the request");
	return refuse(request, &error);
}

/*
 * Lengths that contradict each other are how one request is smuggled behind another; and a body
 * that is too long by its own word need not be read.
 */
static int check_framing(struct http_request *request, struct cay_error *err)
{
	unsigned int lengths = 0, encodings = 0;
	uint64_t length = 0;

	for (size_t i = 0; i < request->header_names.count; i++) {
		if (strcasecmp(request->header_names.items[i], "Content-Length") == 0) {
			lengths++;
			if (parse_u64(request->header_values.items[i], UINT64_MAX, &length) < 0)
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "invalid Content-Length");
		} else if (strcasecmp(request->header_names.items[i], "Transfer-Encoding") == 0) {
			encodings++;
			if (strcasecmp(request->header_values.items[i], "chunked") != 0)
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "unsupported Transfer-Encoding");
		}
	}
	if (lengths + encodings > 1)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "more than one Content-Length or Transfer-Encoding");
	if (!request->route->raw_body && length > HTTP_BODY_MAX)
		return cay_error_set(err, CAY_INVALID, EFBIG, "request body is over %d bytes",
				     HTTP_BODY_MAX);
	return 0;
}

/* The head is there. */
static enum MHD_Result begin_request(struct http_request *request, const char *url)
{
	_cleanup_free_ char *allowed = NULL;
	struct cay_error error = {};
	int r;

	r = http_target_parse(url, &request->target, &error);
	if (r == 0)
		r = http_router_find(&request->server->router, request->method, &request->target,
				     &request->route, &request->params, &allowed, &error);
	if (r == 0)
		r = check_framing(request, &error);
	if (r == 0)
		return MHD_YES;
	if (allowed) {
		http_set_header(request, "Allow", allowed);
		request->status = MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	return refuse(request, &error);
}

/* A piece of the body. */
static enum MHD_Result take_body(struct http_request *request, const char *data, size_t *size)
{
	struct cay_error error = {};
	size_t length = *size;

	*size = 0;
	if (request->route->raw_body) {
		if (!request->threaded && !start_handler_thread(request)) {
			cay_error_set(&error, CAY_NO_SPACE, EAGAIN,
				      "no thread left for the request");
			http_reply_error(request, &error);
			http_reply_directly(request);
			return MHD_NO;
		}
		/* Fails when the handler has ended, which hangs up by itself. */
		while (length > 0) {
			ssize_t n = send(request->body_in, data, length, MSG_NOSIGNAL);

			if (n < 0 && errno != EINTR)
				break;
			data += MAX(n, 0);
			length -= (size_t)MAX(n, 0);
		}
		return MHD_YES;
	}
	if (request->body.length + length > HTTP_BODY_MAX) {
		cay_error_set(&error, CAY_INVALID, EFBIG, "request body is over %d bytes",
			      HTTP_BODY_MAX);
		http_reply_error(request, &error);
		http_reply_directly(request);
		return MHD_NO;
	}
	buf_append(&request->body, data, length);
	return MHD_YES;
}

/* The whole request is there. */
static enum MHD_Result answer_request(struct http_request *request)
{
	bool threaded = request->route->raw_body || http_wants_upgrade(request);

	if (!threaded) {
		run_handler(request);
		return finish(request);
	}
	if (!request->route->raw_body)
		request->body_ended = true;
	if (!request->threaded && !start_handler_thread(request))
		return refuse_no_thread(request);
	end_body(request);
	pthread_mutex_lock(&request->lock);
	while (!request->handler_ended && !request->upgrade_wanted)
		pthread_cond_wait(&request->changed, &request->lock);
	pthread_mutex_unlock(&request->lock);
	if (!request->upgrade_wanted)
		join_handler_thread(request);
	return finish(request);
}

static enum MHD_Result access_request(void *user, struct MHD_Connection *mhd, const char *url,
				      const char *method, const char *version, const char *data,
				      size_t *data_size, void **context)
{
	struct http_server *server = user;
	struct http_connection *connection = connection_of(mhd);
	struct http_request *request = *context;
	enum MHD_Result result;

	set_deadline(server, connection, 0);
	if (request && *data_size == 0)
		return answer_request(request);
	if (request) {
		result = take_body(request, data, data_size);
	} else {
		request = *context = request_new(server, mhd, method, version);
		result = begin_request(request, connection->url);
		if (request->answer != HTTP_ANSWER_NONE)
			return result;
	}
	set_deadline(server, connection, BODY_MS);
	return result;
}

/* The reply is sent, or the connection broke at any point before. */
static void completed(void *user, struct MHD_Connection *mhd, void **context,
		      enum MHD_RequestTerminationCode code)
{
	struct http_server *server = user;
	struct http_request *request = *context;

	set_deadline(server, connection_of(mhd), HEAD_MS);
	if (!request)
		return;
	if (request->threaded) {
		end_body(request);
		settle_upgrade(request, -1, "", 0);
		join_handler_thread(request);
	}
	request_free(request);
	*context = NULL;
}

/* ---- connections ---- */

static void connection_changed(void *user, struct MHD_Connection *mhd, void **context,
			       enum MHD_ConnectionNotificationCode code)
{
	struct http_server *server = user;
	struct http_connection *connection = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		connection = *context = xcalloc(1, sizeof(*connection));
		connection->socket =
			MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		connection->deadline = clock_monotonic_ms() + HEAD_MS;
		pthread_mutex_lock(&server->lock);
		connection->next = server->connections;
		if (connection->next)
			connection->next->previous = connection;
		server->connections = connection;
		pthread_cond_broadcast(&server->changed);
		pthread_mutex_unlock(&server->lock);
		return;
	}
	pthread_mutex_lock(&server->lock);
	if (connection->next)
		connection->next->previous = connection->previous;
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		server->connections = connection->next;
	pthread_mutex_unlock(&server->lock);
	free(connection->url);
	free(connection);
}

/* Keeps the URL: libmicrohttpd's own decoding ends it at an escaped NUL. */
static void *keep_url(void *user, const char *url, struct MHD_Connection *mhd)
{
	replace_string(&connection_of(mhd)->url, url);
	return NULL;
}

static size_t leave_escapes(void *user, struct MHD_Connection *mhd, char *text)
{
	return strlen(text);
}

static void *watchdog_thread(void *user)
{
	struct http_server *server = user;

	pthread_mutex_lock(&server->lock);
	while (!server->stopping) {
		struct timespec until;

		if (!server->connections) {
			pthread_cond_wait(&server->changed, &server->lock);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += WATCHDOG_MS / 1000;
		while (!server->stopping &&
		       pthread_cond_timedwait(&server->changed, &server->lock, &until) == 0)
			;
		for (struct http_connection *c = server->connections; c; c = c->next)
			if (c->deadline > 0 && clock_monotonic_ms() > c->deadline)
				shutdown(c->socket, SHUT_RDWR);
	}
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

/* ---- the server ---- */

static void log_mhd(void *user, const char *format, va_list args)
{
	_cleanup_free_ char *text = xvasprintf(format, args);

	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

static struct http_server *server_new(struct daemon *daemon)
{
	struct http_server *server = xcalloc(1, sizeof(*server));
	pthread_condattr_t attributes;

	server->daemon = daemon;
	pthread_mutex_init(&server->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&server->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return server;
}

static void server_free(struct http_server *server)
{
	cay_close_p(&server->stop_fd);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
DEFINE_CLEANUP(struct http_server *, server_free);

static struct MHD_Daemon *start_mhd(struct http_server *server, int listen_fd)
{
	return MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL |
			MHD_USE_ITC | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG,
		0, NULL, NULL, access_request, server, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
		MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HEAD_MAX, MHD_OPTION_THREAD_STACK_SIZE, (size_t)STACK_SIZE,
		MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server,
		MHD_OPTION_NOTIFY_COMPLETED, completed, server, MHD_OPTION_URI_LOG_CALLBACK,
		keep_url, NULL, MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, NULL, MHD_OPTION_END);
}

int http_server_start(struct daemon *daemon, int listen_fd, const struct http_route *const *tables,
		      size_t table_count, struct http_server **ret_server, struct cay_error *err)
{
	_cleanup_close_ int listening = listen_fd;
	_cleanup_(server_free_p) struct http_server *server = server_new(daemon);
	int r;

	server->router = (struct http_router){ tables, table_count };
	if (server->stop_fd < 0)
		return cay_error_errno(err, errno, "can't make an eventfd");
	errno = 0;
	server->mhd = start_mhd(server, listening);
	if (!server->mhd)
		return cay_error_errno(err, errno ? errno : EINVAL, "can't start the HTTP server");
	(void)TAKE_FD(listening); /* libmicrohttpd's now */
	r = pthread_create(&server->watchdog, NULL, watchdog_thread, server);
	if (r != 0) {
		MHD_stop_daemon(server->mhd);
		return cay_error_errno(err, r, "can't start a thread");
	}
	*ret_server = TAKE_PTR(server);
	return 0;
}

void http_server_stop(struct http_server *server)
{
	uint64_t one = 1;
	int listening;

	if (!server)
		return;
	listening = MHD_quiesce_daemon(server->mhd);
	cay_close_p(&listening);

	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	/* Cannot fail: the counter is at zero. */
	(void)write_full(server->stop_fd, &one, sizeof(one));
	pthread_cond_broadcast(&server->changed);
	for (struct http_connection *c = server->connections; c; c = c->next)
		if (c->uploading)
			shutdown(c->socket, SHUT_RD);
	while (server->handlers > 0)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);

	pthread_join(server->watchdog, NULL);
	MHD_stop_daemon(server->mhd);
	server_free(server);
}
