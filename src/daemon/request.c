/* SPDX-License-Identifier: Apache-2.0 */
/* A create request from JSON to its checked, typed form. */
#include "daemon/request.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "daemon/request-internal.h"
#include "daemon/signals.h"

#include <errno.h>
#include <signal.h>

enum { STOP_TIMEOUT_DEFAULT = 10, HOSTNAME_MAX = 64 };

void request_free(struct request *request)
{
	if (!request)
		return;
	json_decref(request->config);
	json_decref(request->host_config);
	struct strv *lists[] = {
		&request->arguments,   &request->env,          &request->additional_groups,
		&request->extra_hosts, &request->dns,          &request->dns_search,
		&request->dns_options, &request->masked_paths, &request->readonly_paths
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		strv_done(lists[i]);
	for (size_t i = 0; i < request->tmpfs_count; i++) {
		free(request->tmpfs[i].target);
		strv_done(&request->tmpfs[i].options);
	}
	for (size_t i = 0; i < request->mount_count; i++)
		mount_point_done(&request->mounts[i]);
	for (size_t i = 0; i < request->publish_socket_count; i++) {
		free(request->publish_sockets[i].host);
		free(request->publish_sockets[i].container);
		free(request->publish_sockets[i].resolved);
	}
	for (size_t i = 0; i < request->endpoint_count; i++)
		endpoint_config_done(&request->endpoints[i]);
	free(request->tmpfs);
	free(request->mounts);
	free(request->publish_sockets);
	free(request->endpoints);
	free(request->exposed);
	free(request->ports);
	free(request->network);
	free(request->ulimits);
	free(request->working_directory);
	free(request->user);
	free(request->hostname);
	free(request->domainname);
	free(request);
}

static int read_arguments(struct request *request, struct cay_error *err)
{
	_cleanup_strv_ struct strv entrypoint = { 0 }, command = { 0 };
	int r;

	r = json_read_strv(request->config, "Entrypoint", REQUEST_ITEMS_MAX, &entrypoint, err);
	if (r < 0)
		return r;
	r = json_read_strv(request->config, "Cmd", REQUEST_ITEMS_MAX, &command, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < entrypoint.count; i++)
		strv_add(&request->arguments, entrypoint.items[i]);
	for (size_t i = 0; i < command.count; i++)
		strv_add(&request->arguments, command.items[i]);
	if (request->arguments.count == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "no command specified");
	return 0;
}

/* RFC 1123 labels, with the underscores that people use. */
static int check_host_name(const char *what, const char *name, struct cay_error *err)
{
	size_t length = strlen(name);
	bool good = length <= HOSTNAME_MAX && name[0] != '.' && name[0] != '-';

	for (size_t i = 0; good && i < length; i++)
		good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
			(name[i] >= '0' && name[i] <= '9') || strchr("-._", name[i]);
	if (!good)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid %s: \"%.80s\"", what, name);
	return 0;
}

static int read_names(struct request *request, struct cay_error *err)
{
	int r;

	request->hostname = xstrdup("");
	request->domainname = xstrdup("");
	request->user = xstrdup("");
	request->working_directory = xstrdup("");
	struct {
		const char *key;
		char **target;
	} const strings[] = {
		{ "Hostname", &request->hostname },
		{ "Domainname", &request->domainname },
		{ "User", &request->user },
		{ "WorkingDir", &request->working_directory },
	};

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		r = json_read_string(request->config, strings[i].key, strings[i].target, err);
		if (r < 0)
			return r;
	}
	r = check_host_name("hostname", request->hostname, err);
	if (r == 0)
		r = check_host_name("domain name", request->domainname, err);
	if (r < 0)
		return r;
	if (request->working_directory[0] != '\0' && request->working_directory[0] != '/')
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"the working directory '%.200s' is invalid, it needs to be an absolute path",
			request->working_directory);
	return 0;
}

static int read_env(struct request *request, struct cay_error *err)
{
	int r = json_read_strv(request->config, "Env", REQUEST_ITEMS_MAX, &request->env, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < request->env.count; i++)
		if (strcspn(request->env.items[i], "=") == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid environment variable: %.200s",
					     request->env.items[i]);
	return 0;
}

static int read_stop(struct request *request, struct cay_error *err)
{
	_cleanup_free_ char *name = NULL;
	int r = json_read_string(request->config, "StopSignal", &name, err);

	if (r < 0)
		return r;
	request->stop_signal = SIGTERM;
	if (name && name[0] != '\0') {
		request->stop_signal = signal_parse(name);
		if (request->stop_signal < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL, "invalid signal: %.64s",
					     name);
	}
	request->stop_timeout = STOP_TIMEOUT_DEFAULT;
	return json_read_int(request->config, "StopTimeout", -1, INT32_MAX, &request->stop_timeout,
			     err);
}

static int read_config(struct request *request, struct cay_error *err)
{
	static int (*const steps[])(struct request *, struct cay_error *) = {
		read_arguments,
		read_names,
		read_env,
		read_stop,
	};

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r = steps[i](request, err);

		if (r < 0)
			return r;
	}
	request->tty = json_is_true(json_object_get(request->config, "Tty"));
	request->open_stdin = json_is_true(json_object_get(request->config, "OpenStdin"));
	request->stdin_once = json_is_true(json_object_get(request->config, "StdinOnce"));
	return 0;
}

/* The typed form of two shaped objects, which are taken over also on failure. */
static int request_read(json_t *config, json_t *host_config, struct request **ret_request,
			struct cay_error *err)
{
	_cleanup_request_ struct request *request = xcalloc(1, sizeof(*request));
	int r;

