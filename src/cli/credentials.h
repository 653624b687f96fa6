/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where credentials for a registry are kept: with the helper that Docker's
 * configuration names for it, else in that configuration's own file. What
 * `docker login` stored is found here, and the other way round.
 *
 * Registries go by the names docker stores them under: "host:port", and
 * "https://index.docker.io/v1/" for Docker Hub.
 */
#pragma once

#include "cli/docker-config.h"

/* The name for what a user typed; NULL or "" is Docker Hub. The caller frees. */
char *credentials_key(const char *address);
/* The name for an image's registry; the caller frees. */
char *credentials_key_of_image(const char *image);

/* 1 with what is stored, 0 where nothing is. May run a helper. */
int credentials_get(const char *key, struct credentials *ret_credentials, struct cay_error *err);
/* *ret_place says where: "the helper docker-credential-x", or a path; the caller frees. */
int credentials_store(const char *key, const struct credentials *credentials, char **ret_place,
		      struct cay_error *err);
/* 1 where there was something, 0 where not; a helper's word counts as something. */
int credentials_erase(const char *key, struct cay_error *err);
/*
 * Calls `each` for every registry with credentials, in the order of their names. A helper that
 * fails is complained of, and makes the result 1 instead of 0.
 */
int credentials_list(void (*each)(void *context, const char *key, const char *username),
		     void *context, struct cay_error *err);

/* The body of POST /auth, with secrets in it. */
json_t *credentials_json(const char *key, const struct credentials *credentials);
/*
 * The header X-Registry-Auth for an image's registry; without credentials it says so. A
 * configuration that can't be read and a helper that fails are complained of and count as having
 * none, as for docker. The caller frees, with secret_free().
 */
int credentials_header(const char *image, char **ret_header, struct cay_error *err);
