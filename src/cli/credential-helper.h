/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credential helpers: programs named docker-credential-NAME that keep secrets
 * elsewhere than in a file (github.com/docker/docker-credential-helpers). One
 * is called with a verb; what it is to know goes to its standard input, what
 * it knows comes from its standard output, and a failure is a line there.
 *
 * These calls wait for the program, which may ask the user something.
 */
#pragma once

#include "cli/docker-config.h"

enum {
	HELPER_OUTPUT_MAX = 1024 * 1024,
};

/* Whether a program is in PATH. */
bool program_exists(const char *program);
/* Whether a helper of that name is in PATH. */
bool helper_exists(const char *name);
/* 1 with the credentials, 0 when it has none for the registry. */
int helper_get(const char *name, const char *key, struct credentials *ret_credentials,
	       struct cay_error *err);
int helper_store(const char *name, const char *key, const struct credentials *credentials,
		 struct cay_error *err);
/* Success too where it had none. */
int helper_erase(const char *name, const char *key, struct cay_error *err);
/* An object, registry → user name. */
int helper_list(const char *name, json_t **ret_users, struct cay_error *err);

/* The answer to "get", from its text; what helper_get() stands on. */
int helper_parse_credentials(const char *name, const struct buf *answer,
			     struct credentials *ret_credentials, struct cay_error *err);
/* The answer to "list"; entries that are no strings are left out. */
int helper_parse_list(const char *name, const struct buf *answer, json_t **ret_users,
		      struct cay_error *err);
