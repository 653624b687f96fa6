/* SPDX-License-Identifier: Apache-2.0 */
/* The typed members of a create request that come from docker's HostConfig. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "daemon/capability.h"
#include "daemon/request-internal.h"

#include <errno.h>
#include <inttypes.h>

enum {
	MEMORY_MIN = 6 * 1024 * 1024, /* docker's */
	LOG_FILES_MAX = 1000,
};

#define MEMORY_MAX (INT64_C(1) << 46)

/* docker's own lists (profiles of its daemon, in oci/defaults). */
static const char *const masked_paths[] = {
	"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
	"/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
	"/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap",
};
static const char *const readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static int read_limits(struct request *request, struct cay_error *err)
{
	const struct {
		const char *key;
		int64_t min, max;
		int64_t *target;
	} rows[] = {
		{ "Memory", 0, MEMORY_MAX, &request->memory },
		{ "MemoryReservation", 0, MEMORY_MAX, &request->memory_reservation },
		{ "MemorySwap", -1, MEMORY_MAX, &request->memory_swap },
		{ "NanoCpus", 0, INT64_C(1000000000) * 1024, &request->nano_cpus },
		{ "CpuQuota", -1, INT64_C(1000000) * 1024, &request->cpu_quota },
		{ "CpuPeriod", 0, 1000000, &request->cpu_period },
		{ "CpuShares", 0, 262144, &request->cpu_shares },
		{ "PidsLimit", -1, 4194304, &request->pids_limit },
		{ "ShmSize", -MEMORY_MAX, MEMORY_MAX, &request->shm_size },
		{ "OomScoreAdj", -1000, 1000, &request->oom_score_adj },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = json_read_int(request->host_config, rows[i].key, rows[i].min, rows[i].max,
				      rows[i].target, err);

		if (r < 0)
			return r;
	}
	if (request->memory > 0 && request->memory < MEMORY_MIN)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Minimum memory limit allowed is 6MB");
	if (request->memory_swap > 0 && request->memory_swap < request->memory)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Minimum memoryswap limit should be larger than memory limit, "
				     "see usage");
	if (request->nano_cpus > 0 && (request->cpu_quota != 0 || request->cpu_period != 0))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "Conflicting options: Nano CPUs and CPU Period or Quota "
				     "cannot both be set");
	if ((request->cpu_quota > 0 && request->cpu_quota < 1000) ||
	    (request->cpu_period > 0 && request->cpu_period < 1000))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "CPU cfs quota and period cannot be less than 1ms");
	if (request->shm_size < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "SHM size can not be less than 0");
	if (request->shm_size == 0)
		request->shm_size = 64 * (int64_t)MIB;
	if (request->pids_limit < 0)
		request->pids_limit = 0;
	return 0;
}

static int read_restart(const struct request *request, struct cay_error *err)
{
	_cleanup_free_ char *name = xstrdup("");
	int64_t retries = 0;
	json_t *policy = NULL;
	int r = json_read_object(request->host_config, "RestartPolicy", &policy, err);

	if (r == 0 && policy)
		r = json_read_string(policy, "Name", &name, err);
	if (r == 0 && policy)
		r = json_read_int(policy, "MaximumRetryCount", 0, INT32_MAX, &retries, err);
	if (r < 0)
		return r;
	if (strcmp(name, "") == 0 || strcmp(name, "no") == 0) {
		if (retries != 0)
			return cay_error_set(
				err, CAY_INVALID, EINVAL,
				"invalid restart policy: maximum retry count cannot be "
				"used with restart policy 'no'");
		return 0;
	}
	if (strcmp(name, "always") != 0 && strcmp(name, "unless-stopped") != 0 &&
	    strcmp(name, "on-failure") != 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid restart policy: unknown policy '%.64s'; use one of "
				     "'no', 'always', 'on-failure', or 'unless-stopped'",
				     name);
	if (request->auto_remove)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "can't create 'AutoRemove' container with restart policy");
	return 0;
}

static int read_log_option(struct request *request, const char *key, const char *value,
			   struct cay_error *err)
{
	uint64_t number;

	if (strcmp(key, "max-size") == 0) {
		if (parse_size(value, &number) < 0 || number < 1)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid value for log option max-size: %.64s", value);
		request->log_max_size = number;
	} else if (strcmp(key, "max-file") == 0) {
		if (parse_u64(value, LOG_FILES_MAX, &number) < 0 || number < 1)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid value for log option max-file: %.64s", value);
		request->log_max_files = (unsigned int)number;
	} else {
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "log option %.64s is not supported by json-file here", key);
	}
	return 0;
}

