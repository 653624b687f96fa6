/* SPDX-License-Identifier: Apache-2.0 */
/* The X-Registry-Auth header, by which clients pass credentials for a registry. */
#pragma once

#include "base/error.h"
#include "image/store.h"

#include <jansson.h>

/* Owned copies of what the header holds; all NULL for an anonymous client. */
struct registry_auth {
	char *username, *password;
	char *identity_token, *registry_token;
};

/* Bytes of the header; it holds a token of a few KiB at most. */
enum { REGISTRY_AUTH_MAX = 32 * 1024 };

/*
 * Decodes base64 (with the URL's alphabet, as docker sends it, or the other; padded or not) of a
 * JSON object with username, password, identitytoken or
 * registrytoken. NULL and "" give no credentials. Errors say
 * nothing of what was inside.
 */
int registry_auth_parse(const char *header, struct registry_auth *ret_auth, struct cay_error *err);
/* The same from the object itself, which then has its secrets no more. */
int registry_auth_read(json_t *object, struct registry_auth *ret_auth, struct cay_error *err);
/* For the store's calls; it points into `auth`. */
struct image_credentials registry_auth_credentials(const struct registry_auth *auth);
/* Wipes the secrets before it frees them. */
void registry_auth_done(struct registry_auth *auth);
#define _cleanup_registry_auth_ _cleanup_(registry_auth_done)
