/* SPDX-License-Identifier: Apache-2.0 */
/* Headers by which registries tell where something is, or how much of it there is. */
#include "image/registry-headers.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "image/address.h"

#include <errno.h>

enum { LINK_MAX_LENGTH = 8192 };

int registry_read_content_range(const char *text, uint64_t *ret_start)
{
	struct str number = str_from(text), rest;

	if (!str_starts(number, "bytes "))
		return -EINVAL;
	number = str_split((struct str){ number.data + 6, number.length - 6 }, '-', &rest);
	return str_to_u64(number, INT64_MAX, ret_start);
}

int registry_read_received(const char *text, uint64_t *ret_count)
{
	struct str first = str_from(text), last;
	uint64_t start, end;

	if (str_starts(first, "bytes="))
		first = (struct str){ first.data + 6, first.length - 6 };
	first = str_split(first, '-', &last);
	if (str_to_u64(first, INT64_MAX, &start) < 0 || start != 0 ||
	    str_to_u64(last, INT64_MAX - 1, &end) < 0)
		return -EINVAL;
	*ret_count = end == 0 ? 0 : end + 1;
	return 0;
}

/* Whether the parameters behind a link's ">" have rel=next. */
static bool is_next(struct str parameters)
{
	while (parameters.length > 0) {
		struct str item = str_strip(str_split(parameters, ';', &parameters), " \t");

		if (str_equals_nocase(item, "rel=\"next\"") || str_equals_nocase(item, "rel=next"))
			return true;
	}
	return false;
}

int registry_read_link(const char *text, const char *base, char **ret_url, struct cay_error *err)
{
	const char *at = text;

	if (!text) {
		*ret_url = NULL;
		return 0;
	}
	while (strlen(text) <= LINK_MAX_LENGTH) {
		const char *open = at + strspn(at, " \t,"), *close = strchr(open, '>'), *end;
		_cleanup_free_ char *reference = NULL;

		if (*open == '\0') {
			*ret_url = NULL;
			return 0;
		}
		if (*open != '<' || !close)
			break;
		end = close + strcspn(close, ",");
		if (!is_next((struct str){ close + 1, (size_t)(end - close - 1) })) {
			at = end;
			continue;
		}
		reference = xstrndup(open + 1, (size_t)(close - open - 1));
		if (url_resolve(base, reference, ret_url, err) < 0)
			break;
		return 0;
	}
	return cay_error_set(err, CAY_INVALID, EBADMSG, "the registry's Link header is malformed");
}
