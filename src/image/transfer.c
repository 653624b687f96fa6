/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request and its answer. */
#include "image/transfer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "image/address.h"
#include "image/proxy.h"
#include "image/transfer-failure.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>

enum {
	CONNECT_SECONDS = 20,
	POLL_MS = 100,
	HEADER_VALUE_MAX = 16384,
	CHALLENGES_MAX = 8,
	RETRY_AFTER_MAX = 60,
	IDLE_BYTES_PER_SECOND = 1024, /* less than this for idle_seconds is standing still */
	COMMIT_PATIENCE = 6, /* a server may take so many times longer to check what it was sent */
};

struct transfer {
	CURLM *multi;
	CURL *easy;
};

/* What the callbacks of one request share. */
struct running {
	const struct transfer_request *request;
	struct transfer_reply *reply;
	CURL *easy;
	struct cay_error *err;
	int result; /* of a callback that ended the transfer */
	uint64_t received, sent;
	int64_t window_ms; /* start of the stretch of time that is watched for standing still */
	uint64_t window_bytes;
	bool guarded, guard_refused;
	bool enough;                  /* the rest of an error's body is not waited for */
	char detail[CURL_ERROR_SIZE]; /* curl's own words for a failure */
};

void transfer_reply_done(struct transfer_reply *reply)
{
	free(reply->redirect);
	free(reply->content_type);
	free(reply->digest);
	free(reply->range);
	free(reply->location);
	free(reply->link);
	free(reply->received);
	strv_done(&reply->challenges);
	buf_done(&reply->body);
	*reply = (struct transfer_reply){ 0 };
}

struct transfer *transfer_new(void)
{
	struct transfer *transfer = xcalloc(1, sizeof(*transfer));

	transfer->multi = curl_multi_init();
	transfer->easy = curl_easy_init();
	return transfer;
}

void transfer_free(struct transfer *transfer)
{
	if (!transfer)
		return;
	curl_easy_cleanup(transfer->easy);
	(void)curl_multi_cleanup(transfer->multi); /* nothing is in it any more */
	free(transfer);
}

