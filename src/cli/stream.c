/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder of multiplexed output. */
#include "cli/stream.h"

#include <errno.h>

static int read_header(struct stream_decoder *decoder, struct cay_error *err)
{
	const unsigned char *h = decoder->header;

	if (h[0] > STREAM_ERROR || h[1] || h[2] || h[3])
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the container's output is not framed as the daemon said");
	decoder->channel = h[0];
	decoder->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
	decoder->header_length = 0;
	return 0;
}

int stream_decode(struct stream_decoder *decoder, struct str *input,
		  enum stream_channel *ret_channel, struct str *ret_piece, struct cay_error *err)
{
	size_t length;

	while (decoder->left == 0 && input->length > 0) {
		decoder->header[decoder->header_length++] = (unsigned char)input->data[0];
		input->data++;
		input->length--;
		if (decoder->header_length == STREAM_HEADER_SIZE) {
			int r = read_header(decoder, err);

			if (r < 0)
				return r;
		}
	}
	length = MIN(input->length, decoder->left);
	*ret_channel = decoder->channel;
	*ret_piece = (struct str){ input->data, length };
	input->data += length;
	input->length -= length;
	decoder->left -= (uint32_t)length;
	return 0;
}

bool stream_is_whole(const struct stream_decoder *decoder)
{
	return decoder->left == 0 && decoder->header_length == 0;
}
