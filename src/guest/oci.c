/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime configuration: its top level, the root, mounts, devices and namespaces. */
#include "guest/oci-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* Limits on counts in the document; its size is bounded by the message it came in. */
enum {
	MOUNTS_MAX = 4096,
	MOUNT_OPTIONS_MAX = 256,
	DEVICES_MAX = 4096,
	NAMESPACES_MAX = 8,
	SYSCTLS_MAX = 1024,
	PATHS_MAX = 4096,
};

static const struct {
	const char *name;
	int flag; /* 0: known and not supported */
} namespace_types[] = {
	{ "pid", CLONE_NEWPID },
	{ "network", CLONE_NEWNET },
	{ "mount", CLONE_NEWNS },
	{ "ipc", CLONE_NEWIPC },
	{ "uts", CLONE_NEWUTS },
	{ "cgroup", CLONE_NEWCGROUP },
	{ "user", 0 },
	{ "time", 0 },
};

static const struct {
	const char *name;
	unsigned long flag;
} propagations[] = {
	{ "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE },       { "slave", MS_SLAVE },
	{ "rslave", MS_SLAVE },          { "shared", MS_SHARED },          { "rshared", MS_SHARED },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE },
};

int oci_check_absolute(const char *path, const char *what, struct cay_error *err)
{
	if (path && path[0] == '/')
		return 0;
	return cay_error_set(err, CAY_INVALID, EINVAL, "%s \"%s\" is not an absolute path", what,
			     path ? path : "");
}

int oci_read_objects(const json_t *object, const char *key, size_t limit, size_t size,
		     int (*read)(const json_t *item, void *element, struct cay_error *err),
		     void *ret_items, size_t *ret_count, struct cay_error *err)
{
	json_t *array = NULL, *item;
	char *items;
	size_t index;
	int r = json_read_array(object, key, &array, err);

	if (r < 0 || !array || json_array_size(array) == 0)
		return r;
	if (json_array_size(array) > limit)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "\"%s\" has more than %zu items",
				     key, limit);
	items = xcalloc(json_array_size(array), size);
	*(void **)ret_items = items;
	json_array_foreach(array, index, item) {
		*ret_count = index + 1;
		if (!json_is_object(item))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%s\" holds something other than objects", key);
		r = read(item, items + index * size, err);
		if (r < 0)
			return cay_error_prefix(err, "%s[%zu]", key, index);
	}
	return 0;
}

int oci_read_settings(const json_t *object, const char *key, size_t limit,
		      struct oci_setting **ret_settings, size_t *ret_count, struct cay_error *err)
{
	json_t *map = NULL, *value;
	const char *name;
	int r = json_read_object(object, key, &map, err);

	if (r < 0 || !map || json_object_size(map) == 0)
		return r;
	if (json_object_size(map) > limit)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "\"%s\" has more than %zu members",
				     key, limit);
	*ret_settings = xcalloc(json_object_size(map), sizeof(**ret_settings));
	json_object_foreach(map, name, value) {
		if (!json_is_string(value))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%s\" in \"%s\" is not a string", name, key);
		(*ret_settings)[(*ret_count)++] = (struct oci_setting){
			.name = xstrdup(name),
			.value = xstrdup(json_string_value(value)),
		};
	}
	return 0;
}

void oci_settings_free(struct oci_setting *settings, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(settings[i].name);
		free(settings[i].value);
	}
	free(settings);
}

static int read_mount(const json_t *json, void *element, struct cay_error *err)
{
	struct oci_mount *mount = element;
	int r;

	mount->type = xstrdup("");
	mount->source = xstrdup("");
	if ((r = json_read_string(json, "destination", &mount->destination, err)) < 0 ||
	    (r = json_read_string(json, "type", &mount->type, err)) < 0 ||
	    (r = json_read_string(json, "source", &mount->source, err)) < 0 ||
	    (r = json_read_strv(json, "options", MOUNT_OPTIONS_MAX, &mount->options, err)) < 0)
		return r;
	return oci_check_absolute(mount->destination, "the destination", err);
}

