/* SPDX-License-Identifier: Apache-2.0 */
/* A disk's superblock, as a guest may have written it. */
#include "image/ext4.h"

#include "base/macros.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *superblock = calloc(1, EXT4_SUPERBLOCK_SIZE); /* to be caught reading beyond it */

	if (!superblock)
		return 0;
	if (size > 0)
		memcpy(superblock, data, MIN(size, EXT4_SUPERBLOCK_SIZE));
	(void)ext4_judge(superblock);
	if (ext4_tell_size(superblock) > EXT4_DISK_SIZE)
		abort();
	free(superblock);
	return 0;
}