static int read_log(struct request *request, struct cay_error *err)
{
	_cleanup_free_ char *type = xstrdup("");
	json_t *log = NULL, *options = NULL, *value;
	const char *key;
	int r = json_read_object(request->host_config, "LogConfig", &log, err);

	if (r == 0 && log)
		r = json_read_string(log, "Type", &type, err);
	if (r == 0 && log)
		r = json_read_object(log, "Config", &options, err);
	if (r < 0)
		return r;
	request->log_max_files = 1;
	request->log_kept = strcmp(type, "none") != 0;
	if (request->log_kept && strcmp(type, "") != 0 && strcmp(type, "json-file") != 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "log driver %.64s is not supported: use json-file or none",
				     type);
	/* The clients' shape has a name and options always. */
	if (log && type[0] == '\0')
		json_set_string(log, "Type", "json-file");
	if (log && !options)
		json_set(log, "Config", json_object());
	json_object_foreach(options, key, value) {
		if (!json_is_string(value))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "log option %.64s is not a string", key);
		r = request->log_kept ? read_log_option(request, key, json_string_value(value), err)
				      : 0;
		if (r < 0)
			return r;
	}
	if (request->log_max_files > 1 && request->log_max_size == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "log option max-file needs max-size");
	return 0;
}

static int read_capabilities(struct request *request, struct cay_error *err)
{
	_cleanup_strv_ struct strv add = { 0 }, drop = { 0 };
	int r = json_read_strv(request->host_config, "CapAdd", REQUEST_ITEMS_MAX, &add, err);

	if (r == 0)
		r = json_read_strv(request->host_config, "CapDrop", REQUEST_ITEMS_MAX, &drop, err);
	if (r < 0)
		return r;
	request->capabilities = capabilities_default;
	r = capabilities_tweak(&add, &drop, &request->capabilities, err);
	if (r < 0)
		return r;
	if (request->privileged)
		request->capabilities = capabilities_all;
	return 0;
}

static int read_security(struct request *request, struct cay_error *err)
{
	_cleanup_strv_ struct strv options = { 0 };
	int r = json_read_strv(request->host_config, "SecurityOpt", REQUEST_ITEMS_MAX, &options,
			       err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < options.count; i++) {
		const char *option = options.items[i];

		if (strcmp(option, "no-new-privileges") == 0 ||
		    strcmp(option, "no-new-privileges:true") == 0 ||
		    strcmp(option, "no-new-privileges=true") == 0)
			request->no_new_privileges = true;
		else if (strcmp(option, "no-new-privileges:false") != 0 &&
			 strcmp(option, "no-new-privileges=false") != 0 &&
			 strcmp(option, "seccomp=unconfined") != 0 &&
			 strcmp(option, "seccomp:unconfined") != 0 &&
			 strcmp(option, "apparmor=unconfined") != 0 &&
			 strcmp(option, "apparmor:unconfined") != 0 &&
			 strcmp(option, "label=disable") != 0 &&
			 strcmp(option, "label:disable") != 0)
			return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
					     "security option %.100s is not supported", option);
	}
	return 0;
}

static const struct {
	const char *name, *oci_name;
} ulimit_names[] = {
	{ "core", "RLIMIT_CORE" },         { "cpu", "RLIMIT_CPU" },
	{ "data", "RLIMIT_DATA" },         { "fsize", "RLIMIT_FSIZE" },
	{ "locks", "RLIMIT_LOCKS" },       { "memlock", "RLIMIT_MEMLOCK" },
	{ "msgqueue", "RLIMIT_MSGQUEUE" }, { "nice", "RLIMIT_NICE" },
	{ "nofile", "RLIMIT_NOFILE" },     { "nproc", "RLIMIT_NPROC" },
	{ "rss", "RLIMIT_RSS" },           { "rtprio", "RLIMIT_RTPRIO" },
	{ "rttime", "RLIMIT_RTTIME" },     { "sigpending", "RLIMIT_SIGPENDING" },
	{ "stack", "RLIMIT_STACK" },
};

static int read_ulimit(const json_t *item, struct request_ulimit *ulimit, struct cay_error *err)
{
	_cleanup_free_ char *name = xstrdup("");
	int r = json_read_string(item, "Name", &name, err);

	if (r == 0)
		r = json_read_int(item, "Soft", -1, INT64_MAX, &ulimit->soft, err);
	if (r == 0)
		r = json_read_int(item, "Hard", -1, INT64_MAX, &ulimit->hard, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(ulimit_names); i++)
		if (strcmp(name, ulimit_names[i].name) == 0)
			ulimit->oci_name = ulimit_names[i].oci_name;
	if (!ulimit->oci_name)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid ulimit type: %.64s", name);
	if (ulimit->hard != -1 && (ulimit->soft == -1 || ulimit->soft > ulimit->hard))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "ulimit %s: soft limit must be less than or equal to hard "
				     "limit: %" PRId64 " > %" PRId64,
				     name, ulimit->soft, ulimit->hard);
	return 0;
}

