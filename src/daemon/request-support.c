/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What docker's create can ask for and cay cannot give yet. A request that
 * needs one of these is refused by name; ignoring it would start a container
 * that is not what was asked for.
 */
#include "base/buf.h"
#include "base/json.h"
#include "daemon/request-internal.h"

#include <errno.h>

static int unsupported(struct cay_error *err, const char *what)
{
	return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP, "%s: not supported yet", what);
}

/* Lists and maps that must be empty, and what they are for. */
static const struct {
	const char *key, *what;
} empty_members[] = {
	{ "Links", "links to other containers (Links)" },
	{ "Devices", "host devices (Devices)" },
	{ "DeviceRequests", "host devices (DeviceRequests)" },
	{ "DeviceCgroupRules", "rules for devices (DeviceCgroupRules)" },
	{ "BlkioWeightDevice", "block I/O weights (BlkioWeightDevice)" },
	{ "BlkioDeviceReadBps", "block I/O limits (BlkioDeviceReadBps)" },
	{ "BlkioDeviceWriteBps", "block I/O limits (BlkioDeviceWriteBps)" },
	{ "BlkioDeviceReadIOps", "block I/O limits (BlkioDeviceReadIOps)" },
	{ "BlkioDeviceWriteIOps", "block I/O limits (BlkioDeviceWriteIOps)" },
};

/* Strings with the values that are understood, separated by blanks; "" always is. */
static const struct {
	const char *key, *values;
} modes[] = {
	{ "IpcMode", "private shareable none host" },
	{ "PidMode", "private host" },
	{ "UTSMode", "private host" },
	{ "UsernsMode", "host" },
	{ "CgroupnsMode", "private host" },
	{ "Isolation", "default" },
	{ "CgroupParent", "" },
	{ "CpusetCpus", "" },
	{ "CpusetMems", "" },
};

static bool is_word_of(const char *words, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = words; *at; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");

		if (n == length && strncmp(at, word, n) == 0)
			return true;
		at += n;
	}
	return length == 0;
}

static int check_modes(const json_t *host_config, struct cay_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		const char *mode = json_string_value(json_object_get(host_config, modes[i].key));

		if (mode && !is_word_of(modes[i].values, mode))
			return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
					     "%s \"%.100s\": not supported yet", modes[i].key,
					     mode);
	}
	return 0;
}

static bool is_empty(const json_t *value)
{
	const char *text = json_string_value(value);

	return !value || json_is_null(value) || (text && text[0] == '\0') ||
		(json_is_array(value) && json_array_size(value) == 0) ||
		(json_is_object(value) && json_object_size(value) == 0);
}

static int check_network_mode(const json_t *host_config, struct cay_error *err)
{
	const char *mode = json_string_value(json_object_get(host_config, "NetworkMode")) ?: "";

	if (strcmp(mode, NETWORK_HOST_NAME) == 0)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "network mode host: a container's VM cannot share the host's "
				     "network; leave it out and reach the container by its own "
				     "address, or publish its ports");
	if (starts_with(mode, "container:"))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "network mode %.100s: a container cannot share another's "
				     "network; put both on one network instead",
				     mode);
	return 0;
}

int request_check_supported(const json_t *host_config, struct cay_error *err)
{
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(empty_members); i++)
		if (!is_empty(json_object_get(host_config, empty_members[i].key)))
			return unsupported(err, empty_members[i].what);
	r = check_modes(host_config, err);
	if (r == 0)
		r = check_network_mode(host_config, err);
	return r;
}
