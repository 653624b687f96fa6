/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate headers, token answers and URLs from a registry. */
#include "base/alloc.h"
#include "image/address.h"
#include "image/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size), *authorization = NULL;
	_cleanup_challenges_ struct challenges challenges = { 0 };
	_cleanup_url_ struct url url = { 0 };
	struct cay_error err = { 0 };

	if (challenges_parse(text, &challenges, &err) == 0)
		(void)challenges_choose(&challenges);
	if (url_parse(text, &url, &err) == 0)
		(void)url_is_local(&url);
	if (auth_read_token((const char *)data, size, &authorization, &err) == 0 &&
	    strpbrk(authorization, "\r\n"))
		abort();
	return 0;
}
