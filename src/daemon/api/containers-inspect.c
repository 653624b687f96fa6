/* SPDX-License-Identifier: Apache-2.0 */
/* GET /containers/{id}/json: everything about one container, in docker's shape. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/containers.h"
#include "daemon/api/network-json.h"
#include "daemon/exec.h"
#include "daemon/mounts.h"

static void set_time(json_t *object, const char *key, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	clock_format_utc(ns, text);
	json_set_string(object, key, text);
}

static json_t *make_state(const struct container_view *view)
{
	json_t *state = json_object();
	bool up = container_is_up(view->status);

	json_set_string(state, "Status", container_status_name(view->status));
	json_set_bool(state, "Running", up);
	json_set_bool(state, "Paused", view->status == CONTAINER_PAUSED);
	json_set_bool(state, "Restarting", false);
	json_set_bool(state, "OOMKilled", view->run.oom_killed);
	json_set_bool(state, "Dead", view->status == CONTAINER_DEAD);
	/* The VM's process: the container's own is not on this host. */
	json_set_int(state, "Pid", up ? view->run.vm_pid : 0);
	json_set_int(state, "ExitCode", up ? 0 : view->run.exit_code);
	json_set_string(state, "Error", view->run.error);
	set_time(state, "StartedAt", view->run.started_ns);
	set_time(state, "FinishedAt", view->run.finished_ns);
	return state;
}

static void set_arguments(json_t *object, const struct request *request)
{
	json_t *rest = json_array();

	for (size_t i = 1; i < request->arguments.count; i++)
		(void)json_array_append_new(rest, json_string(request->arguments.items[i]));
	json_set_string(object, "Path", request->arguments.items[0]);
	json_set(object, "Args", rest);
}

static void set_paths(json_t *object, const struct container *container)
{
	_cleanup_free_ char *log = container_log_path(container);

	/* These three are made in the guest. */
	json_set_string(object, "ResolvConfPath", "");
	json_set_string(object, "HostnamePath", "");
	json_set_string(object, "HostsPath", "");
	json_set_string(object, "LogPath", container->request->log_kept ? log : "");
}

static json_t *make_document(struct container *container, const struct container_view *view)
{
	json_t *object = json_object(), *execs;
	_cleanup_free_ char *name = xasprintf("/%s", view->name);

	json_set_string(object, "Id", container->id);
	set_time(object, "Created", container->created_ns);
	set_arguments(object, container->request);
	json_set(object, "State", make_state(view));
	json_set_string(object, "Image", container->image_id);
	set_paths(object, container);
	json_set_string(object, "Name", name);
	json_set_int(object, "RestartCount", 0);
	json_set_string(object, "Driver", "erofs");
	json_set_string(object, "Platform", "linux");
	json_set_string(object, "MountLabel", "");
	json_set_string(object, "ProcessLabel", "");
	json_set_string(object, "AppArmorProfile", "");
	execs = execs_running_ids(container->daemon->execs, container);
	json_set(object, "ExecIDs", execs ? execs : json_null());
	json_set(object, "HostConfig", json_deep_copy(container->request->host_config));
	json_set(object, "GraphDriver", json_pack("{s:n, s:s}", "Data", "Name", "erofs"));
	json_set(object, "Mounts", mounts_to_json(container));
	json_set(object, "Config", json_deep_copy(container->request->config));
	json_set(object, "NetworkSettings",
		 api_container_network_settings(container, container_is_up(view->status)));
	/* How the VM of the last start came to be; "" where that is not known any more. */
	json_set(object, "Cay", json_pack("{s:s}", "Start", view->run.start));
	if (container->request->hostname[0] == '\0')
		json_set(json_object_get(object, "Config"), "Hostname",
			 json_stringn(container->id, ID_SHORT_LENGTH));
	return object;
}

int api_containers_inspect(struct daemon *daemon, struct http_request *request,
			   struct cay_error *err)
{
	_cleanup_container_ struct container *container = NULL;
	_cleanup_view_ struct container_view view = { 0 };
	json_t *document;
	int r = api_find_container(daemon, request, &container, err);

	if (r < 0)
		return r;
	container_view(container, &view);
	document = make_document(container, &view);
	if (http_query_bool(request, "size", false))
		api_container_set_sizes(document, container);
	return http_reply_json(request, 200, document);
}
