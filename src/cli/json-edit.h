/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing one member of a JSON document and not a byte beside it, for files
 * that belong to other programs too: a number that is too long for us, a key
 * that stands twice, the order and the blanks all stay as they were, which
 * parsing and printing it again could not promise.
 *
 * Nothing here blocks or allocates by a foreign size beyond the text's own.
 */
#pragma once

#include "base/buf.h"

enum {
	JSON_EDIT_DEPTH_MAX = 512, /* levels; a deeper document is refused */
};

struct json_member {
	struct str key;   /* without its quotes, escapes not resolved */
	struct str value; /* as it stands in the text */
};

/*
 * The object that the text starts with, blanks before it aside: *ret_object is a part of the text,
 * whose members json_edit_next() gives. What follows it is not looked at, as Go's decoder does not.
 * -EINVAL where no valid object (RFC 8259) stands.
 */
int json_edit_object(struct str text, struct str *ret_object);
/* The member at *place, which starts at 0 and moves on; false behind the last one. */
bool json_edit_next(struct str object, size_t *place, struct json_member *ret_member);
/* Whether the member has this name; with `fold` letters of either case are the same. */
bool json_member_is(const struct json_member *member, const char *name, bool fold);

/*
 * Sets member `inner` of the member `outer`, or `outer` itself where `inner` is NULL, to `value`,
 * which is JSON. The outer member is found by either case, as Go does, and made where it is missing
 * or no object. `text` must begin with an object: -EINVAL else.
 */
int json_edit_set(struct buf *text, const char *outer, const char *inner, const char *value);
/* Takes out every member of that name. 1 when there was one, 0 when not, -EINVAL as above. */
int json_edit_remove(struct buf *text, const char *outer, const char *inner);

/* The text in quotes, as JSON; bytes that are no UTF-8 become '?'. The caller frees. */
char *json_edit_quote(const char *text);