static int read_device(const json_t *json, void *element, struct cay_error *err)
{
	struct oci_device *device = element;
	_cleanup_free_ char *type = NULL;
	int64_t major = 0, minor = 0, mode = 0666, uid = 0, gid = 0;
	mode_t kind;
	int r;

	if ((r = json_read_string(json, "path", &device->path, err)) < 0 ||
	    (r = json_read_string(json, "type", &type, err)) < 0 ||
	    (r = json_read_int(json, "major", 0, 0xfff, &major, err)) < 0 ||
	    (r = json_read_int(json, "minor", 0, 0xfffff, &minor, err)) < 0 ||
	    (r = json_read_int(json, "fileMode", 0, 0177777, &mode, err)) < 0 ||
	    (r = json_read_int(json, "uid", 0, UINT32_MAX - 1, &uid, err)) < 0 ||
	    (r = json_read_int(json, "gid", 0, UINT32_MAX - 1, &gid, err)) < 0 ||
	    (r = oci_check_absolute(device->path, "the path", err)) < 0)
		return r;
	if (type && (strcmp(type, "c") == 0 || strcmp(type, "u") == 0))
		kind = S_IFCHR;
	else if (type && strcmp(type, "b") == 0)
		kind = S_IFBLK;
	else if (type && strcmp(type, "p") == 0)
		kind = S_IFIFO;
	else
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is no type of device",
				     type ? type : "");
	device->mode = kind | ((mode_t)mode & 07777);
	device->major = (unsigned int)major;
	device->minor = (unsigned int)minor;
	device->uid = (uid_t)uid;
	device->gid = (gid_t)gid;
	return 0;
}

static int read_namespace(const json_t *json, void *element, struct cay_error *err)
{
	struct oci_namespace *ns = element;
	_cleanup_free_ char *type = NULL;
	int r;

	if ((r = json_read_string(json, "type", &type, err)) < 0 ||
	    (r = json_read_string(json, "path", &ns->path, err)) < 0)
		return r;
	if (ns->path && ns->path[0] == '\0')
		replace_string(&ns->path, NULL);
	if (ns->path && (r = oci_check_absolute(ns->path, "the namespace", err)) < 0)
		return r;
	for (size_t i = 0; type && i < ARRAY_SIZE(namespace_types); i++) {
		if (strcmp(type, namespace_types[i].name) != 0)
			continue;
		ns->flag = namespace_types[i].flag;
		if (ns->flag)
			return 0;
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "%s namespaces are not supported", type);
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is no type of namespace",
			     type ? type : "");
}

static int check_namespaces(const struct oci_config *config, struct cay_error *err)
{
	int seen = 0;

	for (size_t i = 0; i < config->namespace_count; i++) {
		if (seen & config->namespaces[i].flag)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "a type of namespace is listed twice");
		seen |= config->namespaces[i].flag;
	}
	/* The root and the mounts of a container must not become the guest's. */
	if (!(oci_new_namespaces(config) & CLONE_NEWNS))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "a container without a mount namespace of its own is not "
				     "supported");
	return 0;
}

static int read_propagation(const json_t *json, unsigned long *ret, struct cay_error *err)
{
	_cleanup_free_ char *name = NULL;
	int r = json_read_string(json, "rootfsPropagation", &name, err);

	if (r < 0 || !name || name[0] == '\0')
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(propagations); i++) {
		if (strcmp(name, propagations[i].name) == 0) {
			*ret = propagations[i].flag;
			return 0;
		}
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "\"rootfsPropagation\" is \"%s\"", name);
}

/* A path below the top of the cgroup tree, without "." and "..". */
static int check_cgroups_path(const char *path, struct cay_error *err)
{
	struct str rest = str_from(path), part;

	if (path[0] != '/' || path[1] == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"cgroupsPath\" \"%s\" is not an absolute path", path);
	for (bool first = true; first || rest.length > 0; first = false) {
		part = str_split(rest, '/', &rest);
		if ((part.length == 0 && !first) || str_equals(part, ".") || str_equals(part, ".."))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"cgroupsPath\" \"%s\" is not a plain path", path);
	}
	return 0;
}

static int read_linux(const json_t *json, struct oci_config *config, struct cay_error *err)
{
	json_t *resources = NULL, *seccomp = NULL;
	int r;

	if ((r = oci_read_objects(json, "namespaces", NAMESPACES_MAX, sizeof(*config->namespaces),
				  read_namespace, &config->namespaces, &config->namespace_count,
				  err)) < 0 ||
	    (r = oci_read_objects(json, "devices", DEVICES_MAX, sizeof(*config->devices),
				  read_device, &config->devices, &config->device_count, err)) < 0 ||
	    (r = oci_read_settings(json, "sysctl", SYSCTLS_MAX, &config->sysctls,
				   &config->sysctl_count, err)) < 0 ||
	    (r = json_read_strv(json, "maskedPaths", PATHS_MAX, &config->masked_paths, err)) < 0 ||
	    (r = json_read_strv(json, "readonlyPaths", PATHS_MAX, &config->readonly_paths, err)) <
		    0 ||
	    (r = read_propagation(json, &config->propagation, err)) < 0 ||
	    (r = json_read_string(json, "cgroupsPath", &config->cgroups_path, err)) < 0 ||
	    (r = json_read_object(json, "resources", &resources, err)) < 0 ||
	    (r = json_read_object(json, "seccomp", &seccomp, err)) < 0)
		return r;
	for (size_t i = 0; i < config->masked_paths.count; i++)
		if ((r = oci_check_absolute(config->masked_paths.items[i], "the masked path",
					    err)) < 0)
			return r;
	for (size_t i = 0; i < config->readonly_paths.count; i++)
		if ((r = oci_check_absolute(config->readonly_paths.items[i], "the read-only path",
					    err)) < 0)
			return r;
	if (config->cgroups_path && config->cgroups_path[0] == '\0')
		replace_string(&config->cgroups_path, NULL);
	if (config->cgroups_path && (r = check_cgroups_path(config->cgroups_path, err)) < 0)
		return r;
	if (resources && oci_resources_read(resources, &config->resources, err) < 0)
		return cay_error_prefix(err, "resources");
	if (seccomp && oci_seccomp_read(seccomp, &config->seccomp, err) < 0)
		return cay_error_prefix(err, "seccomp");
	return check_namespaces(config, err);
}

