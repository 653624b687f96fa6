/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of templates, and how Go's templates test and print values. */
#include "cli/template-internal.h"

#include "base/alloc.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>

bool template_is_true(const json_t *value)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_OBJECT:
		return json_object_size(value) > 0;
	case JSON_ARRAY:
		return json_array_size(value) > 0;
	case JSON_STRING:
		return json_string_length(value) > 0;
	case JSON_INTEGER:
		return json_integer_value(value) != 0;
	case JSON_REAL:
		return json_real_value(value) < 0 || json_real_value(value) > 0;
	case JSON_TRUE:
		return true;
	case JSON_FALSE:
	case JSON_NULL:
		break;
	}
	return false;
}

/* Lists and maps as Go's fmt prints them: [a b], map[k:v]. */
void template_print(const json_t *value, struct buf *out)
{
	const char *key;
	json_t *item;
	size_t index;

	switch (json_typeof(value)) {
	case JSON_STRING:
		buf_append(out, json_string_value(value), json_string_length(value));
		return;
	case JSON_NULL:
		buf_puts(out, "<no value>");
		return;
	case JSON_ARRAY:
		buf_putc(out, '[');
		json_array_foreach(value, index, item) {
			if (index > 0)
				buf_putc(out, ' ');
			template_print(item, out);
		}
		buf_putc(out, ']');
		return;
	case JSON_OBJECT:
		buf_puts(out, "map[");
		index = 0;
		json_object_foreach((json_t *)(uintptr_t)value, key, item) {
			buf_printf(out, "%s%s:", index++ ? " " : "", key);
			template_print(item, out);
		}
		buf_putc(out, ']');
		return;
	case JSON_INTEGER:
	case JSON_REAL:
	case JSON_TRUE:
	case JSON_FALSE:
		json_print_to(value, out);
		return;
	}
}

static int give_text(struct buf *text, json_t **ret_value)
{
	*ret_value = json_stringn(buf_text(text), text->length);
	if (!*ret_value) /* a cut in the middle of a character */
		*ret_value = json_string("?");
	return 0;
}

static int call_json(json_t *const *arguments, size_t count, json_t **ret_value,
		     struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };

	json_print_to(arguments[0], &text);
	return give_text(&text, ret_value);
}

static int call_len(json_t *const *arguments, size_t count, json_t **ret_value,
		    struct cay_error *err)
{
	size_t length;

	if (json_is_string(arguments[0]))
		length = json_string_length(arguments[0]);
	else if (json_is_object(arguments[0]))
		length = json_object_size(arguments[0]);
	else
		length = json_array_size(arguments[0]);
	*ret_value = json_integer((json_int_t)length);
	return 0;
}

/* A key that a map does not have gives Go's zero value, which prints as nothing. */
static int call_index(json_t *const *arguments, size_t count, json_t **ret_value,
		      struct cay_error *err)
{
	json_t *value = arguments[0];

	for (size_t i = 1; i < count && value; i++) {
		const json_t *key = arguments[i];

		if (json_is_array(value) && json_is_integer(key)) {
			json_int_t index = json_integer_value(key);

			if (index < 0 || (size_t)index >= json_array_size(value))
				return cay_error_set(err, CAY_INVALID, ERANGE,
						     "template: index %lld of a list of %zu",
						     (long long)index, json_array_size(value));
			value = json_array_get(value, (size_t)index);
		} else if ((json_is_object(value) || json_is_null(value)) && json_is_string(key)) {
			value = json_object_get(value, json_string_value(key));
		} else {
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "template: index needs a map and a string, or a list "
					     "and a number");
		}
	}
	*ret_value = value ? json_incref(value) : json_string("");
	return 0;
}

static int call_join(json_t *const *arguments, size_t count, json_t **ret_value,
		     struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	json_t *item;
	size_t index;

	json_array_foreach(arguments[0], index, item) {
		if (index > 0)
			template_print(arguments[1], &text);
		template_print(item, &text);
	}
	return give_text(&text, ret_value);
}

static int call_split(json_t *const *arguments, size_t count, json_t **ret_value,
		      struct cay_error *err)
{
	const char *text = json_string_value(arguments[0]);
	const char *separator = json_string_value(arguments[1]), *next;

	if (!text || !separator || !*separator)
		return cay_error_set(err, CAY_INVALID, EINVAL, "template: split needs two strings");
	*ret_value = json_array();
	for (; (next = strstr(text, separator)); text = next + strlen(separator))
		(void)json_array_append_new(*ret_value, json_stringn(text, (size_t)(next - text)));
	(void)json_array_append_new(*ret_value, json_string(text));
	return 0;
}

