/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a create request to the OCI runtime configuration. Sources: the OCI
 * runtime specification 1.0.2; docker's default specification for mounts,
 * capabilities, masked paths and devices.
 */
#include "daemon/spec.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "daemon/capability.h"

#include <inttypes.h>

enum { CPU_PERIOD_US = 100000 };

static const char default_path[] =
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

char *spec_guest_path(const char *id, const char *name)
{
	return xasprintf("/run/cay/c/%s/%s", id, name);
}

void spec_add_file(struct sandbox_container *target, const char *id, const char *name, char *data)
{
	struct sandbox_file *file;

	target->files =
		xreallocarray(target->files, target->file_count + 1, sizeof(*target->files));
	file = &target->files[target->file_count++];
	*file = (struct sandbox_file){ .path = spec_guest_path(id, name),
				       .data = data,
				       .mode = 0644 };
}

char *spec_hostname(const struct request *request, const char *id)
{
	return request->hostname[0] != '\0' ? xstrdup(request->hostname)
					    : xstrndup(id, ID_SHORT_LENGTH);
}

/* ---- the process ---- */

/* Puts "NAME=value" in the place of an earlier one; "NAME" alone takes it away. */
static void set_variable(struct strv *env, const char *entry)
{
	size_t length = strcspn(entry, "="), kept = 0;

	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], entry, length) == 0 && env->items[i][length] == '=')
			free(env->items[i]);
		else
			env->items[kept++] = env->items[i];
	}
	if (env->items)
		env->items[kept] = NULL;
	env->count = kept;
	if (entry[length] == '=')
		strv_add(env, entry);
}

static void make_env(const struct request *request, const char *id, bool tty, struct strv *env)
{
	_cleanup_free_ char *hostname = spec_hostname(request, id);

	strv_add(env, default_path);
	strv_addf(env, "HOSTNAME=%s", hostname);
	if (tty)
		strv_add(env, "TERM=xterm");
	for (size_t i = 0; i < request->env.count; i++)
		set_variable(env, request->env.items[i]);
}

static json_t *make_capabilities(uint64_t set)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	json_t *object = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		json_set(object, sets[i], capabilities_to_json(set));
	return object;
}

static json_t *make_rlimits(const struct request *request)
{
	json_t *array = json_array();

	for (size_t i = 0; i < request->ulimit_count; i++) {
		const struct request_ulimit *ulimit = &request->ulimits[i];

		(void)json_array_append_new(array,
					    json_pack("{s:s, s:I, s:I}", "type", ulimit->oci_name,
						      "soft", (json_int_t)ulimit->soft, "hard",
						      (json_int_t)ulimit->hard));
	}
	return array;
}

static json_t *make_process(const struct request *request, const struct strv *arguments,
			    const struct strv *env, const char *cwd, bool tty,
			    uint64_t capabilities)
{
	json_t *process = json_object();

	json_set_bool(process, "terminal", tty);
	/* The name of the user, if any, is looked up in the guest, in the image's own files. */
	json_set(process, "user", json_pack("{s:i, s:i}", "uid", 0, "gid", 0));
	json_set(process, "args", json_from_strv(arguments));
	json_set(process, "env", json_from_strv(env));
	json_set_string(process, "cwd", cwd[0] != '\0' ? cwd : "/");
	json_set(process, "capabilities", make_capabilities(capabilities));
	json_set(process, "rlimits", make_rlimits(request));
	json_set_bool(process, "noNewPrivileges", request->no_new_privileges);
	if (request->oom_score_adj != 0)
		json_set_int(process, "oomScoreAdj", request->oom_score_adj);
	return process;
}

char *spec_make_exec(const struct request *request, const char *id, const struct spec_exec *exec)
{
	_cleanup_strv_ struct strv env = { 0 };
	_cleanup_json_ json_t *process = NULL;
	bool has_directory = exec->working_directory && exec->working_directory[0] != '\0';

	make_env(request, id, exec->tty, &env);
	for (size_t i = 0; i < exec->env->count; i++)
		set_variable(&env, exec->env->items[i]);
	process = make_process(request, exec->arguments, &env,
			       has_directory ? exec->working_directory : request->working_directory,
			       exec->tty,
			       exec->privileged ? capabilities_all : request->capabilities);
	if (exec->tty && exec->columns > 0 && exec->rows > 0)
		json_set(process, "consoleSize",
			 json_pack("{s:i, s:i}", "height", (int)exec->rows, "width",
				   (int)exec->columns));
	return json_print(process);
}

/* ---- Linux ---- */

