/* SPDX-License-Identifier: Apache-2.0 */
/* Templates and the pool, under /cay/v1/: what there is, and templates made and removed by hand. */
#include "daemon/templates.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/warm-json.h"
#include "daemon/daemon.h"
#include "daemon/host.h"
#include "daemon/launch-warm.h"
#include "daemon/pool.h"
#include "vmm/cmdline.h"

#include <errno.h>

#define MEMORY_MIN (6 * MIB) /* docker's least limit */
#define MEMORY_MAX (512 * GIB)

/* ---- as JSON ---- */

static void set_time(json_t *object, const char *key, int64_t ns)
{
	char text[CLOCK_TEXT_MAX];

	clock_format_utc(ns, text);
	json_set_string(object, key, text);
}

static json_t *cards_json(const json_t *shape)
{
	json_t *array = json_array();
	const json_t *card;
	size_t index;

	json_array_foreach(json_object_get(shape, "cards"), index, card) {
		(void)json_array_append_new(array,
					    json_pack("{s:O, s:O, s:O}", "Kind",
						      json_object_get(card, "kind"), "Queues",
						      json_object_get(card, "queues"), "Mtu",
						      json_object_get(card, "mtu")));
	}
	return array;
}

static const char *state_of(const struct template_info *info)
{
	return info->is_ready ? "ready" : info->is_making ? "making" : "waiting";
}

json_t *api_template_json(const struct template_info *info, bool whole)
{
	json_t *object = json_object();

	json_set_string(object, "Key", info->key);
	json_set_bool(object, "Ready", info->is_ready);
	json_set_string(object, "State", state_of(info));
	json_set_int(object, "Cpus", json_integer_value(json_object_get(info->shape, "vcpus")));
	json_set_int(object, "Memory",
		     json_integer_value(json_object_get(info->shape, "memory_bytes")));
	json_set_int(object, "Disks",
		     (int64_t)json_array_size(json_object_get(info->shape, "disks")));
	json_set(object, "Cards", cards_json(info->shape));
	json_set_string(object, "Acceleration",
			json_string_value(json_object_get(info->shape, "acceleration")));
	set_time(object, "Created", info->created_ns);
	set_time(object, "LastUsed", info->used_ns);
	json_set_int(object, "Size", (int64_t)info->bytes);
	json_set_int(object, "Starts", (int64_t)info->starts);
	json_set_string(object, "Error", info->fault ? info->fault : "");
	if (whole) {
		json_set_string(object, "Path", info->directory);
		json_set(object, "Shape", json_deep_copy(info->shape));
	}
	return object;
}

json_t *api_templates_json(struct daemon *daemon)
{
	_cleanup_template_list_ struct template_list list = { 0 };
	json_t *array = json_array();

	templates_list(daemon->templates, &list);
	for (size_t i = 0; i < list.count; i++)
		(void)json_array_append_new(array, api_template_json(&list.items[i], false));
	return array;
}

json_t *api_templates_summary(struct daemon *daemon)
{
	_cleanup_template_list_ struct template_list list = { 0 };
	json_t *object = json_object();
	uint64_t bytes = 0;
	int64_t ready = 0;

	templates_list(daemon->templates, &list);
	for (size_t i = 0; i < list.count; i++) {
		bytes += list.items[i].bytes;
		ready += list.items[i].is_ready;
	}
	json_set_bool(object, "Enabled", daemon->options.use_templates);
	json_set_int(object, "Ready", ready);
	json_set_int(object, "Size", (int64_t)bytes);
	return object;
}

static void add_member(const struct pool_member_info *info, void *user)
{
	json_t *array = user, *object = json_object();

	json_set_string(object, "Id", info->id);
	json_set_bool(object, "Ready", info->is_ready);
	json_set_int(object, "Pid", info->pid);
	json_set_int(object, "Memory", (int64_t)info->memory);
	(void)json_array_append_new(array, object);
}

json_t *api_pool_json(struct daemon *daemon, bool members)
{
	struct pool_status status;
	json_t *object = json_object();

	pool_get_status(daemon->pool, &status);
	json_set_int(object, "Wanted", status.size);
	json_set_int(object, "Limit", status.limit);
	json_set_int(object, "Ready", status.ready);
	json_set_int(object, "Warming", status.warming);
	json_set_int(object, "Memory", (int64_t)status.memory);
	json_set_int(object, "Claims", (int64_t)status.claims);
	if (members) {
		json_t *array = json_array();

		pool_each(daemon->pool, add_member, array);
		json_set(object, "Members", array);
	}
	return object;
}

/* ---- calls ---- */

static int list(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return http_reply_json(request, 200, api_templates_json(daemon));
}

static int inspect(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_template_list_ struct template_list found = { 0 };
	int r = templates_find(daemon->templates, http_param(request, 0), &found, err);

	return r < 0 ? r : http_reply_json(request, 200, api_template_json(&found.items[0], true));
}

static int remove_template(struct daemon *daemon, struct http_request *request,
			   struct cay_error *err)
{
	int r = templates_remove(daemon->templates, http_param(request, 0), err);

	return r < 0 ? r : http_reply_empty(request, 204);
}

static int get_pool(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	return http_reply_json(request, 200, api_pool_json(daemon, true));
}

static int read_network(const json_t *body, struct launch_size *size, struct cay_error *err)
{
	_cleanup_free_ char *network = NULL;
	int r = json_read_string(body, "Network", &network, err);

	if (r < 0 || !network)
		return r;
	size->without_network = strcmp(network, "none") == 0;
	if (!size->without_network && strcmp(network, "bridge") != 0)
		return cay_error_invalid(err, "Network: \"%.64s\" is not bridge or none", network);
	return 0;
}

static int read_size(const struct daemon *daemon, const json_t *body, struct launch_size *size,
		     struct cay_error *err)
{
	int64_t cpus = 0, memory = 0, disks = 0;
	int r = json_read_int(body, "Cpus", 1, host_cpus(daemon->host), &cpus, err);

	if (r == 0)
		r = json_read_int(body, "Memory", (int64_t)MEMORY_MIN, (int64_t)MEMORY_MAX, &memory,
				  err);
	if (r == 0)
		r = json_read_int(body, "Disks", 2, VMM_DISKS_MAX, &disks, err);
	if (r == 0)
		r = read_network(body, size, err);
	size->cpus = (unsigned int)cpus;
	size->memory = (uint64_t)memory;
	size->disks = (size_t)disks;
	return r;
}

static bool is_gone(void *user)
{
	return http_request_gone(user);
}

static int create(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_(sandbox_config_free_p) struct sandbox_config *machine = NULL;
	struct launch_size size = { 0 };
	char key[TEMPLATE_KEY_SIZE];
	json_t *body = NULL;
	int r = http_body_json(request, &body, err);

	if (r == 0 && body)
		r = read_size(daemon, body, &size, err);
	if (r == 0)
		r = launch_empty_machine(daemon, &size, &machine, err);
	if (r == 0)
		r = templates_create(daemon->templates, machine, is_gone, request, key, err);
	return r < 0 ? r : http_reply_json(request, 201, json_pack("{s:s}", "Key", key));
}

const struct http_route api_templates_routes[] = {
	{ "GET", "/cay/v1/templates", list },
	{ "POST", "/cay/v1/templates", create },
	{ "GET", "/cay/v1/templates/*", inspect },
	{ "DELETE", "/cay/v1/templates/*", remove_template },
	{ "GET", "/cay/v1/pool", get_pool },
	{},
};
