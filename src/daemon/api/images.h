/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers of images share: images.c has the routes, images-list.c the list and prune. */
#pragma once

#include "daemon/http.h"
#include "image/store.h"

/* GET /images/json and POST /images/prune. */
int images_get(struct daemon *daemon, struct http_request *request, struct cay_error *err);
int images_prune(struct daemon *daemon, struct http_request *request, struct cay_error *err);

/*
 * Removes a name of the image, or the image by its id, and tells it: rows for docker's answer are
 * added to `array`, the bytes of its layers to *reclaimed, events are sent.
 */
int images_remove(struct daemon *daemon, const struct image *image, const char *name, bool force,
		  json_t *array, uint64_t *reclaimed, struct cay_error *err);
/* The same for what was listed some time ago: see image_store_remove_unchanged(). */
int images_remove_unchanged(struct daemon *daemon, const struct image *image, const char *name,
			    json_t *array, uint64_t *reclaimed, struct cay_error *err);
