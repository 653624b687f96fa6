/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON over jansson: strict parsing with limits, typed reading of members with
 * errors that name the member, and printing. Field names are as in the
 * documents, so that a reader finds them by search.
 *
 * The json_read_* functions read member `key` of `object`. A member that is
 * absent or null leaves the output as it was and is no error: callers put the
 * default there first. One of another type is CAY_INVALID and names the key.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdbool.h>

/* Nesting deeper than this is refused; jansson's own guard stands at 2048. */
enum { JSON_DEPTH_MAX = 64 };

DEFINE_CLEANUP(json_t *, json_decref);
#define _cleanup_json_ _cleanup_(json_decref_p)

/*
 * Parses one JSON value that must fill `size` bytes (white space around it is allowed; duplicate
 * keys, bytes after the value and "\\u0000" in a string are not). `what` names the document in
 * errors. The caller drops its reference with json_decref().
 */
int json_parse(const char *data, size_t size, const char *what, json_t **ret_value,
	       struct cay_error *err);
/* The same from a file of at most `limit` bytes. */
int json_parse_file(const char *path, size_t limit, json_t **ret_value, struct cay_error *err);

/* One line, members in the order they were added; the caller frees. */
char *json_print(const json_t *value);
void json_print_to(const json_t *value, struct buf *out);

/* *target is freed and replaced by a copy. */
int json_read_string(const json_t *object, const char *key, char **target, struct cay_error *err);
int json_read_bool(const json_t *object, const char *key, bool *target, struct cay_error *err);
int json_read_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *target,
		  struct cay_error *err);
/* An array of strings; *target is replaced. At most `limit` items. */
int json_read_strv(const json_t *object, const char *key, size_t limit, struct strv *target,
		   struct cay_error *err);
/* The member as an object or an array, borrowed from `object`; *target is NULL where it is absent.
 */
int json_read_object(const json_t *object, const char *key, json_t **target, struct cay_error *err);
/* An object whose members all are strings. */
int json_read_string_map(const json_t *object, const char *key, json_t **target,
			 struct cay_error *err);
int json_read_array(const json_t *object, const char *key, json_t **target, struct cay_error *err);

/* Adds a member and keeps going on bad UTF-8, which is replaced by '?': guests name processes. */
void json_set_string(json_t *object, const char *key, const char *text);
void json_set_int(json_t *object, const char *key, int64_t number);
void json_set_bool(json_t *object, const char *key, bool flag);
/* Takes `value` over. */
void json_set(json_t *object, const char *key, json_t *value);
/* A new array of the strings; an empty array for an empty list. */
json_t *json_from_strv(const struct strv *list);
