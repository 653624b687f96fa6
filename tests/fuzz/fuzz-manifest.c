/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes and configurations; the first byte says how many layers a config must have. */
#include "base/alloc.h"
#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_platform_ struct platform host = { 0 };
	_cleanup_manifest_ struct manifest manifest = { 0 };
	_cleanup_image_config_ struct image_config config = { 0 };
	const struct descriptor *member;
	struct cay_error err = { 0 };

	if (size == 0 || platform_parse(NULL, &host, &err) < 0)
		return 0;
	if (manifest_parse((const char *)data + 1, size - 1, NULL, &manifest, &err) == 0) {
		if (manifest.is_index && manifest_select(&manifest, &host, &member, &err) == 0 &&
		    !digest_is_valid(member->digest))
			abort();
		for (size_t i = 0; i < manifest.item_count; i++)
			if (!digest_is_valid(manifest.items[i].digest))
				abort();
	}
	(void)image_config_parse((const char *)data + 1, size - 1, data[0], &config, &err);
	return 0;
}
