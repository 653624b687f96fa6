/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, from libmicrohttpd's side. It gives each connection a thread and
 * calls http_access() in it: once when the head is there, then for each piece
 * of the body, then to be answered; http_completed() when all is over.
 *
 * Streams were written to the socket by ourselves (http-reply.c) while
 * libmicrohttpd waited for http_access() to return, because what it sends only
 * goes out after that; it is told to close the connection then.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "daemon/http-internal.h"

#include <errno.h>
#include <sys/socket.h>

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
		.socket = http_connection_of(mhd)->socket,
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
	response = upgrade ? MHD_create_response_for_upgrade(http_upgraded, NULL)
			   : MHD_create_response_from_buffer(body->length, (void *)buf_text(body),
							     MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	http_reply_headers(request, set_mhd_header, response);
	if (upgrade)
		MHD_add_response_header(response, "Upgrade", "tcp");
	http_set_deadline(request->server, http_connection_of(request->mhd),
			  request->server->limits.slow_ms);
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
		if (!request->threaded && !http_handler_start(request)) {
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
		http_handler_run(request);
		return finish(request);
	}
	if (!request->route->raw_body)
		request->body_ended = true;
	if (!request->threaded && !http_handler_start(request))
		return refuse_no_thread(request);
	http_handler_end_body(request);
	pthread_mutex_lock(&request->lock);
	while (!request->handler_ended && !request->upgrade_wanted)
		pthread_cond_wait(&request->changed, &request->lock);
	pthread_mutex_unlock(&request->lock);
	if (!request->upgrade_wanted)
		http_handler_join(request);
	return finish(request);
}

enum MHD_Result http_access(void *user, struct MHD_Connection *mhd, const char *url,
			    const char *method, const char *version, const char *data,
			    size_t *data_size, void **context)
{
	struct http_server *server = user;
	struct http_connection *connection = http_connection_of(mhd);
	struct http_request *request = *context;
	enum MHD_Result result;

	http_set_deadline(server, connection, 0);
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
	http_set_deadline(server, connection, server->limits.body_ms);
	return result;
}

/* The reply is sent, or the connection broke at any point before. */
void http_completed(void *user, struct MHD_Connection *mhd, void **context,
		    enum MHD_RequestTerminationCode code)
{
	struct http_server *server = user;
	struct http_request *request = *context;

	http_set_deadline(server, http_connection_of(mhd), server->limits.head_ms);
	if (!request)
		return;
	if (request->threaded) {
		http_handler_end_body(request);
		http_handler_settle_upgrade(request, -1, "", 0);
		http_handler_join(request);
	}
	request_free(request);
	*context = NULL;
}
