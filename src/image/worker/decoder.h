/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzip2 and xz, which layers are never compressed by but tars of people are.
 * Both formats may hold several members one after the other.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct decoder;

/* By the data's first bytes, of which 6 must be there where there are any; NULL for all others. */
struct decoder *decoder_new(const uint8_t *data, size_t size);
void decoder_free(struct decoder *decoder);

/*
 * Decodes some of the input into the output. *ret_used and *ret_made count the bytes of each;
 * *ret_inside tells whether a member is begun and not ended, so that more must come.
 */
int decoder_run(struct decoder *decoder, const uint8_t *in, size_t in_size, size_t *ret_used,
		uint8_t *out, size_t out_size, size_t *ret_made, bool *ret_inside,
		struct cay_error *err);
