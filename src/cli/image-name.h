/* SPDX-License-Identifier: Apache-2.0 */
/* Names of images as users write them, taken apart as far as requests and messages need it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* "name", "name:tag", "name@digest" or "name:tag@digest". */
struct image_name {
	char *name;   /* without tag and digest */
	char *tag;    /* NULL: none */
	char *digest; /* NULL: none */
};
void image_name_split(const char *image, struct image_name *ret_name);
void image_name_done(struct image_name *name);
#define _cleanup_image_name_ _cleanup_(image_name_done)

/*
 * The same for a verb that takes a name, and a tag unless `all` of them are meant: what is missing
 * is "latest", which is said on standard output unless `quiet`.
 */
int image_name_for_transfer(const char *image, bool all, bool quiet, struct image_name *ret_name,
			    struct cay_error *err);

/* The name in full, "docker.io/library/debian", tag and digest as they are; the caller frees. */
char *image_name_expand(const char *image);
