/* SPDX-License-Identifier: Apache-2.0 */
/* The X-Registry-Auth header. */
#include "base/alloc.h"
#include "daemon/api/registry-auth.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *header = xstrndup((const char *)data, size);
	_cleanup_registry_auth_ struct registry_auth auth = {};
	struct cay_error err = {};

	if (registry_auth_parse(header, &auth, &err) < 0 &&
	    (err.code == CAY_OK || auth.username || auth.password || auth.identity_token))
		abort();
	return 0;
}
