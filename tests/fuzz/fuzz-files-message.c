/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's FUSE message: every byte of what it was taken apart into lies within
 * it. Of a WRITE there is the head alone, as the server has it.
 */
#include "base/alloc.h"
#include "files/message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sum; /* so that looking is not optimized away */

static void look_at_name(const char *name, size_t max)
{
	if (name && (strlen(name) == 0 || strlen(name) > max))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message message = { 0 };
	size_t held = size;
	_cleanup_free_ uint8_t *bytes = NULL;
	struct fuse_in_header header;

	if (size >= sizeof(header)) {
		memcpy(&header, data, sizeof(header));
		if (header.opcode == FUSE_WRITE)
			held = MIN(size, (size_t)MESSAGE_WRITE_HEAD);
	}
	/* No byte longer than it is. */
	bytes = xmemdup(data, held);
	if (size >= sizeof(uint32_t) && size % 2)
		memcpy(bytes, &(uint32_t){ (uint32_t)size }, sizeof(uint32_t));
	if (message_parse(bytes, held, size, &message) < 0)
		return 0;
	look_at_name(message.name, MESSAGE_XATTR_NAME_MAX);
	look_at_name(message.second_name, MESSAGE_TARGET_MAX);
	for (size_t i = 0; message.data && i < message.size; i++)
		sum += ((const uint8_t *)message.data)[i];
	return 0;
}
