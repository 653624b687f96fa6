/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running handlers. Most run in their connection's thread. Two kinds can't and
 * get a thread of their own, which the connection's thread serves: a raw body
 * arrives while the handler reads it, and libmicrohttpd hands out an upgraded
 * socket only after its own callback has returned.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <sys/socket.h>

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

void http_handler_run(struct http_request *request)
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
	/* One that failed lacks its end, by which the client knows that it is not whole. */
	if (request->answer == HTTP_ANSWER_STREAM && r >= 0)
		http_stream_end(request);
	handler_end(server);
}

/* ---- handlers with a thread of their own ---- */

static void *handler_thread(void *user)
{
	struct http_request *request = user;

	http_handler_run(request);
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

bool http_handler_start(struct http_request *request)
{
	pthread_attr_t attributes;
	int r;

	if (request->route->raw_body) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return false;
		request->body_in = pair[0];
		request->body_out = pair[1];
		http_set_uploading(request->server, http_connection_of(request->mhd), true);
	}
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, HTTP_STACK_SIZE);
	r = pthread_create(&request->thread, &attributes, handler_thread, request);
	pthread_attr_destroy(&attributes);
	request->threaded = r == 0;
	return request->threaded;
}

void http_handler_join(struct http_request *request)
{
	if (request->threaded)
		pthread_join(request->thread, NULL);
	request->threaded = false;
}

/* The handler reads the end of its body. */
void http_handler_end_body(struct http_request *request)
{
	pthread_mutex_lock(&request->lock);
	request->body_ended = true;
	pthread_mutex_unlock(&request->lock);
	if (request->body_in >= 0) {
		http_set_uploading(request->server, http_connection_of(request->mhd), false);
		shutdown(request->body_in, SHUT_WR);
	}
}

int http_handler_upgrade(struct http_request *request)
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

void http_handler_settle_upgrade(struct http_request *request, int socket, const char *extra,
				 size_t size)
{
	pthread_mutex_lock(&request->lock);
	request->upgrade_settled = true;
	request->upgrade_socket = socket;
	buf_append(&request->upgrade_extra, extra, size);
	pthread_cond_broadcast(&request->changed);
	pthread_mutex_unlock(&request->lock);
}

/* libmicrohttpd has sent the 101. May block, with a thread a connection. */
void http_upgraded(void *user, struct MHD_Connection *mhd, void *request_context, const char *extra,
		   size_t extra_size, MHD_socket socket, struct MHD_UpgradeResponseHandle *handle)
{
	struct http_request *request = request_context;

	http_set_deadline(request->server, http_connection_of(mhd), 0);
	http_handler_settle_upgrade(request, socket, extra, extra_size);
	http_handler_join(request);
	MHD_upgrade_action(handle, MHD_UPGRADE_ACTION_CLOSE);
}
