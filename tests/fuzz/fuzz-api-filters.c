/* SPDX-License-Identifier: Apache-2.0 */
/* Filters and points in time, as they come in a query, and matching by what was parsed. */
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/filters.h"
#include "daemon/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const allowed[] = { "id", "name", "label", "dangling", NULL };
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	_cleanup_filters_ struct filters filters = {};
	_cleanup_json_ json_t *labels = json_pack("{s:s, s:s}", "a", "1", "b", "");
	struct cay_error err = {};
	int64_t time_ns = 0;
	bool truth = false;

	(void)http_time_parse(text, &time_ns);
	if (filters_parse(text, allowed, &filters, &err) < 0) {
		if (err.code == CAY_OK || filters.items)
			abort();
		return 0;
	}
	(void)filters_match(&filters, "id", "0123456789ab");
	(void)filters_match_prefix(&filters, "id", "0123456789ab");
	(void)filters_match_regex(&filters, "name", "/some-container_1.x");
	(void)filters_match_labels(&filters, "label", labels);
	(void)filters_get_bool(&filters, "dangling", &truth, &err);
	return 0;
}
