/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of docker's Config and HostConfig (the Engine API's
 * ContainerConfig and HostConfig, version 1.43 and earlier): their types and
 * what they are where a client leaves them out. The tables are in the order in
 * which docker prints them.
 */
#include "daemon/request-internal.h"

#include "base/json.h"

#include <errno.h>

enum member_kind {
	MEMBER_STRING,
	MEMBER_BOOL,
	MEMBER_INT,
	MEMBER_STRINGS,    /* an array of strings */
	MEMBER_COMMAND,    /* the same, or one string */
	MEMBER_STRING_MAP, /* an object of strings */
	MEMBER_OBJECT,
	MEMBER_OBJECTS, /* an array of objects */
	MEMBER_INTS,
};

struct member {
	const char *key;
	enum member_kind kind;
	const char *initial; /* JSON; NULL: left out where it is absent */
};

static const struct member config_members[] = {
	{ "Hostname", MEMBER_STRING, "\"\"" },    { "Domainname", MEMBER_STRING, "\"\"" },
	{ "User", MEMBER_STRING, "\"\"" },        { "AttachStdin", MEMBER_BOOL, "false" },
	{ "AttachStdout", MEMBER_BOOL, "false" }, { "AttachStderr", MEMBER_BOOL, "false" },
	{ "ExposedPorts", MEMBER_OBJECT, NULL },  { "Tty", MEMBER_BOOL, "false" },
	{ "OpenStdin", MEMBER_BOOL, "false" },    { "StdinOnce", MEMBER_BOOL, "false" },
	{ "Env", MEMBER_STRINGS, "[]" },          { "Cmd", MEMBER_COMMAND, "null" },
	{ "Healthcheck", MEMBER_OBJECT, NULL },   { "ArgsEscaped", MEMBER_BOOL, NULL },
	{ "Image", MEMBER_STRING, "\"\"" },       { "Volumes", MEMBER_OBJECT, "null" },
	{ "WorkingDir", MEMBER_STRING, "\"\"" },  { "Entrypoint", MEMBER_COMMAND, "null" },
	{ "NetworkDisabled", MEMBER_BOOL, NULL }, { "MacAddress", MEMBER_STRING, NULL },
	{ "OnBuild", MEMBER_STRINGS, "null" },    { "Labels", MEMBER_STRING_MAP, "{}" },
	{ "StopSignal", MEMBER_STRING, NULL },    { "StopTimeout", MEMBER_INT, NULL },
	{ "Shell", MEMBER_STRINGS, NULL },
};

static const struct member host_members[] = {
	{ "Binds", MEMBER_STRINGS, "null" },
	{ "ContainerIDFile", MEMBER_STRING, "\"\"" },
	{ "LogConfig", MEMBER_OBJECT, "{\"Type\":\"json-file\",\"Config\":{}}" },
	{ "NetworkMode", MEMBER_STRING, "\"default\"" },
	{ "PortBindings", MEMBER_OBJECT, "{}" },
	{ "RestartPolicy", MEMBER_OBJECT, "{\"Name\":\"no\",\"MaximumRetryCount\":0}" },
	{ "AutoRemove", MEMBER_BOOL, "false" },
	{ "VolumeDriver", MEMBER_STRING, "\"\"" },
	{ "VolumesFrom", MEMBER_STRINGS, "null" },
	{ "ConsoleSize", MEMBER_INTS, "[0,0]" },
	{ "Annotations", MEMBER_STRING_MAP, NULL },
	{ "CapAdd", MEMBER_STRINGS, "null" },
	{ "CapDrop", MEMBER_STRINGS, "null" },
	{ "CgroupnsMode", MEMBER_STRING, "\"private\"" },
	{ "Dns", MEMBER_STRINGS, "[]" },
	{ "DnsOptions", MEMBER_STRINGS, "[]" },
	{ "DnsSearch", MEMBER_STRINGS, "[]" },
	{ "ExtraHosts", MEMBER_STRINGS, "null" },
	{ "GroupAdd", MEMBER_STRINGS, "null" },
	{ "IpcMode", MEMBER_STRING, "\"private\"" },
	{ "Cgroup", MEMBER_STRING, "\"\"" },
	{ "Links", MEMBER_STRINGS, "null" },
	{ "OomScoreAdj", MEMBER_INT, "0" },
	{ "PidMode", MEMBER_STRING, "\"\"" },
	{ "Privileged", MEMBER_BOOL, "false" },
	{ "PublishAllPorts", MEMBER_BOOL, "false" },
	{ "ReadonlyRootfs", MEMBER_BOOL, "false" },
	{ "SecurityOpt", MEMBER_STRINGS, "null" },
	{ "StorageOpt", MEMBER_STRING_MAP, NULL },
	{ "Tmpfs", MEMBER_STRING_MAP, NULL },
	{ "UTSMode", MEMBER_STRING, "\"\"" },
	{ "UsernsMode", MEMBER_STRING, "\"\"" },
	{ "ShmSize", MEMBER_INT, "67108864" },
	{ "Sysctls", MEMBER_STRING_MAP, NULL },
	{ "Runtime", MEMBER_STRING, "\"cay\"" },
	{ "Isolation", MEMBER_STRING, "\"\"" },
	{ "CpuShares", MEMBER_INT, "0" },
	{ "Memory", MEMBER_INT, "0" },
	{ "NanoCpus", MEMBER_INT, "0" },
	{ "CgroupParent", MEMBER_STRING, "\"\"" },
	{ "BlkioWeight", MEMBER_INT, "0" },
	{ "BlkioWeightDevice", MEMBER_OBJECTS, "[]" },
	{ "BlkioDeviceReadBps", MEMBER_OBJECTS, "[]" },
	{ "BlkioDeviceWriteBps", MEMBER_OBJECTS, "[]" },
	{ "BlkioDeviceReadIOps", MEMBER_OBJECTS, "[]" },
	{ "BlkioDeviceWriteIOps", MEMBER_OBJECTS, "[]" },
	{ "CpuPeriod", MEMBER_INT, "0" },
	{ "CpuQuota", MEMBER_INT, "0" },
	{ "CpuRealtimePeriod", MEMBER_INT, "0" },
	{ "CpuRealtimeRuntime", MEMBER_INT, "0" },
	{ "CpusetCpus", MEMBER_STRING, "\"\"" },
	{ "CpusetMems", MEMBER_STRING, "\"\"" },
	{ "Devices", MEMBER_OBJECTS, "[]" },
	{ "DeviceCgroupRules", MEMBER_STRINGS, "null" },
	{ "DeviceRequests", MEMBER_OBJECTS, "null" },
	{ "MemoryReservation", MEMBER_INT, "0" },
	{ "MemorySwap", MEMBER_INT, "0" },
	{ "MemorySwappiness", MEMBER_INT, "null" },
	{ "OomKillDisable", MEMBER_BOOL, "null" },
	{ "PidsLimit", MEMBER_INT, "null" },
	{ "Ulimits", MEMBER_OBJECTS, "[]" },
	{ "CpuCount", MEMBER_INT, "0" },
	{ "CpuPercent", MEMBER_INT, "0" },
	{ "IOMaximumIOps", MEMBER_INT, "0" },
	{ "IOMaximumBandwidth", MEMBER_INT, "0" },
	{ "Mounts", MEMBER_OBJECTS, NULL },
	{ "PublishSockets", MEMBER_STRINGS, NULL }, /* cay's own */
	/* null is docker's own list; an empty list is none. */
	{ "MaskedPaths", MEMBER_STRINGS, "null" },
	{ "ReadonlyPaths", MEMBER_STRINGS, "null" },
	{ "Init", MEMBER_BOOL, NULL },
};

