/* SPDX-License-Identifier: Apache-2.0 */
/* What a request asks, as handlers see it, and whether its client is still there. */
#include "base/clock.h"
#include "base/json.h"
#include "daemon/http-internal.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#define NS_PER_SECOND INT64_C(1000000000)

unsigned int http_api_version(const struct http_request *request)
{
	return request->target.version;
}

const char *http_param(const struct http_request *request, unsigned int n)
{
	assert(n < request->params.count);
	return request->params.items[n];
}

const char *http_query(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->target.names.count; i++)
		if (strcmp(request->target.names.items[i], name) == 0)
			return request->target.values.items[i];
	return NULL;
}

void http_query_all(const struct http_request *request, const char *name, struct strv *values)
{
	for (size_t i = 0; i < request->target.names.count; i++)
		if (strcmp(request->target.names.items[i], name) == 0)
			strv_add(values, request->target.values.items[i]);
}

bool http_query_bool(const struct http_request *request, const char *name, bool absent)
{
	static const char *const falsehoods[] = { "", "0", "no", "false", "none" };
	const char *value = http_query(request, name);

	if (!value)
		return absent;
	for (size_t i = 0; i < ARRAY_SIZE(falsehoods); i++)
		if (strcasecmp(value, falsehoods[i]) == 0)
			return false;
	return true;
}

int http_query_int(const struct http_request *request, const char *name, int64_t min, int64_t max,
		   int64_t *target, struct cay_error *err)
{
	const char *value = http_query(request, name);
	bool negative;
	uint64_t number;
	int64_t result;

	if (!value || !*value)
		return 0;
	negative = *value == '-';
	if (parse_u64(value + negative, INT64_MAX, &number) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s: \"%.64s\" is not a number",
				     name, value);
	result = negative ? -(int64_t)number : (int64_t)number;
	if (result < min || result > max)
		return cay_error_set(err, CAY_INVALID, ERANGE, "%s: %s is out of range", name,
				     value);
	*target = result;
	return 0;
}

/* "1234" or "1234.5678"; digits beyond the ninth of the fraction count for nothing. */
static int parse_epoch(const char *text, int64_t *ret_ns)
{
	struct str fraction, seconds = str_split(str_from(text), '.', &fraction);
	uint64_t whole, nanoseconds = 0;
	size_t digits = MIN(fraction.length, 9);

	if (str_to_u64(seconds, INT64_MAX / NS_PER_SECOND - 1, &whole) < 0)
		return -EINVAL;
	if (digits > 0 &&
	    str_to_u64((struct str){ fraction.data, digits }, UINT64_MAX, &nanoseconds) < 0)
		return -EINVAL;
	for (; digits < 9; digits++)
		nanoseconds *= 10;
	*ret_ns = (int64_t)whole * NS_PER_SECOND + (int64_t)nanoseconds;
	return 0;
}

/* "1h30m": so long ago. */
static int parse_ago(const char *text, int64_t *ret_ns)
{
	static const struct {
		char unit;
		int64_t ns;
	} units[] = { { 'h', 3600 * NS_PER_SECOND },
		      { 'm', 60 * NS_PER_SECOND },
		      { 's', NS_PER_SECOND } };
	enum { NUMBER_MAX = 1000000 }; /* of the largest unit, a century */
	int64_t ago = 0;

	while (*text) {
		size_t digits = strspn(text, "0123456789"), unit = 0;
		uint64_t number;

		if (str_to_u64((struct str){ text, digits }, NUMBER_MAX, &number) < 0)
			return -EINVAL;
		while (unit < ARRAY_SIZE(units) && units[unit].unit != text[digits])
			unit++;
		if (unit == ARRAY_SIZE(units) || ago > INT64_MAX / 4)
			return -EINVAL;
		ago += (int64_t)number * units[unit].ns;
		text += digits + 1;
	}
	*ret_ns = MAX(clock_now_ns() - ago, 0);
	return 0;
}

int http_time_parse(const char *text, int64_t *ret_ns)
{
	if (!*text)
		return -EINVAL;
	if (parse_epoch(text, ret_ns) == 0 || parse_ago(text, ret_ns) == 0)
		return 0;
	return clock_parse(text, ret_ns);
}

int http_query_time(const struct http_request *request, const char *name, int64_t *target,
		    struct cay_error *err)
{
	const char *value = http_query(request, name);

	if (!value || !*value)
		return 0;
	if (http_time_parse(value, target) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s: \"%.64s\" is not a time", name,
				     value);
	return 0;
}

const char *http_header(const struct http_request *request, const char *name)
{
	return http_head_field(&request->head, name);
}

/* As docker: what says it is something else than JSON is not read as JSON. */
static int check_type(const struct http_request *request, struct cay_error *err)
{
	const char *type = http_header(request, "Content-Type");
	struct str rest, media;

	if (!type)
		return 0;
	media = str_strip(str_split(str_from(type), ';', &rest), " \t");
	if (str_equals_nocase(media, "application/json"))
		return 0;
	return cay_error_set(err, CAY_INVALID, EINVAL,
			     "unsupported Content-Type header (%.64s): must be 'application/json'",
			     type);
}

int http_body_json(struct http_request *request, json_t **ret_body, struct cay_error *err)
{
	_cleanup_json_ json_t *value = NULL;
	int r;

	assert(!request->route->raw_body);
	if (!request->json && request->body.length > 0) {
		r = check_type(request, err);
		if (r < 0)
			return r;
		r = json_parse(request->body.data, request->body.length, "request body", &value,
			       err);
		if (r < 0)
			return r;
		if (json_is_null(value)) { /* docker's older clients say nothing in this way */
			buf_clear(&request->body);
			*ret_body = NULL;
			return 0;
		}
		if (!json_is_object(value))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "the request body is not a JSON object");
		request->json = TAKE_PTR(value);
		buf_done(&request->body);
	}
	*ret_body = request->json;
	return 0;
}

/* ---- the client's presence ---- */

static int watch(int epoll, int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/*
 * An epoll is itself readable when one of its descriptors is. EPOLLHUP, which comes unasked, is
 * what a Unix socket says when the other side has closed it; after a mere shutdown of its sending
 * side it says EPOLLRDHUP, which is not asked for.
 */
int http_request_gone_fd(struct http_request *request)
{
	_cleanup_close_ int epoll = -1;

	if (request->gone_fd >= 0)
		return request->gone_fd;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0 || watch(epoll, request->connection->socket, 0) < 0 ||
	    watch(epoll, request->server->stop_fd, EPOLLIN) < 0)
		/* Out of descriptors: all that is lost is the client's leave; the stop is not. */
		return request->server->stop_fd;
	request->gone_fd = TAKE_FD(epoll);
	return request->gone_fd;
}

bool http_request_gone(struct http_request *request)
{
	struct pollfd waiting = { .fd = http_request_gone_fd(request), .events = POLLIN };

	return __atomic_load_n(&request->broken, __ATOMIC_RELAXED) ||
		__atomic_load_n(&request->body_failed, __ATOMIC_RELAXED) ||
		poll(&waiting, 1, 0) > 0;
}
