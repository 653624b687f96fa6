/* SPDX-License-Identifier: Apache-2.0 */
/* The three OCI documents vminitd is given, and what is made of their resources. */
#include "guest/cgroup.h"
#include "guest/device-filter.h"
#include "guest/oci.h"

#include "base/alloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drop(const char *file, const char *value, bool optional, void *user)
{
	(void)optional;
	*(size_t *)user += strlen(file) + strlen(value);
}

static void use_resources(const struct oci_resources *resources)
{
	size_t room = DEVICE_FILTER_FIXED +
		DEVICE_FILTER_PER_RULE *
			(resources->device_rule_count + device_filter_builtin_count());
	_cleanup_free_ struct bpf_insn *program = xcalloc(room, sizeof(*program));
	size_t length = 0;

	cgroup_settings(resources, drop, &length);
	if (device_filter_build(resources->device_rules, resources->device_rule_count, program) >
	    room)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_oci_config_ struct oci_config config = { 0 };
	_cleanup_oci_process_ struct oci_process process = { 0 };
	_cleanup_oci_resources_ struct oci_resources resources = { 0 };
	struct cay_error err = { 0 };

	if (oci_config_parse(data, size, &config, &err) >= 0)
		use_resources(&config.resources);
	(void)oci_process_parse(data, size, &process, &err);
	if (oci_resources_parse(data, size, &resources, &err) >= 0)
		use_resources(&resources);
	return 0;
}