static int reply_status(const struct running *running)
{
	long status = 0;

	(void)curl_easy_getinfo(running->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static bool is_success(int status)
{
	return status >= 200 && status < 300;
}

/* The headers that are kept as they came. */
static const struct {
	const char *name;
	size_t offset;
} kept_headers[] = {
	{ "Content-Type", offsetof(struct transfer_reply, content_type) },
	{ "Docker-Content-Digest", offsetof(struct transfer_reply, digest) },
	{ "Content-Range", offsetof(struct transfer_reply, range) },
	{ "Location", offsetof(struct transfer_reply, location) },
	{ "Link", offsetof(struct transfer_reply, link) },
	{ "Range", offsetof(struct transfer_reply, received) },
};

static void read_header(struct transfer_reply *reply, struct str name, char *text)
{
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(kept_headers); i++)
		if (str_equals_nocase(name, kept_headers[i].name))
			replace_string((char **)((char *)reply + kept_headers[i].offset), text);
	if (str_equals_nocase(name, "Content-Type"))
		reply->content_type[strcspn(reply->content_type, "; \t")] = '\0';
	else if (str_equals_nocase(name, "WWW-Authenticate") &&
		 reply->challenges.count < CHALLENGES_MAX)
		strv_add(&reply->challenges, text);
	/* A date instead of a number is rare: the usual pause serves for it. */
	else if (str_equals_nocase(name, "Retry-After") &&
		 parse_u64(text, UINT32_MAX, &number) == 0)
		reply->retry_after = (unsigned int)MIN(number, RETRY_AFTER_MAX);
	else if (str_equals_nocase(name, "Content-Length") &&
		 parse_u64(text, INT64_MAX, &number) == 0)
		reply->length = (int64_t)number;
	else if (str_equals_nocase(name, "OCI-Chunk-Min-Length") &&
		 parse_u64(text, INT64_MAX, &number) == 0)
		reply->min_chunk = number;
}

/* One header line. Of several with one name the last counts, but for challenges. */
static size_t on_header(char *data, size_t size, size_t count, void *user)
{
	struct running *running = user;
	const struct str line = { data, size * count };
	struct str value, name = str_split(line, ':', &value);
	_cleanup_free_ char *text = NULL;

	while (value.length > 0 && strchr(" \t\r\n", value.data[value.length - 1]))
		value.length--;
	while (value.length > 0 && strchr(" \t", value.data[0])) {
		value.data++;
		value.length--;
	}
	if (name.length == line.length || value.length > HEADER_VALUE_MAX)
		return line.length;
	text = str_dup(value);
	read_header(running->reply, name, text);
	return line.length;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
	struct running *running = user;
	const struct transfer_request *request = running->request;
	struct buf *body = &running->reply->body;
	const size_t length = size * count;

	running->reply->status = reply_status(running);
	running->received += length;
	if (!is_success(running->reply->status)) {
		/* The rest is read, so that the connection can be used again, within reason. */
		if (running->received > 16 * TRANSFER_ERROR_MAX) {
			running->enough = true;
			return 0;
		}
		buf_append(body, data, MIN(length, TRANSFER_ERROR_MAX - body->length));
		return length;
	}
	if (request->sink) {
		const int64_t before = clock_monotonic_ms();

		running->result = request->sink(data, length, request->user, running->err);
		/* Time that the sink took is not the server's. */
		running->window_ms += clock_monotonic_ms() - before;
		return running->result < 0 ? 0 : length;
	}
	if (body->length + length > request->limit) {
		running->result =
			cay_error_set(running->err, CAY_TOO_LARGE, EFBIG,
				      "the answer is larger than %zu bytes", request->limit);
		return 0;
	}
	buf_append(body, data, length);
	return length;
}

/* Some bytes of the body that is sent. */
static size_t on_read(char *out, size_t size, size_t count, void *user)
{
	struct running *running = user;
	const struct transfer_body *body = running->request->body;
	const uint64_t left = body->size - running->sent;
	const size_t room = (size_t)MIN((uint64_t)(size * count), left);
	ssize_t n = (ssize_t)room;

	if (body->data)
		memcpy(out, (const char *)body->data + body->offset + running->sent, room);
	else
		n = pread(body->fd, out, room, (off_t)(body->offset + running->sent));
	if (n < 0 || (n == 0 && room > 0)) {
		running->result = cay_error_errno(running->err, n < 0 ? errno : EIO,
						  "reading what is to be sent");
		return CURL_READFUNC_ABORT;
	}
	running->sent += (uint64_t)n;
	if (body->sent)
		body->sent(running->sent, body->user);
	return (size_t)n;
}

/* A connection that turned out to be closed: curl sends the body again on another. */
static int on_seek(void *user, curl_off_t offset, int origin)
{
	struct running *running = user;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > running->request->body->size)
		return CURL_SEEKFUNC_FAIL;
	running->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct running *running = user;

	if (running->guarded && address_is_local(&address->addr)) {
		running->guard_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* As below. */
static void set_method(struct running *running)
{
	const struct transfer_request *request = running->request;
	CURL *easy = running->easy;

	if (request->form) {
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->form);
	} else if (!request->method) {
		return;
	} else if (strcmp(request->method, "HEAD") == 0) {
		(void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	} else if (request->body) {
		(void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
		(void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE,
				       (curl_off_t)request->body->size);
		(void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
		(void)curl_easy_setopt(easy, CURLOPT_READDATA, running);
		(void)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
		(void)curl_easy_setopt(easy, CURLOPT_SEEKDATA, running);
		(void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
	} else {
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
		(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
	}
}

/* As below. */
static void set_security(const struct running *running)
{
	const struct transfer_request *request = running->request;
	const struct certs *certs = request->certs;
	CURL *easy = running->easy;

	if (request->unverified) {
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (certs && certs->authorities.length > 0) {
		const struct curl_blob blob = { .data = certs->authorities.data,
						.len = certs->authorities.length,
						.flags = CURL_BLOB_NOCOPY };

		(void)curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	}
	if (certs && certs->certificate) {
		(void)curl_easy_setopt(easy, CURLOPT_SSLCERT, certs->certificate);
		(void)curl_easy_setopt(easy, CURLOPT_SSLKEY, certs->key);
	}
}

/* Each of these calls can fail only for lack of memory; curl then fails when it runs. */
static void set_options(struct running *running, const struct curl_slist *headers,
			const char *proxy)
{
	const struct transfer_request *request = running->request;
	CURL *easy = running->easy;

	curl_easy_reset(easy); /* connections are kept */
	(void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, running->detail);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	/*
	 * One request at a time has no use for HTTP/2, and libcurl 7.88 waits for the socket while
	 * a stream's bytes are in its buffers: 100 MB took a minute.
	 */
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* The thread that asks for an address is left to itself, not waited for. */
	(void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "cay/" CAY_VERSION);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, running);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, running);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, running);
	(void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* "" keeps curl from the environment, which it reads by rules of its own. */
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, proxy ? proxy : "");
	(void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	set_method(running);
	set_security(running);
}

static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
	_cleanup_free_ char *line = value ? xasprintf("%s: %s", name, value) : NULL;

	return line ? curl_slist_append(list, line) : list;
}

/* Whether it has all but stood still for too long. */
static bool is_idle(struct running *running)
{
	const int64_t now = clock_monotonic_ms(), span = now - running->window_ms;
	const struct transfer_body *body = running->request->body;
	const uint64_t moved = running->received + running->sent;
	const uint64_t bytes = moved - running->window_bytes;
	int64_t allowed = (int64_t)running->request->idle_seconds * 1000;

	if (body && body->size > 0 && running->sent == body->size)
		allowed *= COMMIT_PATIENCE;
	if (span < allowed)
		return false;
	if (bytes < (uint64_t)running->request->idle_seconds * IDLE_BYTES_PER_SECOND)
		return true;
	running->window_ms = now;
	running->window_bytes = moved;
	return false;
}

/* Drives the transfer to its end: curl's result, or a negative errno of ours. */
static int drive(CURLM *multi, struct running *running, CURLcode *ret_code)
{
	for (;;) {
		int left = 0, queued;
		CURLMsg *message;

		if (curl_multi_perform(multi, &left) != CURLM_OK)
			return cay_error_set(running->err, CAY_INTERNAL, EIO, "libcurl failed");
		message = curl_multi_info_read(multi, &queued);
		if (message && message->msg == CURLMSG_DONE) {
			*ret_code = message->data.result;
			return 0;
		}
		if (worker_is_cancelled(running->request->cancel))
			return worker_cancelled(running->err);
		if (is_idle(running)) {
			running->reply->transient = true;
			return cay_error_set(running->err, CAY_TIMEOUT, ETIMEDOUT, "the server %s",
					     running->request->body
						     ? "takes nothing and says nothing"
						     : "sends nothing");
		}
		(void)curl_multi_poll(multi, NULL, 0, POLL_MS, NULL);
	}
}

static bool is_transient(CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_PARTIAL_FILE:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

static int tell_failure(struct running *running, CURLcode code)
{
	_cleanup_free_ char *text = NULL;

	if (running->result < 0)
		return running->result;
	if (running->guard_refused)
		return cay_error_set(running->err, CAY_FORBIDDEN, EACCES,
				     "the registry leads to an address of this host or its link, "
				     "which is refused");
	running->reply->transient = is_transient(code);
	text = transfer_failure_text(code, running->request->url, running->detail);
	return cay_error_set(running->err,
			     code == CURLE_OPERATION_TIMEDOUT ? CAY_TIMEOUT : CAY_UNAVAILABLE, EIO,
			     "%s", text);
}

static int finish(struct running *running)
{
	char *redirect = NULL;

	running->reply->status = reply_status(running);
	(void)curl_easy_getinfo(running->easy, CURLINFO_REDIRECT_URL, &redirect);
	replace_string(&running->reply->redirect, redirect);
	return 0;
}

int transfer_run(struct transfer *transfer, const struct transfer_request *request,
		 struct transfer_reply *reply, struct cay_error *err)
{
	struct running running = {
		.request = request,
		.reply = reply,
		.easy = transfer->easy,
		.err = err,
		.window_ms = clock_monotonic_ms(),
	};
	_cleanup_free_ char *range = NULL, *proxy = NULL;
	struct curl_slist *headers = NULL;
	CURLcode code = CURLE_OK;
	int r;

	if (!transfer->multi || !transfer->easy)
		return cay_error_set(err, CAY_NO_SPACE, ENOMEM, "no memory for a transfer");
	if (worker_is_cancelled(request->cancel))
		return worker_cancelled(err); /* not even a connection is made */
	reply->length = -1;
	proxy = request->direct ? NULL : proxy_for(request->url);
	/* A connection to a proxy says nothing about where it leads. */
	running.guarded = request->guarded && !proxy;
	headers = add_header(headers, "Authorization", request->authorization);
	headers = add_header(headers, "Accept", request->accept);
	/* By hand: curl's own way to resume fails where a server answers with the whole. */
	range = request->offset ? xasprintf("bytes=%" PRIu64 "-", request->offset) : NULL;
	headers = add_header(headers, "Range", range);
	headers = add_header(headers, "Content-Type", request->content_type);
	headers = add_header(headers, "Content-Range", request->content_range);
	set_options(&running, headers, proxy);
	(void)curl_multi_add_handle(transfer->multi, transfer->easy);
	r = drive(transfer->multi, &running, &code);
	if (r == 0)
		r = code == CURLE_OK || running.enough ? finish(&running)
						       : tell_failure(&running, code);
	(void)curl_multi_remove_handle(transfer->multi, transfer->easy);
	(void)curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, NULL); /* it goes with us */
	curl_slist_free_all(headers);
	return r;
}
