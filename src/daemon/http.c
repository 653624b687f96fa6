/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: libmicrohttpd's connections, their deadlines, beginning and end.
 *
 * A connection that owes us something (a head, the next piece of a body, the
 * reading of our reply) has a deadline. The watchdog, a thread that looks at
 * all of them, shuts the sockets of late ones; libmicrohttpd's own timeout is
 * renewed by every byte. While a handler runs there is no deadline: a stream
 * may last for months.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum {
	WATCHDOG_MS = 5000,   /* at most between two looks */
	HEAD_MAX = 64 * 1024, /* bytes of a request's head, and of libmicrohttpd's buffers */
};

void http_set_deadline(struct http_server *server, struct http_connection *connection,
		       int64_t after_ms)
{
	pthread_mutex_lock(&server->lock);
	connection->deadline = after_ms > 0 ? clock_monotonic_ms() + after_ms : 0;
	pthread_mutex_unlock(&server->lock);
}

void http_set_uploading(struct http_server *server, struct http_connection *connection,
			bool uploading)
{
	pthread_mutex_lock(&server->lock);
	connection->uploading = uploading;
	pthread_mutex_unlock(&server->lock);
}

struct http_connection *http_connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info->socket_context;
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
		connection->deadline = clock_monotonic_ms() + server->limits.head_ms;
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
	replace_string(&http_connection_of(mhd)->url, url);
	return NULL;
}

static size_t leave_escapes(void *user, struct MHD_Connection *mhd, char *text)
{
	return strlen(text);
}

/* Shuts the sockets of the late, and says when to look again. */
static int64_t check_deadlines(struct http_server *server)
{
	int64_t now = clock_monotonic_ms(), next = now + WATCHDOG_MS;

	for (struct http_connection *c = server->connections; c; c = c->next) {
		if (c->deadline == 0)
			continue;
		if (c->deadline > now) {
			next = MIN(next, c->deadline);
			continue;
		}
		shutdown(c->socket, SHUT_RDWR);
		c->deadline = 0;
	}
	return next;
}

static void *watchdog_thread(void *user)
{
	struct http_server *server = user;

	pthread_mutex_lock(&server->lock);
	while (!server->stopping) {
		int64_t next = check_deadlines(server);
		struct timespec until = { .tv_sec = next / 1000, .tv_nsec = next % 1000 * 1000000 };

		if (server->connections)
			pthread_cond_timedwait(&server->changed, &server->lock, &until);
		else
			pthread_cond_wait(&server->changed, &server->lock);
	}
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

/* ---- the server ---- */

static cay_printf(2, 0) void log_mhd(void *user, const char *format, va_list args)
{
	_cleanup_free_ char *text = xvasprintf(format, args);

	/* So it calls each end of a stream that we wrote ourselves. */
	if (starts_with(text, "Application reported internal error"))
		return;
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

static const struct http_limits usual_limits = {
	.head_ms = 5 * 60 * 1000, /* docker's clients keep idle connections for some minutes */
	.body_ms = 60 * 1000,
	.slow_ms = 30 * 1000,
};

static struct http_server *server_new(struct daemon *daemon)
{
	struct http_server *server = xcalloc(1, sizeof(*server));
	pthread_condattr_t attributes;

	server->daemon = daemon;
	server->limits = usual_limits;
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
		0, NULL, NULL, http_access, server, MHD_OPTION_EXTERNAL_LOGGER, log_mhd, NULL,
		MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HEAD_MAX, MHD_OPTION_THREAD_STACK_SIZE, (size_t)HTTP_STACK_SIZE,
		MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server,
		MHD_OPTION_NOTIFY_COMPLETED, http_completed, server, MHD_OPTION_URI_LOG_CALLBACK,
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

void http_server_set_limits(struct http_server *server, const struct http_limits *limits)
{
	server->limits = *limits;
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
