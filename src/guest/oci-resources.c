/* SPDX-License-Identifier: Apache-2.0 */
/* The "linux.resources" object of the OCI configuration. */
#include "guest/oci-internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

enum {
	DEVICE_RULES_MAX = 1024,
	BLOCK_RATES_MAX = 256,
	UNIFIED_MAX = 256,
};

static int read_device_rule(const json_t *json, void *element, struct cay_error *err)
{
	struct oci_device_rule *rule = element;
	_cleanup_free_ char *type = NULL, *access = NULL;
	int r;

	rule->type = 'a';
	rule->major = -1;
	rule->minor = -1;
	if ((r = json_read_bool(json, "allow", &rule->allow, err)) < 0 ||
	    (r = json_read_string(json, "type", &type, err)) < 0 ||
	    (r = json_read_int(json, "major", -1, UINT32_MAX, &rule->major, err)) < 0 ||
	    (r = json_read_int(json, "minor", -1, UINT32_MAX, &rule->minor, err)) < 0 ||
	    (r = json_read_string(json, "access", &access, err)) < 0)
		return r;
	if (type && type[0] != '\0') {
		if (strlen(type) != 1 || !strchr("abc", type[0]))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%s\" is no type of device", type);
		rule->type = type[0];
	}
	for (const char *at = access && access[0] ? access : "rwm"; *at; at++) {
		if (*at == 'r')
			rule->access |= BPF_DEVCG_ACC_READ;
		else if (*at == 'w')
			rule->access |= BPF_DEVCG_ACC_WRITE;
		else if (*at == 'm')
			rule->access |= BPF_DEVCG_ACC_MKNOD;
		else
			return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is no access",
					     access);
	}
	return 0;
}

static int read_memory(const json_t *json, struct oci_resources *resources, struct cay_error *err)
{
	json_t *memory = NULL;
	int r = json_read_object(json, "memory", &memory, err);

	if (r < 0 || !memory)
		return r;
	if ((r = json_read_int(memory, "limit", -1, INT64_MAX, &resources->memory_limit, err)) <
		    0 ||
	    (r = json_read_int(memory, "reservation", -1, INT64_MAX, &resources->memory_reservation,
			       err)) < 0 ||
	    (r = json_read_int(memory, "swap", -1, INT64_MAX, &resources->memory_swap, err)) < 0)
		return r;
	/* In this document, as in docker's, "swap" is memory and swap together. */
	if (resources->memory_swap > 0 && resources->memory_limit > 0 &&
	    resources->memory_swap < resources->memory_limit)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "memory: \"swap\" is below \"limit\"");
	return 0;
}

static int read_cpu(const json_t *json, struct oci_resources *resources, struct cay_error *err)
{
	json_t *cpu = NULL;
	int r = json_read_object(json, "cpu", &cpu, err);

	if (r < 0 || !cpu)
		return r;
	if ((r = json_read_int(cpu, "shares", 0, INT64_MAX, &resources->cpu_shares, err)) < 0 ||
	    (r = json_read_int(cpu, "quota", -1, INT64_MAX, &resources->cpu_quota, err)) < 0 ||
	    (r = json_read_int(cpu, "period", 0, INT64_MAX, &resources->cpu_period, err)) < 0 ||
	    (r = json_read_int(cpu, "burst", 0, INT64_MAX, &resources->cpu_burst, err)) < 0 ||
	    (r = json_read_int(cpu, "idle", 0, 1, &resources->cpu_idle, err)) < 0 ||
	    (r = json_read_string(cpu, "cpus", &resources->cpus, err)) < 0)
		return r;
	return json_read_string(cpu, "mems", &resources->mems, err);
}

/* The rates of one device, found or added. */
static struct oci_block_rate *block_rate(struct oci_resources *resources, unsigned int major,
					 unsigned int minor)
{
	struct oci_block_rate *rate;

	for (size_t i = 0; i < resources->block_rate_count; i++) {
		rate = &resources->block_rates[i];
		if (rate->major == major && rate->minor == minor)
			return rate;
	}
	resources->block_rates = xreallocarray(resources->block_rates,
					       resources->block_rate_count + 1, sizeof(*rate));
	rate = &resources->block_rates[resources->block_rate_count++];
	*rate = (struct oci_block_rate){ .major = major,
					 .minor = minor,
					 .weight = OCI_UNSET,
					 .read_bps = OCI_UNSET,
					 .write_bps = OCI_UNSET,
					 .read_iops = OCI_UNSET,
					 .write_iops = OCI_UNSET };
	return rate;
}

