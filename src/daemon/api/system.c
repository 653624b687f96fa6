/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon itself: ping, version, info, disk usage. Docker's clients want
 * many members here; each one says what is true of cay, and what cay does not
 * have is empty.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "daemon/api/api.h"
#include "daemon/api/containers.h"
#include "daemon/api/host-info.h"
#include "daemon/api/image-json.h"
#include "daemon/api/volume-json.h"
#include "daemon/api/warm-json.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/host.h"
#include "daemon/networks.h"
#include "image/proxy.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/utsname.h>

static int get_ping(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	http_set_header(request, "Cache-Control", "no-cache, no-store, must-revalidate");
	http_set_header(request, "Pragma", "no-cache");
	return http_reply_text(request, 200, "text/plain; charset=utf-8", "OK");
}

/* Docker's ping has no body for HEAD, and says so. */
static int head_ping(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	http_set_header(request, "Cache-Control", "no-cache, no-store, must-revalidate");
	http_set_header(request, "Pragma", "no-cache");
	return http_reply_text(request, 200, "text/plain; charset=utf-8", "");
}

/* ---- GET /version ---- */

static const char *qemu_program(const struct daemon *daemon)
{
	return daemon->options.qemu ? daemon->options.qemu : "qemu-system-x86_64";
}

static json_t *component(const char *name, const char *version, json_t *details)
{
	json_t *object = json_object();

	json_set_string(object, "Name", name);
	json_set_string(object, "Version", version);
	json_set(object, "Details", details);
	return object;
}

/* Docker's CLI prints these of the component "Engine" and shows "<no value>" for one missing. */
static json_t *engine_details(const char *kernel, const char *architecture)
{
	json_t *details = json_object();

	json_set_string(details, "ApiVersion", API_VERSION);
	json_set_string(details, "MinAPIVersion", API_VERSION_MIN);
	json_set_string(details, "Arch", architecture);
	json_set_string(details, "Os", "linux");
	json_set_string(details, "BuildTime", "");
	json_set_string(details, "Experimental", "false");
	json_set_string(details, "GitCommit", "");
	json_set_string(details, "GoVersion", "");
	json_set_string(details, "KernelVersion", kernel);
	return details;
}

static int get_version(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	_cleanup_free_ char *kernel = host_info_kernel();
	_cleanup_free_ char *guest = host_info_guest_kernel(daemon->options.kernel);
	_cleanup_free_ char *architecture = host_info_architecture();
	json_t *object = json_object(), *components = json_array();

	json_array_append_new(
		components, component("Engine", CAY_VERSION, engine_details(kernel, architecture)));
	json_array_append_new(components, component("Guest kernel", guest, json_object()));
	json_set(object, "Platform", json_pack("{s:s}", "Name", "cay"));
	json_set(object, "Components", components);
	json_set_string(object, "Version", CAY_VERSION);
	json_set_string(object, "ApiVersion", API_VERSION);
	json_set_string(object, "MinAPIVersion", API_VERSION_MIN);
	json_set_string(object, "GitCommit", "");
	json_set_string(object, "GoVersion", "");
	json_set_string(object, "Os", "linux");
	json_set_string(object, "Arch", architecture);
	json_set_string(object, "KernelVersion", kernel);
	json_set_string(object, "BuildTime", "");
	return http_reply_json(request, 200, object);
}

/* ---- GET /info ---- */

/* What cay alone has. Also shown in pairs by docker's CLI, under the driver's name. */
static json_t *cay_info(struct daemon *daemon)
{
	_cleanup_free_ char *kernel = host_info_guest_kernel(daemon->options.kernel);
	_cleanup_free_ char *qemu = host_info_qemu(qemu_program(daemon));
	json_t *object = json_object();
	const char *acceleration, *reason;
	struct cay_error err = {};
	uint32_t tsc_khz;

	if (host_acceleration(daemon->host, &acceleration, &tsc_khz, &err) < 0) {
		acceleration = "none";
		reason = err.message;
	} else {
		reason = host_acceleration_reason(daemon->host);
	}
	json_set_string(object, "Acceleration", acceleration);
	json_set_string(object, "AccelerationReason", reason);
	json_set_string(object, "QemuVersion", qemu);
	json_set_string(object, "QemuPath", qemu_program(daemon));
	json_set_string(object, "GuestKernel", kernel);
	json_set_string(object, "GuestKernelPath", daemon->options.kernel);
	json_set_string(object, "Initramfs", daemon->options.initramfs);
	json_set_int(object, "DefaultMemory", (int64_t)daemon->options.memory_default_bytes);
	json_set(object, "Templates", api_templates_summary(daemon));
	json_set(object, "Pool", api_pool_json(daemon, false));
	return object;
}

