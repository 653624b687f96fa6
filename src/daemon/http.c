/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: one thread that accepts connections and gives each a thread of
 * its own (http-connection.c), and the end of them all.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/thread.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

enum { RETRY_MS = 100 }; /* after accept() found no descriptor left */

bool http_server_stopping(const struct http_server *server)
{
	return __atomic_load_n(&server->stopping, __ATOMIC_ACQUIRE);
}

/* ---- connections ---- */

/* Counts one more; false at the limit. */
static bool remember_connection(struct http_server *server)
{
	bool fits;

	pthread_mutex_lock(&server->lock);
	fits = server->connections < server->limits.connections;
	server->connections += fits;
	pthread_mutex_unlock(&server->lock);
	return fits;
}

void http_server_forget_connection(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->connections--;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

/* Takes the socket over. */
static void begin_connection(struct http_server *server, int socket)
{
	struct http_connection *connection = xcalloc(1, sizeof(*connection));
	struct cay_error error = {};
	int r;

	*connection = (struct http_connection){ .server = server, .socket = socket };
	if (!remember_connection(server)) {
		cay_error_set(&error, CAY_UNAVAILABLE, EUSERS,
			      "the daemon serves %u connections already, which is its limit",
			      server->limits.connections);
		log_warning("http: refused a client: %s", error.message);
		http_connection_refuse(connection, &error);
		return;
	}
	r = thread_start(HTTP_STACK_SIZE, http_connection_run, connection, NULL);
	if (r < 0) {
		cay_error_set(&error, CAY_UNAVAILABLE, -r, "the daemon can't start a thread: %s",
			      errno_text(r));
		log_warning("http: refused a client: %s", error.message);
		http_connection_refuse(connection, &error);
		http_server_forget_connection(server);
	}
}

/* Waits for a client, or RETRY_MS where it is for descriptors. */
static void wait_for_client(struct http_server *server, bool for_descriptors)
{
	struct pollfd fds[] = {
		{ .fd = server->stop_fd, .events = POLLIN },
		{ .fd = server->listen_fd, .events = POLLIN },
	};

	(void)poll(fds, for_descriptors ? 1 : ARRAY_SIZE(fds), for_descriptors ? RETRY_MS : -1);
}

static void *listener_thread(void *user)
{
	struct http_server *server = user;
	bool failing = false;

	while (!http_server_stopping(server)) {
		/* cppcheck-suppress nullPointer; whose end it is does not matter */
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			failing = false;
			begin_connection(server, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN) {
			wait_for_client(server, false);
			continue;
		}
		/* Once for a row of failures: it is tried again soon. */
		if (!failing)
			log_warning("http: accepting a client: %s", errno_text(errno));
		failing = true;
		wait_for_client(server, true);
	}
	return NULL;
}

/* ---- the server ---- */

static const struct http_limits usual_limits = {
	.head_ms = 5 * 60 * 1000, /* docker's clients keep idle connections for some minutes */
	.body_ms = 60 * 1000,
	.slow_ms = 30 * 1000,
	.connections = HTTP_CONNECTIONS_MAX,
};

static void server_free(struct http_server *server)
{
	cay_close_p(&server->listen_fd);
	cay_close_p(&server->stop_fd);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
DEFINE_CLEANUP(struct http_server *, server_free);

static struct http_server *server_new(struct daemon *daemon, int listen_fd)
{
	struct http_server *server = xcalloc(1, sizeof(*server));

	server->daemon = daemon;
	server->listen_fd = listen_fd;
	server->limits = usual_limits;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return server;
}

int http_server_start(struct daemon *daemon, int listen_fd, const struct http_route *const *tables,
		      size_t table_count, struct http_server **ret_server, struct cay_error *err)
{
	_cleanup_(server_free_p) struct http_server *server = server_new(daemon, listen_fd);
	int flags = fcntl(listen_fd, F_GETFL), r;

	server->router = (struct http_router){ tables, table_count };
	if (server->stop_fd < 0)
		return cay_error_errno(err, errno, "can't make an eventfd");
	/* A client that leaves between poll() and accept() must not stop the listener. */
	if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return cay_error_errno(err, errno, "can't use the listening socket");
	r = thread_start(HTTP_STACK_SIZE, listener_thread, server, &server->listener);
	if (r < 0)
		return cay_error_errno(err, r, "can't start a thread");
	*ret_server = TAKE_PTR(server);
	return 0;
}

void http_server_set_limits(struct http_server *server, const struct http_limits *limits)
{
	server->limits = *limits;
}

void http_server_stop(struct http_server *server)
{
	if (!server)
		return;
	__atomic_store_n(&server->stopping, true, __ATOMIC_RELEASE);
	fd_wake(server->stop_fd);
	pthread_join(server->listener, NULL);
	cay_close_p(&server->listen_fd);
	server->listen_fd = -1;

	pthread_mutex_lock(&server->lock);
	while (server->connections > 0)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
	server_free(server);
}
