/* SPDX-License-Identifier: Apache-2.0 */
/* The Engine API's containers: the routes, and the handlers that change a container's state. */
#include "daemon/api/containers.h"

#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/containers.h"
#include "daemon/damaged.h"
#include "daemon/lifecycle.h"
#include "daemon/shim.h"
#include "daemon/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

enum { TERMINAL_SIZE_MAX = 65535 };

int api_find_container(struct daemon *daemon, const struct http_request *request,
		       struct container **ret_container, struct cay_error *err)
{
	return containers_find(daemon->containers, http_param(request, 0), ret_container, err);
}

int api_reply_done(struct http_request *request, int result, const struct cay_error *err)
{
	if (result < 0 && err->code != CAY_NOT_MODIFIED)
		return result;
	return http_reply_empty(request, result < 0 ? 304 : 204);
}

int api_read_size(const struct http_request *request, unsigned int *ret_columns,
		  unsigned int *ret_rows, struct cay_error *err)
{
	int64_t columns = 0, rows = 0;
	int r = http_query_int(request, "w", 0, TERMINAL_SIZE_MAX, &columns, err);

	if (r == 0)
		r = http_query_int(request, "h", 0, TERMINAL_SIZE_MAX, &rows, err);
	if (r < 0)
		return r;
	*ret_columns = (unsigned int)columns;
	*ret_rows = (unsigned int)rows;
	return 0;
}

/* Older clients know one type only. */
const char *api_stream_type(const struct http_request *request, bool raw)
{
	return raw || http_api_version(request) < 42 ? "application/vnd.docker.raw-stream"
						     : "application/vnd.docker.multiplexed-stream";
}

static int create(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_strv_ struct strv warnings = { 0 };
	const char *name = http_query(request, "name");
	json_t *body, *reply;
	int r = http_body_json(request, &body, err);

	if (r < 0)
		return r;
	if (!body)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "config cannot be empty in order to create a container");
	r = container_create(daemon, name && name[0] != '\0' ? name : NULL,
			     http_query(request, "platform"), body, &container, &warnings, err);
	if (r < 0)
		return r;
	reply = json_object();
	json_set_string(reply, "Id", container->id);
	json_set(reply, "Warnings", json_from_strv(&warnings));
	return http_reply_json(request, 201, reply);
}

static int start(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = api_reply_done(request, container_start(container, err), err);
	return r;
}

/* The arguments of stop and restart: "t", and "signal" of newer clients. */
static int read_stop(const struct http_request *request, int *ret_signal, int64_t *ret_timeout,
		     struct cay_error *err)
{
	const char *name = http_query(request, "signal");

	*ret_signal = 0;
	*ret_timeout = INT64_MIN;
	if (name && name[0] != '\0') {
		*ret_signal = signal_parse(name);
		if (*ret_signal < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL, "invalid signal: %.64s",
					     name);
	}
	return http_query_int(request, "t", -1, INT32_MAX, ret_timeout, err);
}

static int stop_or_restart(struct daemon *daemon, struct http_request *request,
			   int (*act)(struct container *container, int signal, int64_t timeout,
				      struct cay_error *err),
			   struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	int64_t timeout;
	int signal, r = read_stop(request, &signal, &timeout, err);

	if (r == 0)
		r = api_find_container(daemon, request, &container, err);
	if (r == 0)
		r = api_reply_done(request, act(container, signal, timeout, err), err);
	return r;
}

static int stop(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return stop_or_restart(daemon, request, container_stop, err);
}

static int restart(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return stop_or_restart(daemon, request, container_restart, err);
}

static int kill_container(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	const char *name = http_query(request, "signal");
	int signal = name && name[0] != '\0' ? signal_parse(name) : SIGKILL, r;

	if (signal < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid signal: %.64s", name);
	r = api_find_container(daemon, request, &container, err);
	if (r == 0)
		r = api_reply_done(request, container_kill(container, signal, err), err);
	return r;
}

static int pause_container(struct daemon *daemon, struct http_request *request,
			   struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = api_reply_done(request, container_pause(container, err), err);
	return r;
}

static int unpause(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	int r = api_find_container(daemon, request, &container, err);

	if (r == 0)
		r = api_reply_done(request, container_resume(container, err), err);
	return r;
}

static int rename_container(struct daemon *daemon, struct http_request *request,
			    struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	const char *name = http_query(request, "name");
	int r = api_find_container(daemon, request, &container, err);

	if (r < 0)
		return r;
	if (!name || name[0] == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Neither old nor new names may be empty");
	return api_reply_done(request, container_rename(container, name, err), err);
}

static int remove_container(struct daemon *daemon, struct http_request *request,
			    struct cay_error *err)
{
	const bool force = http_query_bool(request, "force", false);
	_cleanup_container_ struct container *container = NULL;
	struct cay_error missing = { 0 };
	int r = api_find_container(daemon, request, &container, &missing);

	if (r < 0) {
		r = damaged_remove(daemon, http_param(request, 0), force, err);
		if (r != 0)
			return api_reply_done(request, r, err);
		*err = missing;
		return -err->err;
	}
	if (http_query_bool(request, "link", false))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "links between containers are not supported");
	return api_reply_done(
		request,
		container_remove(container, force, http_query_bool(request, "v", false), err), err);
}

static int resize(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	unsigned int columns, rows;
	int r = api_read_size(request, &columns, &rows, err);

	if (r == 0)
		r = api_find_container(daemon, request, &container, err);
	if (r == 0)
		r = container_require_up(container, err);
	if (r == 0)
		r = shim_resize(container, "", columns, rows, err);
	return r < 0 ? r : http_reply_empty(request, 200);
}

/* ---- wait ---- */

enum wait_condition { WAIT_NOT_RUNNING, WAIT_NEXT_EXIT, WAIT_REMOVED };

static int parse_condition(const char *text, enum wait_condition *ret_condition,
			   struct cay_error *err)
{
	if (!text || text[0] == '\0' || strcmp(text, "not-running") == 0)
		*ret_condition = WAIT_NOT_RUNNING;
	else if (strcmp(text, "next-exit") == 0)
		*ret_condition = WAIT_NEXT_EXIT;
	else if (strcmp(text, "removed") == 0)
		*ret_condition = WAIT_REMOVED;
	else
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid condition: \"%.64s\"",
				     text);
	return 0;
}

