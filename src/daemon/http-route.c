/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets and routes. The whole path is decoded before it is cut into
 * segments, as docker does it, so that "library%2Fbusybox" and
 * "library/busybox" are the same image; segments that walk the file system are
 * refused after decoding, when nothing can hide them any more.
 */
#include "base/id.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/http-internal.h"

#include <errno.h>

/* jansson makes no string of text that is not UTF-8, and has the strictest check at hand. */
static bool is_utf8(const struct buf *text)
{
	_cleanup_json_ json_t *string = json_stringn(buf_text(text), text->length);

	return string;
}

/* Decodes escapes, and '+' where it stands for a blank. NUL never comes out. */
static int decode(struct str text, bool plus_is_blank, struct buf *out, struct cay_error *err)
{
	for (size_t i = 0; i < text.length; i++) {
		int c = (unsigned char)text.data[i];

		if (c == '%') {
			int high = i + 2 < text.length ? hex_digit(text.data[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;

			if (low < 0)
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "invalid escape in the request's URL");
			c = high * 16 + low;
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		if (c == '\0')
			return cay_error_set(err, CAY_INVALID, EINVAL, "NUL in the request's URL");
		buf_putc(out, (char)c);
	}
	if (!is_utf8(out))
		return cay_error_set(err, CAY_INVALID, EINVAL, "the request's URL is not UTF-8");
	return 0;
}

static int parse_query(struct str query, struct http_target *target, struct cay_error *err)
{
	while (query.length > 0) {
		struct str value, part = str_split(query, '&', &query);
		struct str name = str_split(part, '=', &value);
		_cleanup_buf_ struct buf decoded_name = {}, decoded_value = {};
		int r;

		if (part.length == 0)
			continue;
		if (target->names.count == HTTP_ARGUMENTS_MAX)
			return cay_error_set(err, CAY_INVALID, E2BIG,
					     "more than %d arguments in the request's URL",
					     HTTP_ARGUMENTS_MAX);
		r = decode(name, true, &decoded_name, err);
		if (r < 0)
			return r;
		r = decode(value, true, &decoded_value, err);
		if (r < 0)
			return r;
		strv_take(&target->names, buf_steal(&decoded_name));
		strv_take(&target->values, buf_steal(&decoded_value));
	}
	return 0;
}

/* "v1.43": 1 and 43. Anything of another form is a plain segment. */
static bool parse_version(struct str segment, unsigned int *ret_major, unsigned int *ret_minor)
{
	struct str minor, major = str_split(segment, '.', &minor);
	uint64_t major_number, minor_number;

	if (major.length < 2 || major.data[0] != 'v')
		return false;
	major.data++;
	major.length--;
	if (str_to_u64(major, 1000, &major_number) < 0 ||
	    str_to_u64(minor, 1000, &minor_number) < 0)
		return false;
	*ret_major = (unsigned int)major_number;
	*ret_minor = (unsigned int)minor_number;
	return true;
}

/* Docker's words: clients show them, and some look for "is too new". */
static int check_version(unsigned int major, unsigned int minor, struct cay_error *err)
{
	if (major > API_MAJOR || (major == API_MAJOR && minor > API_MINOR))
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"client version %u.%u is too new. Maximum supported API version is %s",
			major, minor, API_VERSION);
	if (major < API_MAJOR || minor < API_MINOR_MIN)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "client version %u.%u is too old. Minimum supported API "
				     "version is %s, please upgrade your client to a newer version",
				     major, minor, API_VERSION_MIN);
	return 0;
}

static int check_segment(struct str segment, struct cay_error *err)
{
	if (segment.length == 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "page not found");
	if (str_equals(segment, ".") || str_equals(segment, ".."))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%.*s\" in the path of the request", (int)segment.length,
				     segment.data);
	for (size_t i = 0; i < segment.length; i++)
		if ((unsigned char)segment.data[i] < ' ' || segment.data[i] == 0x7f)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "control character in the path of the request");
	return 0;
}

