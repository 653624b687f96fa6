/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 (RFC 4648), in both alphabets. */
#pragma once

#include "base/buf.h"

/* With padding; with `url` in the alphabet for URLs and headers. The caller frees. */
char *base64_encode(const void *data, size_t size, bool url);
/*
 * Appends what the text stands for, in either alphabet, padded or not, line breaks in it ignored as
 * Go's decoder does. -EINVAL for anything else, with a part of it appended.
 */
int base64_decode(struct str text, struct buf *out);
