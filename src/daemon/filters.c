/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's `filters` argument: parsing both of its forms, and matching. */
#include "daemon/filters.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"

#include <errno.h>
#include <regex.h>

enum { REGEX_TEXT_MAX = 256 };

static int invalid_filter(struct cay_error *err, const char *key)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "invalid filter '%.64s'", key);
}

static bool is_allowed(const char *const *allowed, const char *key)
{
	for (; *allowed; allowed++)
		if (strcmp(*allowed, key) == 0)
			return true;
	return false;
}

/* ["a", "b"] and {"a": true, "b": true}; one that is false was taken back and counts for nothing.
 */
static int read_values(const char *key, json_t *member, struct strv *values, struct cay_error *err)
{
	const char *name;
	json_t *item;
	size_t i;

	if (json_is_array(member)) {
		json_array_foreach(member, i, item) {
			if (!json_is_string(item))
				return invalid_filter(err, key);
			strv_add(values, json_string_value(item));
		}
		return 0;
	}
	if (!json_is_object(member))
		return invalid_filter(err, key);
	json_object_foreach(member, name, item) {
		if (!json_is_boolean(item))
			return invalid_filter(err, key);
		if (json_is_true(item))
			strv_add(values, name);
	}
	return 0;
}

static int read_filters(json_t *object, const char *const *allowed, struct filters *filters,
			struct cay_error *err)
{
	size_t values = 0;
	const char *key;
	json_t *member;

	json_object_foreach(object, key, member) {
		struct filter *filter;
		int r;

		if (!is_allowed(allowed, key) || filters->count == FILTERS_KEYS_MAX)
			return invalid_filter(err, key);
		values +=
			json_is_array(member) ? json_array_size(member) : json_object_size(member);
		if (values > FILTERS_VALUES_MAX)
			return cay_error_set(err, CAY_INVALID, E2BIG, "more than %d filters",
					     FILTERS_VALUES_MAX);
		filters->items =
			xreallocarray(filters->items, filters->count + 1, sizeof(*filters->items));
		filter = &filters->items[filters->count++];
		*filter = (struct filter){ .key = xstrdup(key) };
		r = read_values(key, member, &filter->values, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int filters_parse(const char *text, const char *const *allowed, struct filters *ret_filters,
		  struct cay_error *err)
{
	_cleanup_filters_ struct filters filters = {};
	_cleanup_json_ json_t *object = NULL;
	size_t length = text ? strlen(text) : 0;
	int r;

	if (length > 0) {
		if (length > FILTERS_TEXT_MAX)
			return cay_error_set(err, CAY_INVALID, E2BIG, "filters are too long");
		r = json_parse(text, length, "filters", &object, err);
		if (r < 0)
			return r;
		if (!json_is_object(object) && !json_is_null(object))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "filters: not a JSON object");
		r = read_filters(object, allowed, &filters, err);
		if (r < 0)
			return r;
	}
	*ret_filters = filters;
	filters = (struct filters){};
	return 0;
}

void filters_done(struct filters *filters)
{
	for (size_t i = 0; i < filters->count; i++) {
		free(filters->items[i].key);
		strv_done(&filters->items[i].values);
	}
	free(filters->items);
	*filters = (struct filters){};
}

const struct strv *filters_get(const struct filters *filters, const char *key)
{
	for (size_t i = 0; i < filters->count; i++)
		if (filters->items[i].values.count > 0 && strcmp(filters->items[i].key, key) == 0)
			return &filters->items[i].values;
	return NULL;
}

static bool match_any(const struct filters *filters, const char *key, const char *value,
		      bool (*matches)(const char *wanted, const char *value))
{
	const struct strv *wanted = filters_get(filters, key);

	if (!wanted)
		return true;
	for (size_t i = 0; i < wanted->count; i++)
		if (matches(wanted->items[i], value))
			return true;
	return false;
}

static bool is_equal(const char *wanted, const char *value)
{
	return strcmp(wanted, value) == 0;
}

static bool is_prefix(const char *wanted, const char *value)
{
	return starts_with(value, wanted);
}

/*
 * What the C library's expressions need memory or time without bounds for: counted repetitions and
 * repetitions of repetitions, which it copies out, and back references. "a+b*(c|d)?" is none.
 */
static bool is_costly(const char *expression)
{
	if (strlen(expression) > REGEX_TEXT_MAX || strpbrk(expression, "{}"))
		return true;
	for (const char *at = expression; *at; at++) {
		if (*at == '\\' && at[1] >= '1' && at[1] <= '9')
			return true;
		if (strchr("*+?", *at) && strchr("*+?", at[1]) && at[1])
			return true;
		if (*at == ')' && at[1] == '+')
			return true;
	}
	return false;
}

static bool is_found(const char *wanted, const char *value)
{
	regex_t regex;
	bool found;

	if (is_costly(wanted) || regcomp(&regex, wanted, REG_EXTENDED | REG_NOSUB) != 0)
		return strstr(value, wanted);
	found = regexec(&regex, value, 0, NULL, 0) == 0;
	regfree(&regex);
	return found;
}

bool filters_match(const struct filters *filters, const char *key, const char *value)
{
	return match_any(filters, key, value, is_equal);
}

bool filters_match_prefix(const struct filters *filters, const char *key, const char *value)
{
	return match_any(filters, key, value, is_prefix);
}

bool filters_match_regex(const struct filters *filters, const char *key, const char *value)
{
	return match_any(filters, key, value, is_found);
}

static bool label_holds(const char *wanted, const json_t *labels)
{
	struct str value, name = str_split(str_from(wanted), '=', &value);
	_cleanup_free_ char *label = str_dup(name);
	const char *have = json_string_value(json_object_get(labels, label));

	return have && (!strchr(wanted, '=') || str_equals(value, have));
}

bool filters_match_labels(const struct filters *filters, const char *key, const json_t *labels)
{
	const struct strv *wanted = filters_get(filters, key);

	for (size_t i = 0; wanted && i < wanted->count; i++)
		if (!label_holds(wanted->items[i], labels))
			return false;
	return true;
}

bool filters_miss_labels(const struct filters *filters, const char *key, const json_t *labels)
{
	const struct strv *unwanted = filters_get(filters, key);

	for (size_t i = 0; unwanted && i < unwanted->count; i++)
		if (label_holds(unwanted->items[i], labels))
			return false;
	return true;
}

int filters_get_bool(const struct filters *filters, const char *key, bool *target,
		     struct cay_error *err)
{
	const struct strv *values = filters_get(filters, key);
	bool yes, no;

	if (!values)
		return 0;
	yes = strv_contains(values, "true") || strv_contains(values, "1");
	no = strv_contains(values, "false") || strv_contains(values, "0");
	if (yes == no)
		return cay_error_set(err, CAY_INVALID, EINVAL, "invalid filter '%s=[%s]'", key,
				     values->items[0]);
	*target = yes;
	return 0;
}
