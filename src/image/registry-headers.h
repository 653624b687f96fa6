/* SPDX-License-Identifier: Apache-2.0 */
/* Headers by which registries tell where something is, or how much of it there is. */
#pragma once

#include "base/error.h"

#include <stdint.h>

/* Where the bytes of "bytes START-END/SIZE" (RFC 9110, Content-Range) begin; -EINVAL. */
int registry_read_content_range(const char *text, uint64_t *ret_start);

/*
 * How many bytes of an upload a registry has, from "0-LAST" or "bytes=0-LAST" (the distribution
 * specification's Range); -EINVAL. "0-0" is what registries send for none at all.
 */
int registry_read_received(const char *text, uint64_t *ret_count);

/*
 * The URL of the next page from "<REFERENCE>; rel=\"next\"" (RFC 8288), resolved at `base`; the
 * caller frees. NULL where the header is NULL or has no next page. CAY_INVALID when it is
 * malformed.
 */
int registry_read_link(const char *text, const char *base, char **ret_url, struct cay_error *err);
