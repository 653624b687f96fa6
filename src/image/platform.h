/* SPDX-License-Identifier: Apache-2.0 */
/* Platforms of images, "os/architecture[/variant]", in the names Go and the OCI use. */
#pragma once

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

struct platform {
	char *os, *architecture, *variant; /* variant may be NULL; "" is never stored */
};

void platform_done(struct platform *platform);
#define _cleanup_platform_ _cleanup_(platform_done)

/* *to must be all NULL. */
void platform_copy(struct platform *to, const struct platform *from);
/* NULL gives linux and this host's architecture. Aliases (x86_64, aarch64, armhf) are replaced. */
int platform_parse(const char *text, struct platform *ret_platform, struct cay_error *err);
/* From the members os, architecture and variant of an object. */
int platform_read(const json_t *object, struct platform *ret_platform, struct cay_error *err);
/* The caller frees. */
char *platform_format(const struct platform *platform);
/*
 * How well an image for `offered` runs where `wanted` is asked for: 0 is not at all, more is
 * better. An arm host runs lower variants too; elsewhere a variant must be the same or not be
 * given.
 */
unsigned int platform_match(const struct platform *wanted, const struct platform *offered);
