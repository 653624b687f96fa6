/* SPDX-License-Identifier: Apache-2.0 */
/* An index as a worker that was taken over could have written it, with its header made right. */
#include "layer-common.h"

#include "base/file.h"

#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int data_fd = -1, index_fd = -1;
	struct layer_header header = {
		.magic = LAYER_MAGIC,
		.version = LAYER_VERSION,
		.body_crc32 = (uint32_t)crc32_z(crc32(0, NULL, 0), data, size),
		.body_size = size,
		.data_blocks = 1000,
	};
	int fd = scratch_file(&index_fd);

	if (ftruncate(scratch_file(&data_fd), 1000 * LAYER_BLOCK) < 0)
		abort();

	if (pwrite_full(fd, &header, sizeof(header), 0) < 0 ||
	    pwrite_full(fd, data, size, sizeof(header)) < 0)
		abort();
	(void)merge_and_write(data_fd, fd);
	return 0;
}