/* A hook would be a program in the guest, of which there are none. */
static int refuse_hooks(const json_t *json, struct cay_error *err)
{
	json_t *hooks = NULL, *list;
	const char *name;
	int r = json_read_object(json, "hooks", &hooks, err);

	if (r < 0 || !hooks)
		return r;
	json_object_foreach(hooks, name, list) {
		if (json_is_array(list) && json_array_size(list) > 0)
			return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
					     "hooks (\"%s\") are not supported", name);
	}
	return 0;
}

static int read_config(const json_t *json, struct oci_config *config, struct cay_error *err)
{
	json_t *root = NULL, *process = NULL, *linux_part = NULL;
	int r;

	if (!json_is_object(json))
		return cay_error_set(err, CAY_INVALID, EINVAL, "it is not an object");
	if ((r = json_read_object(json, "root", &root, err)) < 0 ||
	    (r = json_read_object(json, "process", &process, err)) < 0 ||
	    (r = json_read_object(json, "linux", &linux_part, err)) < 0 ||
	    (r = json_read_string(json, "hostname", &config->hostname, err)) < 0 ||
	    (r = json_read_string(json, "domainname", &config->domainname, err)) < 0 ||
	    (r = oci_read_objects(json, "mounts", MOUNTS_MAX, sizeof(*config->mounts), read_mount,
				  &config->mounts, &config->mount_count, err)) < 0 ||
	    (r = refuse_hooks(json, err)) < 0)
		return r;
	if (!root || !linux_part)
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is missing",
				     root ? "linux" : "root");
	if ((r = json_read_string(root, "path", &config->root_path, err)) < 0 ||
	    (r = json_read_bool(root, "readonly", &config->root_readonly, err)) < 0 ||
	    (r = oci_check_absolute(config->root_path, "the root", err)) < 0)
		return r;
	config->has_process = process != NULL;
	if (process && oci_process_read(process, &config->process, err) < 0)
		return cay_error_prefix(err, "process");
	return read_linux(linux_part, config, err);
}

int oci_config_parse(const void *data, size_t size, struct oci_config *ret_config,
		     struct cay_error *err)
{
	static const char what[] = "the OCI configuration";
	_cleanup_oci_config_ struct oci_config config = { .propagation = MS_PRIVATE };
	_cleanup_json_ json_t *json = NULL;
	int r;

	oci_process_defaults(&config.process);
	oci_resources_defaults(&config.resources);
	r = json_parse(data, size, what, &json, err);
	if (r < 0)
		return r;
	r = read_config(json, &config, err);
	if (r < 0)
		return cay_error_prefix(err, "%s", what);
	*ret_config = config;
	config = (struct oci_config){ 0 };
	return 0;
}

void oci_config_done(struct oci_config *config)
{
	for (size_t i = 0; i < config->mount_count; i++) {
		free(config->mounts[i].destination);
		free(config->mounts[i].type);
		free(config->mounts[i].source);
		strv_done(&config->mounts[i].options);
	}
	for (size_t i = 0; i < config->device_count; i++)
		free(config->devices[i].path);
	for (size_t i = 0; i < config->namespace_count; i++)
		free(config->namespaces[i].path);
	free(config->mounts);
	free(config->devices);
	free(config->namespaces);
	free(config->root_path);
	free(config->hostname);
	free(config->domainname);
	free(config->cgroups_path);
	oci_settings_free(config->sysctls, config->sysctl_count);
	strv_done(&config->masked_paths);
	strv_done(&config->readonly_paths);
	oci_process_done(&config->process);
	oci_resources_done(&config->resources);
	oci_seccomp_free(config->seccomp);
	*config = (struct oci_config){ 0 };
}

int oci_new_namespaces(const struct oci_config *config)
{
	int flags = 0;

	for (size_t i = 0; i < config->namespace_count; i++)
		if (!config->namespaces[i].path)
			flags |= config->namespaces[i].flag;
	return flags;
}
