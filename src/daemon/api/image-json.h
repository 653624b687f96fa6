/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images in docker's JSON. The results are the caller's. What an image's own
 * configuration holds is passed on as it is: its shape is the image's word.
 */
#pragma once

#include "image/store.h"

/*
 * A "platform" argument, "os/arch[/variant]" or, as newer clients send it, an object with the
 * members os, architecture and variant, in the first form; NULL where it is absent or empty.
 */
int image_platform_argument(const char *text, char **ret_platform, struct cay_error *err);

/* An item of GET /images/json, for the API's minor version. */
json_t *image_to_summary(const struct image *image, unsigned int version);
/* GET /images/{name}/json. */
json_t *image_to_details(const struct image *image, unsigned int version);
/* GET /images/{name}/history: newest first. `sizes` are the layers', lowest first. */
json_t *image_to_history(const struct image *image, const uint64_t *sizes, size_t size_count);
/* What an event about it carries: its labels, and `name`. */
json_t *image_attributes(const struct image *image, const char *name);
/* Its labels, borrowed; NULL where it has none. */
const json_t *image_labels(const struct image *image);