static int change_case(const json_t *value, int (*first)(int), int (*rest)(int), json_t **ret_value)
{
	_cleanup_buf_ struct buf text = { 0 };

	template_print(value, &text);
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c < 0x80)
			text.data[i] = (char)(i == 0 ? first(c) : rest(c));
	}
	return give_text(&text, ret_value);
}

static int keep_case(int c)
{
	return c;
}

static int call_lower(json_t *const *arguments, size_t count, json_t **ret_value,
		      struct cay_error *err)
{
	return change_case(arguments[0], tolower, tolower, ret_value);
}

static int call_upper(json_t *const *arguments, size_t count, json_t **ret_value,
		      struct cay_error *err)
{
	return change_case(arguments[0], toupper, toupper, ret_value);
}

static int call_title(json_t *const *arguments, size_t count, json_t **ret_value,
		      struct cay_error *err)
{
	return change_case(arguments[0], toupper, keep_case, ret_value);
}

static int call_print(json_t *const *arguments, size_t count, json_t **ret_value,
		      struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };

	for (size_t i = 0; i < count; i++)
		template_print(arguments[i], &text);
	return give_text(&text, ret_value);
}

static int call_println(json_t *const *arguments, size_t count, json_t **ret_value,
			struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_putc(&text, ' ');
		template_print(arguments[i], &text);
	}
	buf_putc(&text, '\n');
	return give_text(&text, ret_value);
}

static int call_truncate(json_t *const *arguments, size_t count, json_t **ret_value,
			 struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	json_int_t length = json_integer_value(arguments[1]);

	template_print(arguments[0], &text);
	if (length >= 0 && (size_t)length < text.length)
		text.length = (size_t)length;
	return give_text(&text, ret_value);
}

static int call_eq(json_t *const *arguments, size_t count, json_t **ret_value,
		   struct cay_error *err)
{
	bool equal = false;

	for (size_t i = 1; i < count; i++)
		equal = equal || json_equal(arguments[0], arguments[i]);
	*ret_value = json_boolean(equal);
	return 0;
}

static int call_ne(json_t *const *arguments, size_t count, json_t **ret_value,
		   struct cay_error *err)
{
	*ret_value = json_boolean(!json_equal(arguments[0], arguments[1]));
	return 0;
}

static int call_and(json_t *const *arguments, size_t count, json_t **ret_value,
		    struct cay_error *err)
{
	size_t i = 0;

	while (i + 1 < count && template_is_true(arguments[i]))
		i++;
	*ret_value = arguments[i] ? json_incref(arguments[i]) : json_false();
	return 0;
}

static int call_or(json_t *const *arguments, size_t count, json_t **ret_value,
		   struct cay_error *err)
{
	size_t i = 0;

	while (i + 1 < count && !template_is_true(arguments[i]))
		i++;
	*ret_value = arguments[i] ? json_incref(arguments[i]) : json_false();
	return 0;
}

static int call_not(json_t *const *arguments, size_t count, json_t **ret_value,
		    struct cay_error *err)
{
	*ret_value = json_boolean(!template_is_true(arguments[0]));
	return 0;
}

static const struct template_function functions[] = {
	{ "json", 1, 1, false, call_json },
	{ "len", 1, 1, false, call_len },
	{ "index", 2, TEMPLATE_ARGUMENTS_MAX, false, call_index },
	{ "join", 2, 2, false, call_join },
	{ "split", 2, 2, false, call_split },
	{ "lower", 1, 1, false, call_lower },
	{ "upper", 1, 1, false, call_upper },
	{ "title", 1, 1, false, call_title },
	{ "print", 0, TEMPLATE_ARGUMENTS_MAX, false, call_print },
	{ "println", 0, TEMPLATE_ARGUMENTS_MAX, false, call_println },
	{ "truncate", 2, 2, false, call_truncate },
	{ "eq", 2, TEMPLATE_ARGUMENTS_MAX, false, call_eq },
	{ "ne", 2, 2, false, call_ne },
	{ "and", 1, TEMPLATE_ARGUMENTS_MAX, true, call_and },
	{ "or", 1, TEMPLATE_ARGUMENTS_MAX, true, call_or },
	{ "not", 1, 1, true, call_not },
};

const struct template_function *template_function_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (str_equals(name, functions[i].name))
			return &functions[i];
	return NULL;
}