static int read_ulimits(struct request *request, struct cay_error *err)
{
	json_t *array = NULL, *item;
	size_t i;
	int r = json_read_array(request->host_config, "Ulimits", &array, err);

	if (r < 0)
		return r;
	request->ulimits = xcalloc(json_array_size(array) + 1, sizeof(*request->ulimits));
	json_array_foreach(array, i, item) {
		r = read_ulimit(item, &request->ulimits[i], err);
		if (r < 0)
			return r;
		request->ulimit_count++;
	}
	return 0;
}

/* These become lines of files in the guest, so one entry must not make two. */
static int check_words(const char *what, const struct strv *list, struct cay_error *err)
{
	for (size_t i = 0; i < list->count; i++)
		for (const char *at = list->items[i]; *at || at == list->items[i]; at++)
			if ((unsigned char)*at <= ' ' || *at == 0x7f)
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "invalid %s: \"%.200s\"", what,
						     list->items[i]);
	return 0;
}

static int check_resolver_lists(struct request *request, struct cay_error *err)
{
	int r = check_words("add-host", &request->extra_hosts, err);

	if (r == 0)
		r = check_words("DNS server", &request->dns, err);
	if (r == 0)
		r = check_words("DNS search domain", &request->dns_search, err);
	if (r == 0)
		r = check_words("DNS option", &request->dns_options, err);
	for (size_t i = 0; r == 0 && i < request->extra_hosts.count; i++) {
		const char *entry = request->extra_hosts.items[i];
		const char *colon = strpbrk(entry, ":=");

		if (!colon || colon == entry || colon[1] == '\0')
			r = cay_error_set(err, CAY_INVALID, EINVAL,
					  "bad format for add-host: \"%.200s\"", entry);
		else if (strcmp(colon + 1, "host-gateway") == 0)
			request->host_gateway = true;
	}
	return r;
}

static int read_lists(struct request *request, struct cay_error *err)
{
	const struct {
		const char *key;
		struct strv *target;
	} rows[] = {
		{ "GroupAdd", &request->additional_groups },
		{ "ExtraHosts", &request->extra_hosts },
		{ "Dns", &request->dns },
		{ "DnsSearch", &request->dns_search },
		{ "DnsOptions", &request->dns_options },
		{ "MaskedPaths", &request->masked_paths },
		{ "ReadonlyPaths", &request->readonly_paths },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = json_read_strv(request->host_config, rows[i].key, REQUEST_ITEMS_MAX,
				       rows[i].target, err);

		if (r < 0)
			return r;
	}
	return check_resolver_lists(request, err);
}

static void default_paths(struct request *request)
{
	if (request->privileged)
		return;
	if (!json_is_array(json_object_get(request->host_config, "MaskedPaths")))
		for (size_t i = 0; i < ARRAY_SIZE(masked_paths); i++)
			strv_add(&request->masked_paths, masked_paths[i]);
	if (!json_is_array(json_object_get(request->host_config, "ReadonlyPaths")))
		for (size_t i = 0; i < ARRAY_SIZE(readonly_paths); i++)
			strv_add(&request->readonly_paths, readonly_paths[i]);
}

static bool mode_is(const struct request *request, const char *key, const char *wanted)
{
	const char *mode = json_string_value(json_object_get(request->host_config, key));

	return mode && strcmp(mode, wanted) == 0;
}

static int read_sysctls(struct request *request, struct cay_error *err)
{
	json_t *map = NULL, *value;
	const char *name;
	int r = json_read_object(request->host_config, "Sysctls", &map, err);

	if (r < 0)
		return r;
	json_object_foreach(map, name, value) {
		/* The guest turns the dots into slashes below /proc/sys. */
		if (name[0] == '\0' || strchr(name, '/') || strstr(name, ".."))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "sysctl '%.100s' is not a sysctl's name", name);
	}
	request->sysctls = map;
	return 0;
}

int request_read_host(struct request *request, struct cay_error *err)
{
	static int (*const steps[])(struct request *, struct cay_error *) = {
		read_limits,   read_log,     read_capabilities,
		read_security, read_ulimits, request_read_tmpfs,
		read_lists,    read_sysctls, request_read_storage,
	};
	const json_t *host = request->host_config;
	int r;

	request->auto_remove = json_is_true(json_object_get(host, "AutoRemove"));
	request->init = json_is_true(json_object_get(host, "Init"));
	request->read_only_root = json_is_true(json_object_get(host, "ReadonlyRootfs"));
	request->privileged = json_is_true(json_object_get(host, "Privileged"));
	request->host_pid = mode_is(request, "PidMode", "host");
	request->host_ipc = mode_is(request, "IpcMode", "host");
	request->no_shm = mode_is(request, "IpcMode", "none");
	request->host_uts = mode_is(request, "UTSMode", "host");
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		r = steps[i](request, err);
		if (r < 0)
			return r;
	}
	default_paths(request);
	return read_restart(request, err);
}