static const char *const kind_names[] = {
	[MEMBER_STRING] = "a string",
	[MEMBER_BOOL] = "true or false",
	[MEMBER_INT] = "an integer",
	[MEMBER_STRINGS] = "an array of strings",
	[MEMBER_COMMAND] = "a string or an array of strings",
	[MEMBER_STRING_MAP] = "an object of strings",
	[MEMBER_OBJECT] = "an object",
	[MEMBER_OBJECTS] = "an array of objects",
	[MEMBER_INTS] = "an array of integers",
};

static bool all_items(const json_t *array, json_type type)
{
	json_t *item;
	size_t i;

	if (!json_is_array(array))
		return false;
	json_array_foreach(array, i, item) {
		if (json_typeof(item) != type)
			return false;
	}
	return true;
}

static bool all_strings(json_t *object)
{
	const char *key;
	json_t *item;

	if (!json_is_object(object))
		return false;
	json_object_foreach(object, key, item) {
		if (!json_is_string(item))
			return false;
	}
	return true;
}

static bool kind_matches(enum member_kind kind, json_t *value)
{
	switch (kind) {
	case MEMBER_STRING:
		return json_is_string(value);
	case MEMBER_BOOL:
		return json_is_boolean(value);
	case MEMBER_INT:
		return json_is_integer(value);
	case MEMBER_COMMAND:
		return json_is_string(value) || all_items(value, JSON_STRING);
	case MEMBER_STRINGS:
		return all_items(value, JSON_STRING);
	case MEMBER_STRING_MAP:
		return all_strings(value);
	case MEMBER_OBJECT:
		return json_is_object(value);
	case MEMBER_OBJECTS:
		return all_items(value, JSON_OBJECT);
	case MEMBER_INTS:
		return all_items(value, JSON_INTEGER);
	}
	return false;
}

static int shape_member(const struct member *member, const json_t *source, json_t *target,
			struct cay_error *err)
{
	json_t *value = source ? json_object_get(source, member->key) : NULL;

	if (!value || json_is_null(value)) {
		if (member->initial)
			json_set(target, member->key,
				 json_loads(member->initial, JSON_DECODE_ANY, NULL));
		return 0;
	}
	if (!kind_matches(member->kind, value))
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is not %s", member->key,
				     kind_names[member->kind]);
	if (json_array_size(value) > REQUEST_ITEMS_MAX ||
	    json_object_size(value) > REQUEST_ITEMS_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "\"%s\" has more than %d items",
				     member->key, REQUEST_ITEMS_MAX);
	if (member->kind == MEMBER_COMMAND && json_is_string(value))
		json_set(target, member->key, json_pack("[O]", value));
	else
		json_set(target, member->key, json_deep_copy(value));
	return 0;
}

static int shape(const struct member *members, size_t count, const json_t *source,
		 json_t **ret_target, struct cay_error *err)
{
	_cleanup_json_ json_t *target = json_object();

	for (size_t i = 0; i < count; i++) {
		int r = shape_member(&members[i], source, target, err);

		if (r < 0)
			return r;
	}
	*ret_target = TAKE_PTR(target);
	return 0;
}

int request_shape_config(const json_t *source, json_t **ret_config, struct cay_error *err)
{
	return shape(config_members, ARRAY_SIZE(config_members), source, ret_config, err);
}

int request_shape_host_config(const json_t *source, json_t **ret_config, struct cay_error *err)
{
	return shape(host_members, ARRAY_SIZE(host_members), source, ret_config, err);
}
