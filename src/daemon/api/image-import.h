/* SPDX-License-Identifier: Apache-2.0 */
/* Images made here: what commit and import share. */
#pragma once

#include "daemon/http.h"
#include "image/store.h"

struct daemon;

/*
 * The full name of docker's arguments repo and tag, freed by the caller; NULL without a repo. A
 * digest is no name to give.
 */
int api_new_image_name(const struct http_request *request, char **ret_full, struct cay_error *err);
/* Tells the event log that an image made here got its name. */
void api_emit_tag(struct daemon *daemon, const struct image *image, const char *full);

/* POST /images/create with fromSrc. */
int api_image_import(struct daemon *daemon, struct http_request *request, const char *source,
		     struct cay_error *err);
