/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching an image, for pull itself and for run and create. */
#pragma once

#include "cli/client.h"
#include "cli/image-name.h"

#include <stdbool.h>

/*
 * POST /images/create with the credentials that are stored for the registry; a name without tag and
 * digest means all of its tags. `platform` may be NULL. Progress goes to `fd` unless quiet. Blocks
 * until the image is there; the daemon stops when this client goes.
 */
int pull_image(struct client *client, const struct image_name *name, const char *platform, int fd,
	       bool quiet, struct cay_error *err);
