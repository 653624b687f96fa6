/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's configuration: what parses must print to a document that parses to the same. */
#include "sandbox/config.h"

#include "base/alloc.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sandbox_config *config = NULL, *again = NULL;
	struct cay_error err = { 0 };
	_cleanup_free_ char *first = NULL, *second = NULL;

	if (sandbox_config_parse((const char *)data, size, &config, &err) < 0)
		return 0;
	first = sandbox_config_print(config);
	if (sandbox_config_parse(first, strlen(first), &again, &err) < 0)
		abort();
	second = sandbox_config_print(again);
	if (strcmp(first, second) != 0)
		abort();
	sandbox_config_free(config);
	sandbox_config_free(again);
	return 0;
}
