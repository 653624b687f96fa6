/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon passes on from a guest: the multiplexed stream, whatever its bytes. */
#include "cli/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream_decoder decoder = { 0 };
	struct str input = { (const char *)data, size };
	size_t total = 0;

	while (input.length > 0) {
		enum stream_channel channel;
		struct cay_error err;
		struct str piece;

		if (stream_decode(&decoder, &input, &channel, &piece, &err) < 0)
			break;
		for (size_t i = 0; i < piece.length; i++)
			total += (unsigned char)piece.data[i] > 0; /* reads each byte */
		total += piece.length;
		if (channel > STREAM_ERROR)
			abort();
	}
	return total > 2 * size;
}
