/* SPDX-License-Identifier: Apache-2.0 */
/* A template, a NUL, and the JSON it is put to. */
#include "cli/template.h"

#include "base/alloc.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(template_free_p) struct template *template = NULL;
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	size_t length = strlen(text);
	_cleanup_json_ json_t *value = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	struct cay_error err;

	if (template_parse(text, &template, &err) < 0)
		return 0;
	if (length == size ||
	    json_parse((const char *)data + length + 1, size - length - 1, "x", &value, &err) < 0)
		value = json_pack("{s:s,s:[i,b],s:{s:n}}", "A", "text", "B", 1, 1, "C", "D");
	(void)template_run(template, value, value, &out, &err);
	return 0;
}
