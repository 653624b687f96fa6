/* SPDX-License-Identifier: Apache-2.0 */
/* A template's description: whatever is read has a shape, and sizes that a file can have. */
#include "vmm/template.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct template template = TEMPLATE_NONE;
	struct cay_error err = { 0 };

	if (template_parse((const char *)data, size, &template, &err) < 0) {
		if (err.message[0] == '\0' || template.shape)
			abort();
		return 0;
	}
	if (!json_is_object(template.shape) || template.memory_size == 0 ||
	    template.memory_size > INT64_MAX || template.machine_size == 0 ||
	    template.memory_fd != -1 || template.created_ns < 0)
		abort();
	(void)template_fits(&template, "{\"format\":1,\"vcpus\":1}", &err);
	template_close(&template);
	return 0;
}
