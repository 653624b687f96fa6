/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request targets and the router: the first line of the input is a method, the
 * rest the target as it stands in a request. What comes through must be safe.
 */
#include "base/alloc.h"
#include "daemon/http-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 64 * 1024 };

static int no_handler(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return 0;
}

static const struct http_route routes[] = {
	{ "GET", "/_ping", no_handler },
	{ "GET", "/containers/json", no_handler },
	{ "GET", "/containers/*/json", no_handler },
	{ "POST", "/containers/*/start", no_handler },
	{ "GET", "/images/**/json", no_handler },
	{ "POST", "/images/**/tag", no_handler },
	{ "DELETE", "/images/**", no_handler },
	{ "GET", "/a/*/b/**/c/*", no_handler },
	{},
};
static const struct http_route *const tables[] = { routes };

static void check_segment(const char *segment)
{
	if (!*segment || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
		abort();
	for (; *segment; segment++)
		if ((unsigned char)*segment < ' ' || *segment == 0x7f)
			abort();
}

/* "a..b" is a name like any other; a segment ".." is not. */
static void check_param(const char *param)
{
	struct str rest = str_from(param);

	if (!*param)
		abort();
	while (rest.length > 0)
		if (str_equals(str_split(rest, '/', &rest), ".."))
			abort();
}

static void check(const struct http_target *target, const char *method)
{
	const struct http_router router = { tables, ARRAY_SIZE(tables) };
	_cleanup_strv_ struct strv params = {};
	_cleanup_free_ char *allowed = NULL;
	const struct http_route *route = NULL;
	struct cay_error err = {};
	int r;

	if (target->segments.count > HTTP_SEGMENTS_MAX ||
	    target->names.count > HTTP_ARGUMENTS_MAX || target->names.count != target->values.count)
		abort();
	for (size_t i = 0; i < target->segments.count; i++)
		check_segment(target->segments.items[i]);
	r = http_router_find(&router, method, target, &route, &params, &allowed, &err);
	if ((r == 0) != (route != NULL) || (r < 0 && err.code == CAY_OK))
		abort();
	for (size_t i = 0; i < params.count; i++)
		check_param(params.items[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, MIN(size, (size_t)INPUT_MAX));
	struct str rest, line = str_split(str_from(text), '\n', &rest);
	_cleanup_free_ char *method = str_dup(line);
	struct http_target target = {};
	struct cay_error err = {};

	if (http_target_parse(rest.data, &target, &err) == 0) {
		check(&target, method);
		http_target_done(&target);
	} else if (err.code == CAY_OK) {
		abort();
	}
	return 0;
}
