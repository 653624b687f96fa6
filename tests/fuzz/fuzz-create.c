/* SPDX-License-Identifier: Apache-2.0 */
/* A create body from its bytes to the runtime configuration, and through the stored form. */
#include "base/alloc.h"
#include "base/json.h"
#include "daemon/request.h"
#include "daemon/spec.h"

static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct request *request)
{
	_cleanup_free_ char *text = request_print(request), *again = NULL, *spec = NULL;
	_cleanup_spec_mounts_ struct spec_mounts mounts = { 0 };
	_cleanup_request_ struct request *loaded = NULL;
	_cleanup_json_ json_t *parsed = NULL;
	struct cay_error err = { 0 };

	for (size_t i = 0; i < request->mount_count; i++)
		spec_mounts_add_bind(&mounts, xstrdup("/s"), request->mounts[i].target,
				     request->mounts[i].read_only);
	spec = spec_make(request, id, &mounts);
	if (json_parse(spec, strlen(spec), "spec", &parsed, &err) < 0 ||
	    request_load(text, &loaded, &err) < 0)
		abort();
	again = request_print(loaded);
	if (strcmp(text, again) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *body = NULL;
	_cleanup_request_ struct request *request = NULL;
	_cleanup_strv_ struct strv warnings = { 0 };
	struct cay_error err = { 0 };

	if (json_parse((const char *)data, size, "body", &body, &err) < 0 || !json_is_object(body))
		return 0;
	/* The same document stands for the image's configuration in its member "config". */
	if (request_parse(body, body, 4, &request, &warnings, &err) == 0)
		check(request);
	else if (err.code == CAY_OK || err.message[0] == '\0')
		abort();
	return 0;
}
