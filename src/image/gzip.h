/* SPDX-License-Identifier: Apache-2.0 */
/* Compression to gzip (RFC 1952) by ISA-L, piece by piece; the same bytes in give the same out. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct gzip;

/* What `put` returns ends the work if it is negative. */
struct gzip *gzip_new(int (*put)(const void *data, size_t size, void *user, struct cay_error *err),
		      void *user);
void gzip_free(struct gzip *gzip);
DEFINE_CLEANUP(struct gzip *, gzip_free);

int gzip_write(struct gzip *gzip, const void *data, size_t size, struct cay_error *err);
/* Nothing may be written after. */
int gzip_finish(struct gzip *gzip, struct cay_error *err);
