/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a registry wants to see before it answers: the challenges of a
 * WWW-Authenticate header (RFC 9110, section 11) and the token a realm hands
 * out for them (the distribution project's "Token Authentication").
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>

enum auth_scheme { AUTH_OTHER, AUTH_BASIC, AUTH_BEARER };

struct challenge {
	enum auth_scheme scheme;
	char *realm, *service, *scope; /* NULL where absent */
};

struct challenges {
	struct challenge *items;
	size_t count;
};

void challenges_done(struct challenges *challenges);
#define _cleanup_challenges_ _cleanup_(challenges_done)

/* Adds the challenges of one header's value. CAY_INVALID when it is malformed. */
int challenges_parse(const char *header, struct challenges *challenges, struct cay_error *err);
/* The one to answer: Bearer before Basic; NULL when there is neither. */
const struct challenge *challenges_choose(const struct challenges *challenges);

/* Whether a token can stand in a header: nothing in it ends one. CAY_INVALID. */
int auth_check_token(const char *token, struct cay_error *err);
/* The value of an Authorization header with a name and a password; the caller frees. */
char *auth_basic(const char *username, const char *password);
/* Reads a token from a realm's answer: "Bearer …" as an Authorization header has it. */
int auth_read_token(const char *data, size_t size, char **ret_authorization, struct cay_error *err);
/*
 * The refresh token in the same answer, docker's "identity token": the caller frees and wipes it;
 * *ret_token stays as it was where there is none.
 */
int auth_read_refresh_token(const char *data, size_t size, char **ret_token, struct cay_error *err);
