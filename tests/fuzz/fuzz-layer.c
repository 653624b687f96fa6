/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer from its compressed stream to an EROFS image. The first byte says
 * whether the headers' checksums are to be made right first.
 */
#include "layer-common.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int data_fd = -1, index_fd = -1;
	_cleanup_free_ uint8_t *copy = NULL;
	struct memory_source source;
	struct layer_header header;
	struct cay_error err = { 0 };

	if (size == 0)
		return 0;
	copy = xmemdup(data + 1, size - 1);
	if (data[0] & 1)
		fix_checksums(copy, size - 1);
	source = (struct memory_source){ copy, size - 1 };
	_cleanup_(stream_free_p) struct stream *stream =
		stream_new(read_memory, &source, FUZZ_STREAM_MAX);

	const struct output out = { scratch_file(&data_fd), false };
	const struct output index = { scratch_file(&index_fd), false };

	if (layer_convert(stream, out, index, &header, &err) < 0) {
		if (err.code == CAY_OK || err.message[0] == '\0')
			abort();
		return 0;
	}
	(void)merge_and_write(data_fd, index_fd);
	return 0;
}
