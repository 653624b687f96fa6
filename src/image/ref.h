/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references, "[host[:port]/]name[:tag][@digest]", as people write them
 * and in full. The grammar is that of the distribution project's "reference"
 * package; the default host is docker.io and its one-word names stand for
 * library/NAME, as with docker.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct image_ref {
	char *registry;   /* "docker.io", "host:5000", "[::1]:5000" */
	char *repository; /* "library/debian" */
	char *tag;        /* NULL where only a digest was given */
	char *digest;     /* NULL, or a valid digest */
};

void image_ref_done(struct image_ref *ref);
#define _cleanup_image_ref_ _cleanup_(image_ref_done)

/* Parses and completes: the host, "library/", and the tag "latest" where there is no digest. */
int image_ref_parse(const char *text, struct image_ref *ret_ref, struct cay_error *err);
/* "registry/repository"; the caller frees. */
char *image_ref_name(const struct image_ref *ref);
/* "registry/repository[:tag][@digest]"; the caller frees. */
char *image_ref_format(const struct image_ref *ref);
/* Whether the host of "host[:port]" is this machine's loopback by its spelling. */
bool image_ref_is_loopback(const char *registry);