/* With `exits` from when the wait began. */
static bool is_fulfilled(struct container *container, enum wait_condition condition,
			 unsigned int exits, int *ret_exit_code)
{
	bool done = false;

	(void)pthread_mutex_lock(&container->lock);
	switch (condition) {
	case WAIT_NOT_RUNNING:
		done = !container_is_up(container->status) &&
			container->status != CONTAINER_STARTING;
		break;
	case WAIT_NEXT_EXIT:
		done = container->exits != exits || container->status == CONTAINER_REMOVED;
		break;
	case WAIT_REMOVED:
		done = container->status == CONTAINER_REMOVED ||
			container->status == CONTAINER_DEAD;
		break;
	}
	*ret_exit_code = container->run.exit_code;
	(void)pthread_mutex_unlock(&container->lock);
	return done;
}

/* The watch was added before `exits` was read, so nothing falls between. */
static bool wait_for(struct container *container, struct container_watch *watch,
		     enum wait_condition condition, unsigned int exits, int gone_fd,
		     int *ret_exit_code)
{
	struct pollfd fds[] = {
		{ .fd = watch->fd, .events = POLLIN },
		{ .fd = gone_fd, .events = POLLIN },
	};

	while (!is_fulfilled(container, condition, exits, ret_exit_code)) {
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[1].revents)
			return false;
		container_watch_clear(watch);
	}
	return true;
}

static int wait_container(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_view_ struct container_view view = { 0 };
	struct container_watch watch;
	enum wait_condition condition = WAIT_NOT_RUNNING;
	int exit_code, r = parse_condition(http_query(request, "condition"), &condition, err);

	if (r == 0)
		r = api_find_container(daemon, request, &container, err);
	if (r == 0)
		r = container_watch_add(container, &watch, err);
	if (r < 0)
		return r;
	container_view(container, &view);
	/* Clients start the container once they have seen this reply's headers. */
	r = http_stream_begin(request, 200, "application/json");
	if (r == 0 &&
	    wait_for(container, &watch, condition, view.exits, http_request_gone_fd(request),
		     &exit_code)) {
		_cleanup_json_ json_t *reply = json_pack("{s:i}", "StatusCode", exit_code);
		_cleanup_free_ char *text = json_print(reply);

		(void)http_stream_write(request, text, strlen(text)); /* a client that left */
	}
	container_watch_remove(container, &watch);
	return 0;
}

const struct http_route api_containers_routes[] = {
	{ "GET", "/containers/json", api_containers_list },
	{ "POST", "/containers/create", create },
	{ "POST", "/containers/prune", api_containers_prune },
	{ "HEAD", "/containers/*/archive", api_containers_archive_head },
	{ "GET", "/containers/*/archive", api_containers_archive_get },
	{ "PUT", "/containers/*/archive", api_containers_archive_put, .raw_body = true },
	{ "GET", "/containers/*/changes", api_containers_changes },
	{ "GET", "/containers/*/export", api_containers_export },
	{ "GET", "/containers/*/json", api_containers_inspect },
	{ "GET", "/containers/*/logs", api_containers_logs },
	{ "GET", "/containers/*/stats", api_containers_stats },
	{ "GET", "/containers/*/top", api_containers_top },
	{ "POST", "/containers/*/attach", api_containers_attach },
	{ "POST", "/containers/*/exec", api_exec_create },
	{ "POST", "/containers/*/kill", kill_container },
	{ "POST", "/containers/*/pause", pause_container },
	{ "POST", "/containers/*/rename", rename_container },
	{ "POST", "/containers/*/resize", resize },
	{ "POST", "/containers/*/restart", restart },
	{ "POST", "/containers/*/start", start },
	{ "POST", "/containers/*/stop", stop },
	{ "POST", "/containers/*/unpause", unpause },
	{ "POST", "/containers/*/wait", wait_container },
	{ "DELETE", "/containers/*", remove_container },
	{ 0 },
};
