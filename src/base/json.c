/* SPDX-License-Identifier: Apache-2.0 */
/* JSON over jansson: strict parsing, typed reading with errors that name the member, printing. */
#include "base/json.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>

/* jansson recurses, so depth is counted before it sees the text. Strings may hold brackets. */
static bool too_deep(const char *data, size_t size)
{
	unsigned int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		if (in_string) {
			if (data[i] == '\\')
				i++;
			else if (data[i] == '"')
				in_string = false;
		} else if (data[i] == '"') {
			in_string = true;
		} else if (data[i] == '{' || data[i] == '[') {
			if (++depth > JSON_DEPTH_MAX)
				return true;
		} else if ((data[i] == '}' || data[i] == ']') && depth > 0) {
			depth--;
		}
	}
	return false;
}

int json_parse(const char *data, size_t size, const char *what, json_t **ret_value,
	       struct cay_error *err)
{
	json_error_t error;
	json_t *value;

	if (too_deep(data, size))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "%s: JSON nested more than %d levels deep", what,
				     JSON_DEPTH_MAX);
	value = json_loadb(data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "%s: not valid JSON: %s at line %d, column %d", what,
				     error.text, error.line, error.column);
	*ret_value = value;
	return 0;
}

int json_parse_file(const char *path, size_t limit, json_t **ret_value, struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	int r = file_read(path, limit, &text, err);

	if (r < 0)
		return r;
	return json_parse(buf_text(&text), text.length, path, ret_value, err);
}

static int append_to_buf(const char *data, size_t size, void *buf)
{
	buf_append(buf, data, size);
	return 0;
}

void json_print_to(const json_t *value, struct buf *out)
{
	(void)json_dump_callback(value, append_to_buf, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

char *json_print(const json_t *value)
{
	struct buf out = { 0 };

	json_print_to(value, &out);
	return buf_steal(&out);
}

static int wrong_type(const char *key, const char *wanted, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is not %s", key, wanted);
}

/* The member, or NULL where it is absent or null. */
static json_t *member(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

int json_read_string(const json_t *object, const char *key, char **target, struct cay_error *err)
{
	json_t *value = member(object, key);

	if (!value)
		return 0;
	if (!json_is_string(value))
		return wrong_type(key, "a string", err);
	replace_string(target, json_string_value(value));
	return 0;
}

int json_read_bool(const json_t *object, const char *key, bool *target, struct cay_error *err)
{
	json_t *value = member(object, key);

	if (!value)
		return 0;
	if (!json_is_boolean(value))
		return wrong_type(key, "true or false", err);
	*target = json_is_true(value);
	return 0;
}

int json_read_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *target,
		  struct cay_error *err)
{
	json_t *value = member(object, key);
	json_int_t number;

	if (!value)
		return 0;
	if (!json_is_integer(value))
		return wrong_type(key, "an integer", err);
	number = json_integer_value(value);
	if (number < min || number > max)
		return cay_error_set(err, CAY_INVALID, ERANGE,
				     "\"%s\" is %lld, which is not between %lld and %lld", key,
				     (long long)number, (long long)min, (long long)max);
	*target = number;
	return 0;
}

int json_read_strv(const json_t *object, const char *key, size_t limit, struct strv *target,
		   struct cay_error *err)
{
	_cleanup_strv_ struct strv list = { 0 };
	json_t *value = member(object, key), *item;
	size_t index;

	if (!value)
		return 0;
	if (!json_is_array(value))
		return wrong_type(key, "an array of strings", err);
	if (json_array_size(value) > limit)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "\"%s\" has more than %zu items",
				     key, limit);
	json_array_foreach(value, index, item) {
		if (!json_is_string(item))
			return wrong_type(key, "an array of strings", err);
		strv_add(&list, json_string_value(item));
	}
	strv_done(target);
	*target = list;
	list = (struct strv){ 0 };
	return 0;
}

int json_read_object(const json_t *object, const char *key, json_t **target, struct cay_error *err)
{
	json_t *value = member(object, key);

	if (value && !json_is_object(value))
		return wrong_type(key, "an object", err);
	*target = value;
	return 0;
}

int json_read_string_map(const json_t *object, const char *key, json_t **target,
			 struct cay_error *err)
{
	json_t *map = NULL, *value;
	const char *name;
	int r = json_read_object(object, key, &map, err);

	if (r < 0)
		return r;
	json_object_foreach(map, name, value) {
		if (!json_is_string(value))
			return wrong_type(key, "an object of strings", err);
	}
	*target = map;
	return 0;
}

int json_read_array(const json_t *object, const char *key, json_t **target, struct cay_error *err)
{
	json_t *value = member(object, key);

	if (value && !json_is_array(value))
		return wrong_type(key, "an array", err);
	*target = value;
	return 0;
}

void json_set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value) < 0)
		abort(); /* only lack of memory, or a key of ours that is not UTF-8 */
}

void json_set_string(json_t *object, const char *key, const char *text)
{
	json_t *value = json_string(text);

	if (!value) {
		_cleanup_free_ char *plain = xstrdup(text);

		for (char *at = plain; *at; at++)
			if ((unsigned char)*at >= 0x80)
				*at = '?';
		value = json_string(plain);
	}
	json_set(object, key, value);
}

void json_set_int(json_t *object, const char *key, int64_t number)
{
	json_set(object, key, json_integer(number));
}

void json_set_bool(json_t *object, const char *key, bool flag)
{
	json_set(object, key, json_boolean(flag));
}

json_t *json_from_strv(const struct strv *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		if (json_array_append_new(array, json_string(list->items[i])) < 0)
			(void)json_array_append_new(array, json_string("?")); /* not UTF-8 */
	return array;
}
