/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's address, and the paths and common forms of calls to it. */
#include "cli/client.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <sys/un.h>

enum {
	STREAM_DOCUMENT_MAX = 4 * 1024 * 1024, /* one JSON document of a stream */
};

int client_default_run_directory(char **ret_path, struct cay_error *err)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		*ret_path = xstrdup("/run/cay");
	else if (runtime && *runtime == '/')
		*ret_path = path_join(runtime, "cay");
	else
		return cay_error_set(err, CAY_INVALID, ENOENT,
				     "XDG_RUNTIME_DIR is not set, so the daemon has no default "
				     "address; name one with --host unix:///PATH");
	return 0;
}

int client_new(const char *host, struct client **ret_client, struct cay_error *err)
{
	_cleanup_(client_free_p) struct client *client = xcalloc(1, sizeof(*client));
	int r;

	if (!host || !*host)
		host = getenv("CAY_HOST");
	if (host && *host) {
		if (!starts_with(host, "unix:///"))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%s\" is not a daemon's address of the form "
					     "unix:///PATH",
					     host);
		client->path = xstrdup(host + strlen("unix://"));
	} else {
		_cleanup_free_ char *run = NULL;

		r = client_default_run_directory(&run, err);
		if (r < 0)
			return r;
		client->path = path_join(run, "cay.sock");
		client->is_default = true;
	}
	if (strlen(client->path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return cay_error_set(err, CAY_INVALID, ENAMETOOLONG,
				     "%s: the path of a socket has at most %zu characters",
				     client->path,
				     sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	*ret_client = TAKE_PTR(client);
	return 0;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	free(client->path);
	free(client);
}

void target_done(struct target *target)
{
	buf_done(&target->text);
}

/* Keeps RFC 3986's unreserved characters; '/' too where it separates a name's parts. */
static void append_encoded(struct buf *out, const char *text, const char *also)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~", c) || strchr(also, c))
			buf_putc(out, (char)c);
		else
			buf_printf(out, "%%%02X", c);
	}
}

void target_set(struct target *target, const char *format, const char *first, const char *second)
{
	buf_clear(&target->text);
	target->has_query = false;
	for (; *format; format++) {
		if (first && starts_with(format, "%s")) {
			append_encoded(&target->text, first, "/:");
			first = second;
			format++;
		} else {
			buf_putc(&target->text, *format);
		}
	}
}

void target_add(struct target *target, const char *key, const char *value)
{
	buf_printf(&target->text, "%c%s=", target->has_query ? '&' : '?', key);
	append_encoded(&target->text, value, "/:");
	target->has_query = true;
}

void target_add_int(struct target *target, const char *key, int64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	target_add(target, key, text);
}

void target_add_json(struct target *target, const char *key, const json_t *value)
{
	_cleanup_free_ char *text = json_print(value);

	target_add(target, key, text);
}

int client_call(struct client *client, const char *method, const struct target *target,
		const json_t *body, json_t **ret_value, struct cay_error *err)
{
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_json_ json_t *value = NULL;
	const struct call_spec spec = {
		.method = method, .target = target, .body = body, .body_fd = -1
	};
	int r = call_open(client, &spec, &call, err);

	if (r >= 0)
		r = call_json(call, &value, err);
	if (r < 0)
		return r;
	if (ret_value)
		*ret_value = TAKE_PTR(value);
	return 0;
}

int client_ping(struct client *client, int timeout_ms, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };
	int r;

	target_set(&target, "/_ping", NULL, NULL);
	r = call_open(client, &spec, &call, err);
	return r < 0 ? r : call_finish(call, timeout_ms, err);
}

int client_call_named(struct client *client, const char *method, const char *format,
		      const char *name, json_t **ret_value, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };

	target_set(&target, format, name, NULL);
	return client_call(client, method, &target, NULL, ret_value, err);
}

int call_copy_body(struct call *call, int fd, const char *name, struct cay_error *err)
{
	_cleanup_buf_ struct buf data = { 0 };
	int r = call_wait_head(call, err);

	while (r >= 0 && (r = call_read(call, &data, err)) > 0) {
		r = write_full(fd, data.data, data.length);
		if (r < 0)
			return cay_error_errno(err, r, "writing %s", name);
	}
	return r;
}

/* Where the JSON document at the front of the text ends, or 0 where it is not all there. */
static size_t document_end(const char *data, size_t size)
{
	unsigned int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = data[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if ((c == '}' || c == ']') && depth > 0 && --depth == 0) {
			return i + 1;
		}
	}
	return 0;
}

int client_stream_json(struct call *call,
		       int (*each)(void *context, const json_t *value, struct cay_error *err),
		       void *context, struct cay_error *err)
{
	_cleanup_buf_ struct buf pending = { 0 }, data = { 0 };
	int r = call_wait_head(call, err);

	while (r >= 0 && (r = call_read(call, &data, err)) > 0) {
		size_t end;

		buf_append(&pending, data.data, data.length);
		while ((end = document_end(buf_text(&pending), pending.length)) > 0) {
			_cleanup_json_ json_t *value = NULL;

			r = json_parse(pending.data, end, "the daemon's answer", &value, err);
			if (r >= 0)
				r = each(context, value, err);
			if (r < 0)
				return r;
			buf_consume(&pending, end);
		}
		if (pending.length > STREAM_DOCUMENT_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
					     "the daemon's answer has a document over %d bytes",
					     STREAM_DOCUMENT_MAX);
	}
	return r;
}
