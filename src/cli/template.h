/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of Go's text/template language (pkg.go.dev/text/template) that
 * people use with docker's --format, over JSON:
 *
 *   {{.A.B}}  {{.Label "a.b"}}  {{json .A}}  {{index .Labels "a.b"}}  {{.X | upper}}
 *   {{if .A}}…{{else if .B}}…{{else}}…{{end}}   {{with .A}}…{{end}}
 *   {{range .List}}…{{else}}…{{end}}   {{range $key, $value := .Map}}…{{end}}
 *
 * with parentheses, strings, numbers, true and false, {{- and -}}, comments,
 * and the functions json len index join split lower upper title print println
 * truncate eq ne and or not. Anything else is an error that says so. A field that
 * is not there is an error where it is printed and false where it is tested.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <jansson.h>

struct template;

int template_parse(const char *text, struct template **ret_template, struct cay_error *err);
void template_free(struct template *template);
DEFINE_CLEANUP(struct template *, template_free);

/*
 * Appends the result for one value; on failure `out` may hold a part of it. `methods` (NULL: none)
 * are those of the value: .Label "key" looks the key up in the object `Label` of `methods`; one
 * that is not there is empty. A `true` instead of an object makes a column's heading of the key.
 */
int template_run(const struct template *template, const json_t *value, const json_t *methods,
		 struct buf *out, struct cay_error *err);

/* A value by itself, as {{.}} prints it. */
void template_print(const json_t *value, struct buf *out);
