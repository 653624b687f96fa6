/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Docker's `filters` argument: a JSON object that names, for each key, the
 * values that are let through. Clients send it in two forms,
 * {"status":["running","paused"]} and {"status":{"running":true}}.
 *
 * A key that the client does not give lets everything through; this holds for
 * each filters_match function below.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdbool.h>

enum {
	FILTERS_TEXT_MAX = 64 * 1024, /* bytes of the argument */
	FILTERS_KEYS_MAX = 32,
	FILTERS_VALUES_MAX = 1024, /* of all keys together */
};

struct filter {
	char *key;
	struct strv values;
};

/* Starts as all zeros, which lets everything through. */
struct filters {
	struct filter *items;
	size_t count;
};

/*
 * Parses the argument as it came (NULL and "" give no filter). `allowed` is a NULL-ended list of
 * keys; another one is CAY_INVALID with docker's words, "invalid filter 'x'".
 */
int filters_parse(const char *text, const char *const *allowed, struct filters *ret_filters,
		  struct cay_error *err);
void filters_done(struct filters *filters);
#define _cleanup_filters_ _cleanup_(filters_done)

/* The values of a key, or NULL where the client does not give it. */
const struct strv *filters_get(const struct filters *filters, const char *key);

/* `value` is one of the values. */
bool filters_match(const struct filters *filters, const char *key, const char *value);
/* `value` is, or starts with, one of the values: ids. */
bool filters_match_prefix(const struct filters *filters, const char *key, const char *value);
/*
 * One of the values, an extended regular expression, is found in `value`: container names. One that
 * is no such expression, is longer than 256 bytes, or has counted repetitions, repetitions of
 * repetitions or back references is looked for as plain text.
 */
bool filters_match_regex(const struct filters *filters, const char *key, const char *value);
/* Every value, "key" or "key=value", holds for `labels`, an object of strings (NULL: none). */
bool filters_match_labels(const struct filters *filters, const char *key, const json_t *labels);
/* None of the values, "key" or "key=value", holds for `labels`. */
bool filters_miss_labels(const struct filters *filters, const char *key, const json_t *labels);
/*
 * A key whose value is a truth: "true", "1", "false", "0". *target stays as it was without the key;
 * anything else, or both truths, is CAY_INVALID.
 */
int filters_get_bool(const struct filters *filters, const char *key, bool *target,
		     struct cay_error *err);