static int parse_path(struct str path, struct http_target *target, struct cay_error *err)
{
	_cleanup_buf_ struct buf decoded = {};
	struct str rest;
	bool first = true;
	int r;

	if (path.length == 0 || path.data[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the request's URL does not begin with '/'");
	r = decode((struct str){ path.data + 1, path.length - 1 }, false, &decoded, err);
	if (r < 0)
		return r;
	rest = (struct str){ buf_text(&decoded), decoded.length };
	for (bool last = false; !last; first = false) {
		unsigned int major, minor;
		struct str segment;

		last = !memchr(rest.data, '/', rest.length);
		segment = str_split(rest, '/', &rest);
		if (first && !last && parse_version(segment, &major, &minor)) {
			r = check_version(major, minor, err);
			if (r < 0)
				return r;
			target->version = minor;
			continue;
		}
		r = check_segment(segment, err);
		if (r < 0)
			return r;
		if (target->segments.count == HTTP_SEGMENTS_MAX)
			return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "page not found");
		strv_take(&target->segments, str_dup(segment));
	}
	return 0;
}

int http_target_parse(const char *text, struct http_target *ret_target, struct cay_error *err)
{
	struct http_target target = { .version = API_MINOR };
	struct str query, path = str_split(str_from(text), '?', &query);
	int r;

	r = parse_path(path, &target, err);
	if (r == 0)
		r = parse_query(query, &target, err);
	if (r < 0) {
		http_target_done(&target);
		return r;
	}
	*ret_target = target;
	return 0;
}

void http_target_done(struct http_target *target)
{
	strv_done(&target->segments);
	strv_done(&target->names);
	strv_done(&target->values);
}

static size_t count_segments(const char *pattern)
{
	size_t count = 0;

	for (const char *c = pattern; *c; c++)
		count += *c == '/';
	return count;
}

static char *join_segments(const struct strv *segments, size_t from, size_t count)
{
	struct buf joined = {};

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_putc(&joined, '/');
		buf_puts(&joined, segments->items[from + i]);
	}
	return buf_steal(&joined);
}

static bool match_pattern(const char *pattern, const struct strv *segments, struct strv *params)
{
	size_t pattern_count = count_segments(pattern), next = 0;
	struct str rest = str_from(pattern + 1);

	for (size_t i = 0; i < pattern_count; i++) {
		struct str part = str_split(rest, '/', &rest);
		size_t take = 1;

		if (str_equals(part, "**")) {
			if (segments->count < pattern_count)
				return false;
			take = segments->count - (pattern_count - 1);
		}
		if (next + take > segments->count)
			return false;
		if (str_starts(part, "*"))
			strv_take(params, join_segments(segments, next, take));
		else if (!str_equals(part, segments->items[next]))
			return false;
		next += take;
	}
	return next == segments->count;
}

static void add_allowed(struct buf *allowed, const char *method)
{
	if (!strstr(buf_text(allowed), method))
		buf_printf(allowed, "%s%s", allowed->length > 0 ? ", " : "", method);
}

int http_router_find(const struct http_router *router, const char *method,
		     const struct http_target *target, const struct http_route **ret_route,
		     struct strv *params, char **ret_allowed, struct cay_error *err)
{
	const struct http_route *for_head = NULL;
	_cleanup_buf_ struct buf allowed = {};
	_cleanup_strv_ struct strv head_params = {};

	for (size_t t = 0; t < router->table_count; t++) {
		for (const struct http_route *row = router->tables[t]; row->method; row++) {
			_cleanup_strv_ struct strv found = {};

			if (!match_pattern(row->path, &target->segments, &found))
				continue;
			add_allowed(&allowed, row->method);
			if (strcmp(row->method, method) == 0) {
				strv_copy(params, &found);
				*ret_route = row;
				return 0;
			}
			if (!for_head && strcmp(method, "HEAD") == 0 &&
			    strcmp(row->method, "GET") == 0) {
				for_head = row;
				strv_copy(&head_params, &found);
			}
		}
	}
	if (for_head) {
		strv_copy(params, &head_params);
		*ret_route = for_head;
		return 0;
	}
	if (allowed.length == 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "page not found");
	*ret_allowed = buf_steal(&allowed);
	return cay_error_set(err, CAY_INVALID, EOPNOTSUPP, "method %s is not allowed here", method);
}