	request->config = config;
	request->host_config = host_config;
	r = read_config(request, err);
	if (r == 0)
		r = request_read_host(request, err);
	if (r == 0)
		r = request_read_network(request, err);
	if (r == 0)
		r = request_read_sockets(request, err);
	if (r < 0)
		return r;
	*ret_request = TAKE_PTR(request);
	return 0;
}

/* docker resets the entrypoint that "--entrypoint ''" sends, after it has kept the image's away. */
static void reset_entrypoint(json_t *config)
{
	const json_t *entrypoint = json_object_get(config, "Entrypoint");
	const char *first = json_string_value(json_array_get(entrypoint, 0));

	if (json_array_size(entrypoint) == 1 && first && first[0] == '\0')
		json_set(config, "Entrypoint", json_null());
}

static void add_warnings(const struct request *request, unsigned int host_cpus,
			 struct strv *warnings)
{
	if (request->memory_reservation > request->memory && request->memory > 0)
		strv_add(warnings, "Memory reservation is above the memory limit.");
	if (json_is_true(json_object_get(request->host_config, "OomKillDisable")))
		strv_add(warnings, "OomKillDisable is discarded: cgroup v2 does not have it.");
	if (json_is_object(json_object_get(request->config, "Healthcheck")))
		strv_add(warnings, "Health checks are stored but not run yet.");
	if (strcmp(json_string_value(json_object_get(
			   json_object_get(request->host_config, "RestartPolicy"), "Name"))
			   ?: "no",
		   "no") != 0)
		strv_add(warnings, "Restart policies are stored but not acted on yet.");
	for (size_t i = 0; i < request->mount_count; i++)
		if (request->mounts[i].propagation == MOUNT_SHARED ||
		    request->mounts[i].propagation == MOUNT_RSHARED)
			strv_addf(warnings,
				  "%.200s: what the container mounts there stays in its VM, so "
				  "propagation is one way, as with rslave.",
				  request->mounts[i].target);
	if (request->cpu_quota > 0 && request->cpu_period > 0 &&
	    request->cpu_quota / request->cpu_period > (int64_t)host_cpus)
		strv_add(warnings, "The CPU quota is more than the host has.");
}

int request_parse(const json_t *body, const json_t *image, unsigned int host_cpus,
		  struct request **ret_request, struct strv *warnings, struct cay_error *err)
{
	_cleanup_request_ struct request *request = NULL;
	_cleanup_json_ json_t *config = NULL, *ordered = NULL, *host_config = NULL;
	_cleanup_free_ char *text = NULL;
	json_t *host = NULL, *networking = NULL;
	int r;

	r = json_read_object(body, "HostConfig", &host, err);
	if (r == 0)
		r = json_read_object(body, "NetworkingConfig", &networking, err);
	if (r == 0)
		r = request_shape_config(body, &config, err);
	if (r == 0)
		r = request_shape_host_config(host, &host_config, err);
	if (r == 0)
		r = request_check_volumes(config, err);
	if (r == 0)
		r = request_merge_image(config, image, err);
	if (r == 0)
		r = request_check_supported(host_config, err);
	if (r < 0)
		return r;
	reset_entrypoint(config);
	/* Once more, so that what the image added stands where docker has it. */
	r = request_shape_config(config, &ordered, err);
	if (r < 0)
		return r;
	r = request_read(TAKE_PTR(ordered), TAKE_PTR(host_config), &request, err);
	if (r == 0)
		r = request_read_mounts(request, err);
	if (r == 0)
		r = request_read_endpoints(request, networking, err);
	if (r < 0)
		return r;
	if (request->nano_cpus > (int64_t)host_cpus * 1000000000)
		return cay_error_set(
			err, CAY_INVALID, ERANGE,
			"range of CPUs is from 0.01 to %u.00, as there are only %u CPUs available",
			host_cpus, host_cpus);
	text = request_print(request);
	if (strlen(text) > REQUEST_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "the container's configuration is over %d bytes", REQUEST_MAX);
	add_warnings(request, host_cpus, warnings);
	*ret_request = TAKE_PTR(request);
	return 0;
}

char *request_print(const struct request *request)
{
	_cleanup_json_ json_t *document = json_object();
	json_t *mounts = json_array();

	json_set(document, "Config", json_incref(request->config));
	json_set(document, "HostConfig", json_incref(request->host_config));
	for (size_t i = 0; i < request->mount_count; i++)
		(void)json_array_append_new(mounts, mount_point_to_json(&request->mounts[i]));
	json_set(document, "Mounts", mounts);
	request_print_sockets(request, document);
	return json_print(document);
}

int request_load(const char *text, struct request **ret_request, struct cay_error *err)
{
	_cleanup_json_ json_t *document = NULL, *config = NULL, *host_config = NULL;
	_cleanup_request_ struct request *request = NULL;
	int r;

	r = json_parse(text, strlen(text), "the stored container", &document, err);
	if (r < 0)
		return r;
	r = request_shape_config(json_object_get(document, "Config"), &config, err);
	if (r == 0)
		r = request_shape_host_config(json_object_get(document, "HostConfig"), &host_config,
					      err);
	if (r < 0)
		return r;
	r = request_read(TAKE_PTR(config), TAKE_PTR(host_config), &request, err);
	if (r == 0)
		r = request_load_mounts(request, document, err);
	if (r == 0)
		r = request_load_sockets(request, document, err);
	if (r < 0)
		return r;
	*ret_request = TAKE_PTR(request);
	return 0;
}