static const struct {
	const char *list, *member;
	int64_t min, max;
	size_t offset; /* in struct oci_block_rate */
} block_lists[] = {
	{ "weightDevice", "weight", 10, 1000, offsetof(struct oci_block_rate, weight) },
	{ "throttleReadBpsDevice", "rate", 0, INT64_MAX,
	  offsetof(struct oci_block_rate, read_bps) },
	{ "throttleWriteBpsDevice", "rate", 0, INT64_MAX,
	  offsetof(struct oci_block_rate, write_bps) },
	{ "throttleReadIOPSDevice", "rate", 0, INT64_MAX,
	  offsetof(struct oci_block_rate, read_iops) },
	{ "throttleWriteIOPSDevice", "rate", 0, INT64_MAX,
	  offsetof(struct oci_block_rate, write_iops) },
};

static int read_block(const json_t *json, struct oci_resources *resources, struct cay_error *err)
{
	json_t *block = NULL;
	int r = json_read_object(json, "blockIO", &block, err);

	if (r < 0 || !block)
		return r;
	r = json_read_int(block, "weight", 0, 1000, &resources->block_weight, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(block_lists); i++) {
		json_t *list = NULL, *item;
		size_t index;

		r = json_read_array(block, block_lists[i].list, &list, err);
		if (r < 0)
			return r;
		if (json_array_size(list) > BLOCK_RATES_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
					     "\"%s\" has more than %d items", block_lists[i].list,
					     BLOCK_RATES_MAX);
		json_array_foreach(list, index, item) {
			int64_t major = 0, minor = 0, value = OCI_UNSET;
			struct oci_block_rate *rate;

			if (!json_is_object(item))
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "\"%s\" holds something other than objects",
						     block_lists[i].list);
			if (json_read_int(item, "major", 0, UINT32_MAX, &major, err) < 0 ||
			    json_read_int(item, "minor", 0, UINT32_MAX, &minor, err) < 0 ||
			    json_read_int(item, block_lists[i].member, block_lists[i].min,
					  block_lists[i].max, &value, err) < 0)
				return cay_error_prefix(err, "%s", block_lists[i].list);
			rate = block_rate(resources, (unsigned int)major, (unsigned int)minor);
			*(int64_t *)((char *)rate + block_lists[i].offset) = value;
		}
	}
	return 0;
}

/* Names of files in the container's cgroup, never of others. */
static int check_unified(const struct oci_resources *resources, struct cay_error *err)
{
	for (size_t i = 0; i < resources->unified_count; i++) {
		const char *name = resources->unified[i].name;

		if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') ||
		    starts_with(name, "cgroup."))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "\"%s\" in \"unified\" is no setting", name);
	}
	return 0;
}

void oci_resources_defaults(struct oci_resources *resources)
{
	*resources = (struct oci_resources){
		.memory_limit = OCI_UNSET,
		.memory_reservation = OCI_UNSET,
		.memory_swap = OCI_UNSET,
		.cpu_shares = OCI_UNSET,
		.cpu_quota = OCI_UNSET,
		.cpu_period = OCI_UNSET,
		.cpu_burst = OCI_UNSET,
		.cpu_idle = OCI_UNSET,
		.pids_limit = OCI_UNSET,
		.block_weight = OCI_UNSET,
	};
}

int oci_resources_read(const json_t *json, struct oci_resources *resources, struct cay_error *err)
{
	json_t *pids = NULL;
	int r;

	if (!json_is_object(json))
		return cay_error_set(err, CAY_INVALID, EINVAL, "it is not an object");
	if ((r = oci_read_objects(json, "devices", DEVICE_RULES_MAX,
				  sizeof(*resources->device_rules), read_device_rule,
				  &resources->device_rules, &resources->device_rule_count, err)) <
		    0 ||
	    (r = read_memory(json, resources, err)) < 0 ||
	    (r = read_cpu(json, resources, err)) < 0 ||
	    (r = json_read_object(json, "pids", &pids, err)) < 0 ||
	    (r = read_block(json, resources, err)) < 0 ||
	    (r = oci_read_settings(json, "unified", UNIFIED_MAX, &resources->unified,
				   &resources->unified_count, err)) < 0)
		return r;
	if (pids &&
	    (r = json_read_int(pids, "limit", INT64_MIN + 1, INT64_MAX, &resources->pids_limit,
			       err)) < 0)
		return r;
	return check_unified(resources, err);
}

int oci_resources_parse(const void *data, size_t size, struct oci_resources *ret_resources,
			struct cay_error *err)
{
	static const char what[] = "the OCI resources";
	_cleanup_oci_resources_ struct oci_resources resources;
	_cleanup_json_ json_t *json = NULL;
	int r;

	oci_resources_defaults(&resources);
	r = json_parse(data, size, what, &json, err);
	if (r < 0)
		return r;
	r = oci_resources_read(json, &resources, err);
	if (r < 0)
		return cay_error_prefix(err, "%s", what);
	*ret_resources = resources;
	resources = (struct oci_resources){ 0 };
	return 0;
}

void oci_resources_done(struct oci_resources *resources)
{
	free(resources->device_rules);
	free(resources->cpus);
	free(resources->mems);
	free(resources->block_rates);
	oci_settings_free(resources->unified, resources->unified_count);
	*resources = (struct oci_resources){ 0 };
}