static json_t *make_device_rules(const struct request *request)
{
	/* null, full, zero, random, urandom, tty, console, ptmx, the pts; mknod of all. */
	static const struct {
		const char *type;
		int major, minor;
		const char *access;
	} rules[] = {
		{ "c", -1, -1, "m" }, { "b", -1, -1, "m" },    { "c", 1, 3, "rwm" },
		{ "c", 1, 5, "rwm" }, { "c", 1, 7, "rwm" },    { "c", 1, 8, "rwm" },
		{ "c", 1, 9, "rwm" }, { "c", 5, 0, "rwm" },    { "c", 5, 1, "rwm" },
		{ "c", 5, 2, "rwm" }, { "c", 136, -1, "rwm" },
	};
	json_t *array = json_array();

	(void)json_array_append_new(
		array, json_pack("{s:b, s:s}", "allow", request->privileged, "access", "rwm"));
	for (size_t i = 0; i < ARRAY_SIZE(rules) && !request->privileged; i++) {
		json_t *rule = json_pack("{s:b, s:s, s:s}", "allow", 1, "type", rules[i].type,
					 "access", rules[i].access);

		if (rules[i].major >= 0)
			json_set_int(rule, "major", rules[i].major);
		if (rules[i].minor >= 0)
			json_set_int(rule, "minor", rules[i].minor);
		(void)json_array_append_new(array, rule);
	}
	return array;
}

static json_t *make_cpu(const struct request *request)
{
	json_t *cpu = json_object();

	if (request->nano_cpus > 0) {
		json_set_int(cpu, "quota",
			     MAX(request->nano_cpus / (1000000000 / CPU_PERIOD_US), 1000));
		json_set_int(cpu, "period", CPU_PERIOD_US);
	} else if (request->cpu_quota > 0) {
		json_set_int(cpu, "quota", request->cpu_quota);
		json_set_int(cpu, "period",
			     request->cpu_period > 0 ? request->cpu_period : CPU_PERIOD_US);
	}
	if (request->cpu_shares > 0)
		json_set_int(cpu, "shares", request->cpu_shares);
	return cpu;
}

static json_t *make_resources(const struct request *request)
{
	json_t *resources = json_object(), *memory = json_object();

	json_set(resources, "devices", make_device_rules(request));
	if (request->memory > 0)
		json_set_int(memory, "limit", request->memory);
	if (request->memory_reservation > 0)
		json_set_int(memory, "reservation", request->memory_reservation);
	json_set(resources, "memory", memory);
	json_set(resources, "cpu", make_cpu(request));
	if (request->pids_limit > 0)
		json_set(resources, "pids",
			 json_pack("{s:I}", "limit", (json_int_t)request->pids_limit));
	return resources;
}

static json_t *make_namespaces(const struct request *request)
{
	const struct {
		const char *type;
		bool wanted;
	} rows[] = {
		{ "mount", true },
		{ "pid", !request->host_pid },
		{ "ipc", !request->host_ipc },
		{ "uts", !request->host_uts },
		{ "cgroup", true },
	};
	json_t *array = json_array();

	/* No network namespace: the VM's own network is the container's. */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].wanted)
			(void)json_array_append_new(array,
						    json_pack("{s:s}", "type", rows[i].type));
	return array;
}

static json_t *make_sysctls(const struct request *request)
{
	/* docker's two: any user may bind low ports and send pings. */
	json_t *object = json_pack("{s:s, s:s}", "net.ipv4.ip_unprivileged_port_start", "0",
				   "net.ipv4.ping_group_range", "0 2147483647");

	if (request->sysctls)
		(void)json_object_update(object, (json_t *)request->sysctls);
	return object;
}

static json_t *make_linux(const struct request *request)
{
	json_t *object = json_object();

	json_set(object, "namespaces", make_namespaces(request));
	json_set(object, "resources", make_resources(request));
	json_set(object, "sysctl", make_sysctls(request));
	json_set(object, "maskedPaths", json_from_strv(&request->masked_paths));
	json_set(object, "readonlyPaths", json_from_strv(&request->readonly_paths));
	json_set_string(object, "rootfsPropagation", "private");
	return object;
}

char *spec_make(const struct request *request, const char *id, const struct spec_mounts *mounts)
{
	_cleanup_json_ json_t *document = json_object();
	_cleanup_free_ char *root = spec_guest_path(id, "rootfs");
	_cleanup_free_ char *hostname = spec_hostname(request, id);
	_cleanup_strv_ struct strv env = { 0 };

	make_env(request, id, request->tty, &env);
	json_set_string(document, "ociVersion", "1.0.2");
	json_set(document, "process",
		 make_process(request, &request->arguments, &env, request->working_directory,
			      request->tty, request->capabilities));
	json_set(document, "root",
		 json_pack("{s:s, s:b}", "path", root, "readonly", request->read_only_root));
	json_set_string(document, "hostname", hostname);
	if (request->domainname[0] != '\0')
		json_set_string(document, "domainname", request->domainname);
	json_set(document, "mounts", spec_mounts_to_json(request, id, mounts));
	json_set(document, "linux", make_linux(request));
	return json_print(document);
}