static json_int_t number_at(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void add_warm_status(const json_t *cay, json_t *array)
{
	const json_t *templates = json_object_get(cay, "Templates");
	const json_t *pool = json_object_get(cay, "Pool");
	json_t *text = json_is_true(json_object_get(templates, "Enabled"))
		? json_sprintf("%lld", (long long)number_at(templates, "Ready"))
		: json_string("off");

	json_array_append_new(array, json_pack("[s, o]", "Templates", text));
	text = json_sprintf("%lld of %lld ready", (long long)number_at(pool, "Ready"),
			    (long long)number_at(pool, "Wanted"));
	json_array_append_new(array, json_pack("[s, o]", "Pool", text));
}

static json_t *driver_status(const json_t *cay)
{
	static const struct {
		const char *title, *key;
	} rows[] = {
		{ "Acceleration", "Acceleration" },
		{ "Acceleration reason", "AccelerationReason" },
		{ "QEMU", "QemuVersion" },
		{ "Guest kernel", "GuestKernel" },
	};
	json_t *array = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		json_array_append_new(
			array,
			json_pack("[s, s]", rows[i].title,
				  json_string_value(json_object_get(cay, rows[i].key))));
	add_warm_status(cay, array);
	return array;
}

static void add_counts(struct daemon *daemon, json_t *object)
{
	struct container_counts counts;
	struct image **images;
	size_t image_count = 0;

	containers_count(daemon->containers, &counts);
	json_set_int(object, "Containers", (int64_t)counts.total);
	json_set_int(object, "ContainersRunning", (int64_t)counts.running);
	json_set_int(object, "ContainersPaused", (int64_t)counts.paused);
	json_set_int(object, "ContainersStopped", (int64_t)counts.stopped);
	if (image_store_list(daemon->images, &images, &image_count, NULL) == 0) {
		for (size_t i = 0; i < image_count; i++)
			image_free(images[i]);
		free(images);
	}
	json_set_int(object, "Images", (int64_t)image_count);
}

static void add_host(struct daemon *daemon, json_t *object)
{
	_cleanup_free_ char *title = host_info_system(), *version = host_info_system_version();
	_cleanup_free_ char *kernel = host_info_kernel();
	struct utsname names = {};
	char now[CLOCK_TEXT_MAX];

	clock_format_utc(clock_now_ns(), now);
	(void)uname(&names); /* fails for bad addresses only */
	json_set_string(object, "Name", names.nodename);
	json_set_string(object, "OSType", "linux");
	json_set_string(object, "OperatingSystem", title);
	json_set_string(object, "OSVersion", version);
	json_set_string(object, "KernelVersion", kernel);
	json_set_string(object, "Architecture", names.machine);
	json_set_int(object, "NCPU", host_cpus(daemon->host));
	json_set_int(object, "MemTotal", (int64_t)host_info_memory());
	json_set_string(object, "SystemTime", now);
}

/* What a container's VM has, not what the host has: all of it is the guest kernel's. */
static void add_abilities(json_t *object)
{
	static const char *const present[] = { "MemoryLimit",      "SwapLimit",
					       "CpuCfsPeriod",     "CpuCfsQuota",
					       "CPUShares",        "CPUSet",
					       "PidsLimit",        "IPv4Forwarding",
					       "BridgeNfIptables", "BridgeNfIp6tables" };

	for (size_t i = 0; i < ARRAY_SIZE(present); i++)
		json_set_bool(object, present[i], true);
	json_set_bool(object, "OomKillDisable", false);
	json_set_string(object, "CgroupDriver", "cgroupfs");
	json_set_string(object, "CgroupVersion", "2");
	json_set_string(object, "LoggingDriver", "json-file");
	json_set(object, "SecurityOptions",
		 json_pack("[s, s]", "name=seccomp,profile=builtin", "name=cgroupns"));
}

/* Members that docker's clients look into without asking whether they are there. */
static json_t *proxy_json(const char *name, const char *other)
{
	_cleanup_free_ char *shown = proxy_shown(name, other);

	return json_string(shown);
}

static void add_absent(json_t *object)
{
	json_set(object, "Plugins",
		 json_pack("{s:[s], s:[s, s, s, s], s:n, s:[s]}", "Volume", "local", "Network",
			   "bridge", "host", "lan", "null", "Authorization", "Log", "json-file"));
	json_set(object, "Swarm",
		 json_pack("{s:s, s:s, s:s, s:b, s:s, s:n}", "NodeID", "", "NodeAddr", "",
			   "LocalNodeState", "inactive", "ControlAvailable", 0, "Error", "",
			   "RemoteManagers"));
	json_set(object, "Labels", json_array());
	json_set(object, "GenericResources", json_null());
	json_set(object, "CDISpecDirs", json_array());
	json_set_bool(object, "ExperimentalBuild", false);
	json_set_bool(object, "LiveRestoreEnabled", true); /* containers outlive the daemon */
	json_set_string(object, "Isolation", "");
	json_set_string(object, "InitBinary", "vminitd");
	json_set(object, "HttpProxy", proxy_json("HTTP_PROXY", "http_proxy"));
	json_set(object, "HttpsProxy", proxy_json("HTTPS_PROXY", "https_proxy"));
	json_set(object, "NoProxy", proxy_json("NO_PROXY", "no_proxy"));
}

/* What containers lack on this host; null where nothing. */
static json_t *make_warnings(const struct daemon *daemon)
{
	const char *lack = networks_lack(daemon->networks);

	return lack ? json_pack("[s++]", "WARNING: ", lack, "") : json_null();
}

static json_t *registry_config(const struct daemon *daemon)
{
	const struct strv *insecure = &daemon->options.insecure_registries;
	const struct strv *mirrors = &daemon->options.registry_mirrors;
	json_t *config = json_object(), *indexes = json_object();
	json_t *networks = json_pack("[s, s]", "127.0.0.0/8", "::1/128");

	json_set(indexes, "docker.io",
		 json_pack("{s:s, s:o, s:b, s:b}", "Name", "docker.io", "Mirrors",
			   json_from_strv(mirrors), "Secure", 1, "Official", 1));
	for (size_t i = 0; i < insecure->count; i++) {
		const char *name = insecure->items[i];

		if (strchr(name, '/'))
			(void)json_array_append_new(networks,
						    json_string(name)); /* lack of memory */
		else
			json_set(indexes, name,
				 json_pack("{s:s, s:[], s:b, s:b}", "Name", name, "Mirrors",
					   "Secure", 0, "Official", 0));
	}
	json_set(config, "IndexConfigs", indexes);
	json_set(config, "InsecureRegistryCIDRs", networks);
	json_set(config, "Mirrors", json_from_strv(mirrors));
	return config;
}

static int get_info(struct daemon *daemon, struct http_request *request, struct cay_error *err)
{
	json_t *object = json_object(), *cay = cay_info(daemon);

	json_set_string(object, "ID", daemon->id);
	add_counts(daemon, object);
	json_set_string(object, "Driver", "erofs");
	json_set(object, "DriverStatus", driver_status(cay));
	add_host(daemon, object);
	add_abilities(object);
	json_set_string(object, "IndexServerAddress", "https://index.docker.io/v1/");
	json_set(object, "RegistryConfig", registry_config(daemon));
	json_set_string(object, "DockerRootDir", daemon->options.root);
	json_set_bool(object, "Debug", strcmp(daemon->options.log_level, "debug") == 0);
	json_set_string(object, "ServerVersion", CAY_VERSION);
	json_set(object, "Runtimes", json_pack("{s:{s:s}}", "cay", "path", daemon->options.shim));
	json_set_string(object, "DefaultRuntime", "cay");
	add_absent(object);
	json_set(object, "Warnings", make_warnings(daemon));
	json_set(object, "Cay", cay);
	return http_reply_json(request, 200, object);
}

/* ---- GET /system/df ---- */

static json_t *container_usage(struct container *container)
{
	_cleanup_view_ struct container_view view = {};

	container_view(container, &view);
	return api_container_summary(container, &view);
}

static int count_users(const struct container_list *containers, const struct image *image)
{
	int count = 0;

	for (size_t i = 0; i < containers->count; i++)
		count += strcmp(containers->items[i]->image_id, image->id) == 0;
	return count;
}

static int image_usage(struct daemon *daemon, const struct http_request *request, json_t *object,
		       struct cay_error *err)
{
	_cleanup_container_list_ struct container_list containers = {};
	struct image **items = NULL;
	json_t *rows;
	size_t count = 0;
	int r = image_store_list(daemon->images, &items, &count, err);

	if (r < 0)
		return r;
	containers_list(daemon->containers, &containers);
	rows = json_array();
	for (size_t i = 0; i < count; i++) {
		const int users = count_users(&containers, items[i]);

		if (users > 0 || !items[i]->is_member) {
			json_t *summary = image_to_summary(items[i], http_api_version(request));

			json_set_int(summary, "Containers", users);
			json_set_int(summary, "SharedSize", (int64_t)items[i]->shared_size);
			json_array_append_new(rows, summary);
		}
		image_free(items[i]);
	}
	free(items);
	/* As the sizes of the images: what is free with them is what this exceeds the used by. */
	json_set_int(object, "LayersSize", (int64_t)image_store_layers_size(daemon->images));
	json_set(object, "Images", rows);
	return 0;
}

static json_t *containers_usage(struct daemon *daemon)
{
	_cleanup_container_list_ struct container_list containers = {};
	json_t *rows = json_array();

	containers_list(daemon->containers, &containers);
	for (size_t i = 0; i < containers.count; i++)
		json_array_append_new(rows, container_usage(containers.items[i]));
	return rows;
}

/* Whether an object's kind is asked for: all are without "type". */
static bool wants(const struct strv *types, const char *type)
{
	return types->count == 0 || strv_contains(types, type);
}

static int check_types(const struct strv *types, struct cay_error *err)
{
	static const char *const known[] = { "container", "image", "volume", "build-cache",
					     "template" };

	for (size_t i = 0; i < types->count; i++) {
		bool found = false;

		for (size_t j = 0; j < ARRAY_SIZE(known); j++)
			found |= strcmp(types->items[i], known[j]) == 0;
		if (!found)
			return cay_error_set(err, CAY_INVALID, EINVAL, "unknown object type: %.64s",
					     types->items[i]);
	}
	return 0;
}

static json_t *volumes_usage(struct daemon *daemon)
{
	_cleanup_volume_list_ struct volume_list list = { 0 };
	json_t *rows = json_array();

	volumes_list(daemon->volumes, &list);
	for (size_t i = 0; i < list.count; i++)
		(void)json_array_append_new(rows,
					    api_volume_usage_json(daemon->volumes, list.items[i]));
	return rows;
}

static int get_disk_usage(struct daemon *daemon, struct http_request *request,
			  struct cay_error *err)
{
	_cleanup_json_ json_t *object = json_object();
	_cleanup_strv_ struct strv types = {};
	int r;

	http_query_all(request, "type", &types);
	r = check_types(&types, err);
	if (r == 0 && wants(&types, "image"))
		r = image_usage(daemon, request, object, err);
	if (r < 0)
		return r;
	if (wants(&types, "container"))
		json_set(object, "Containers", containers_usage(daemon));
	if (wants(&types, "volume"))
		json_set(object, "Volumes", volumes_usage(daemon));
	if (wants(&types, "build-cache"))
		json_set(object, "BuildCache", json_array());
	/* Docker's clients have no word for this kind, and leave it out. */
	if (wants(&types, "template"))
		json_set(object, "Cay",
			 json_pack("{s:o}", "Templates", api_templates_json(daemon)));
	return http_reply_json(request, 200, TAKE_PTR(object));
}

const struct http_route api_system_routes[] = {
	{ "GET", "/_ping", get_ping },           { "HEAD", "/_ping", head_ping },
	{ "GET", "/version", get_version },      { "GET", "/info", get_info },
	{ "GET", "/system/df", get_disk_usage }, {},
};
