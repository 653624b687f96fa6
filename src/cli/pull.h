/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching an image, for pull itself and for run and create. */
#pragma once

#include "cli/client.h"

#include <stdbool.h>

/*
 * POST /images/create. `platform` may be NULL. Progress goes to `fd` unless quiet. Blocks until the
 * image is there; the daemon stops when this client goes.
 */
int pull_image(struct client *client, const char *image, const char *platform, int fd, bool quiet,
	       struct cay_error *err);
/* The name in full, "docker.io/library/debian:latest"; the caller frees. */
char *image_full_name(const char *image);
