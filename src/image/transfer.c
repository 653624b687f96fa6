/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request and its answer. */
#include "image/transfer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "image/address.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <strings.h>
#include <sys/socket.h>

enum {
	CONNECT_SECONDS = 20,
	POLL_MS = 100,
	HEADER_VALUE_MAX = 16384,
	CHALLENGES_MAX = 8,
	RETRY_AFTER_MAX = 60,
	IDLE_BYTES_PER_SECOND = 1024, /* less than this for idle_seconds is standing still */
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
	uint64_t received;
	int64_t window_ms; /* start of the stretch of time that is watched for standing still */
	uint64_t window_bytes;
	bool guard_refused;
};

void transfer_reply_done(struct transfer_reply *reply)
{
	free(reply->redirect);
	free(reply->content_type);
	free(reply->digest);
	free(reply->range);
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

/* One header line. Of several with one name the last counts, but for challenges. */
static size_t on_header(char *data, size_t size, size_t count, void *user)
{
	struct running *running = user;
	struct transfer_reply *reply = running->reply;
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
	if (name.length == 12 && strncasecmp(name.data, "Content-Type", 12) == 0) {
		text[strcspn(text, "; \t")] = '\0';
		replace_string(&reply->content_type, text);
	} else if (name.length == 21 && strncasecmp(name.data, "Docker-Content-Digest", 21) == 0) {
		replace_string(&reply->digest, text);
	} else if (name.length == 13 && strncasecmp(name.data, "Content-Range", 13) == 0) {
		replace_string(&reply->range, text);
	} else if (name.length == 16 && strncasecmp(name.data, "WWW-Authenticate", 16) == 0) {
		if (reply->challenges.count < CHALLENGES_MAX)
			strv_add(&reply->challenges, text);
	} else if (name.length == 11 && strncasecmp(name.data, "Retry-After", 11) == 0) {
		uint64_t seconds;

		/* A date instead of a number is rare: the usual pause serves for it. */
		if (parse_u64(text, UINT32_MAX, &seconds) == 0)
			reply->retry_after = (unsigned int)MIN(seconds, RETRY_AFTER_MAX);
	}
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
		if (running->received > 16 * TRANSFER_ERROR_MAX)
			return 0;
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

static curl_socket_t on_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct running *running = user;

	if (running->request->guarded && address_is_local(&address->addr)) {
		running->guard_refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Each of these calls can fail only for lack of memory; curl then fails when it runs. */
static void set_options(struct running *running, const struct curl_slist *headers)
{
	const struct transfer_request *request = running->request;
	CURL *easy = running->easy;

	curl_easy_reset(easy); /* connections are kept */
	(void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
	(void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
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
	if (request->direct)
		(void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
	if (request->form)
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->form);
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
	const uint64_t bytes = running->received - running->window_bytes;

	if (span < (int64_t)running->request->idle_seconds * 1000)
		return false;
	if (bytes < (uint64_t)running->request->idle_seconds * IDLE_BYTES_PER_SECOND)
		return true;
	running->window_ms = now;
	running->window_bytes = running->received;
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
			return cay_error_set(running->err, CAY_TIMEOUT, ETIMEDOUT,
					     "the server sends nothing");
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
	if (running->result < 0)
		return running->result;
	if (running->guard_refused)
		return cay_error_set(running->err, CAY_FORBIDDEN, EACCES,
				     "the registry leads to an address of this host or its link, "
				     "which is refused");
	running->reply->transient = is_transient(code);
	/* curl's own texts name hosts at most, never a whole URL with what may be secret in it. */
	return cay_error_set(running->err,
			     code == CURLE_OPERATION_TIMEDOUT ? CAY_TIMEOUT : CAY_UNAVAILABLE, EIO,
			     "%s", curl_easy_strerror(code));
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
	_cleanup_free_ char *range = NULL;
	struct curl_slist *headers = NULL;
	CURLcode code = CURLE_OK;
	int r;

	if (!transfer->multi || !transfer->easy)
		return cay_error_set(err, CAY_NO_SPACE, ENOMEM, "no memory for a transfer");
	headers = add_header(headers, "Authorization", request->authorization);
	headers = add_header(headers, "Accept", request->accept);
	/* By hand: curl's own way to resume fails where a server answers with the whole. */
	range = request->offset ? xasprintf("bytes=%" PRIu64 "-", request->offset) : NULL;
	headers = add_header(headers, "Range", range);
	set_options(&running, headers);
	(void)curl_multi_add_handle(transfer->multi, transfer->easy);
	r = drive(transfer->multi, &running, &code);
	if (r == 0)
		r = code == CURLE_OK ? finish(&running) : tell_failure(&running, code);
	(void)curl_multi_remove_handle(transfer->multi, transfer->easy);
	curl_slist_free_all(headers);
	return r;
}
