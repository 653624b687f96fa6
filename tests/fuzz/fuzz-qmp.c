/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's side of QMP: any bytes, in pieces of the size that the first byte says. */
#include "vmm/qmp.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool each(json_t *object, void *user)
{
	size_t *count = user;

	/* What the client looks at in every object. */
	(void)json_string_value(json_object_get(object, "event"));
	(void)json_string_value(json_object_get(json_object_get(object, "error"), "desc"));
	return ++*count < 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qmp_parser parser = { 0 };
	struct cay_error err = { 0 };
	size_t count = 0, piece = size > 0 ? (size_t)data[0] + 1 : 1;

	for (size_t at = size > 0; at < size; at += piece)
		if (qmp_parser_feed(&parser, data + at, MIN(piece, size - at), each, &count, &err) <
		    0)
			break;
	qmp_parser_done(&parser);
	return 0;
}
