/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to an image's configuration in the words of a Dockerfile, as commit
 * and import take them: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL,
 * ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR.
 *
 * Format: Docker's "Dockerfile reference". Lines, quotes and variables
 * ($NAME, ${NAME}, ${NAME:-word}, ${NAME:+word}) are read as its builder reads
 * them; variables are those of the configuration itself.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>

/* The text of all changes. */
enum { CHANGES_TEXT_MAX = 256 * 1024 };

/* Applies them in order to `config`, an object in docker's shape. On failure it may be changed. */
int changes_apply(json_t *config, const struct strv *changes, struct cay_error *err);

/* ---- between the files of this module ---- */

/* An array of strings, or NULL: then it is a line for the shell. */
json_t *changes_parse_list(struct str text);
/* HEALTHCHECK, with the text behind it. */
int changes_healthcheck(json_t *config, struct str text, struct cay_error *err);

/* Splits at blanks outside quotes; the quotes stay. */
void changes_split(struct str text, struct strv *ret_words);
/*
 * A word with its quotes taken off and its variables replaced from `env`, an array of "NAME=value"
 * (NULL: none); the caller frees. CAY_INVALID for what is left open.
 */
int changes_expand(struct str word, const json_t *env, char **ret_text, struct cay_error *err);
