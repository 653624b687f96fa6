/* SPDX-License-Identifier: Apache-2.0 */
/* The frames that the host sends to the relay of shared files. */
#include "guest/relay.h"
#include "guest/share.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size > 0) {
		uint32_t share = SHARES_MAX;
		ptrdiff_t length = relay_frame(data, size, &share);

		if (length <= 0)
			return 0;
		if ((size_t)length > size || length > RELAY_FRAME_MAX ||
		    length < RELAY_HEADER_SIZE + 16 || share >= SHARES_MAX)
			abort();
		data += length;
		size -= (size_t)length;
	}
	return 0;
}
