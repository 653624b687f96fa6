/* SPDX-License-Identifier: Apache-2.0 */
/* Location, Range, Content-Range and Link as a registry may send them. */
#include "base/alloc.h"
#include "base/buf.h"
#include "image/address.h"
#include "image/registry-headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE "https://registry.example:5000/v2/x/blobs/uploads/"

/* Whatever is followed must be a URL that url_parse() knows, without a line's end in it. */
static void check_url(const char *url)
{
	_cleanup_url_ struct url parts = { 0 };

	if (url_parse(url, &parts, NULL) < 0 || strpbrk(url, "\r\n"))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size), *url = NULL, *next = NULL;
	struct cay_error err = { 0 };
	uint64_t number = 0;

	(void)registry_read_content_range(text, &number);
	if (registry_read_received(text, &number) == 0 && number > INT64_MAX)
		abort();
	if (url_resolve(BASE, text, &url, &err) == 0)
		check_url(url);
	if (registry_read_link(text, BASE, &next, &err) == 0 && next)
		check_url(next);
	return 0;
}
