/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions of a Dockerfile, as commit and import take them in a query. */
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/changes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_strv_ struct strv changes = {};
	_cleanup_json_ json_t *config =
		json_pack("{s:[ss], s:s}", "Env", "A=1", "LONG=some words", "WorkingDir", "/w");
	_cleanup_free_ char *text = xstrndup((const char *)data, size), *printed = NULL;
	struct cay_error err = {};

	strv_add(&changes, text);
	if (changes_apply(config, &changes, &err) < 0 && err.code == CAY_OK)
		abort();
	printed = json_print(config);
	return 0;
}
