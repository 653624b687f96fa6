/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: what parses must say the same again when written out and parsed once more. */
#include "base/alloc.h"
#include "image/platform.h"
#include "image/ref.h"
#include "image/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size), *full = NULL;
	_cleanup_free_ char *again = NULL, *familiar = NULL, *from_familiar = NULL;
	struct platform platform = { 0 };
	struct cay_error err = { 0 };

	if (platform_parse(text, &platform, &err) == 0)
		platform_done(&platform);
	if (image_reference_normalize(text, &full, &err) < 0)
		return 0;
	if (image_reference_normalize(full, &again, &err) < 0 || strcmp(full, again) != 0)
		abort();
	familiar = image_reference_familiar(full);
	if (image_reference_normalize(familiar, &from_familiar, &err) < 0 ||
	    strcmp(full, from_familiar) != 0)
		abort();
	return 0;
}
