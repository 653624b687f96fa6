/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of commands share: going over operands, reading answers, filters. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "cli/human.h"
#include "cli/template.h"
#include "cli/text.h"

#include <errno.h>

int each_operand(const struct invocation *invocation,
		 int (*act)(const struct invocation *invocation, const char *name,
			    struct cay_error *err),
		 bool print_name)
{
	int status = 0;

	for (size_t i = 0; i < invocation->operand_count; i++) {
		const char *name = invocation->operands[i];
		struct cay_error err = { 0 };
		int r = act(invocation, name, &err);

		if (r >= 0 && print_name)
			r = text_print_line(name, &err);
		if (r >= 0)
			continue;
		status = 1;
		if (strstr(err.message, name) || err.code == CAY_UNAVAILABLE)
			text_complain("%s", err.message);
		else
			text_complain("%s: %s", name, err.message);
		if (err.code == CAY_UNAVAILABLE)
			break; /* no better for the others */
	}
	return status;
}

int filters_build(const struct options *options, json_t **ret_filters, struct cay_error *err)
{
	const struct strv *list = option_list(options, "filter");
	_cleanup_json_ json_t *filters = json_object();

	for (size_t i = 0; i < list->count; i++) {
		struct str value, key = str_split(str_from(list->items[i]), '=', &value);
		_cleanup_free_ char *name = str_dup(key);
		json_t *values = json_object_get(filters, name);

		if (key.length == 0 || key.length == strlen(list->items[i]))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--filter: \"%s\" is not of the form KEY=VALUE",
					     list->items[i]);
		if (!values) {
			values = json_array();
			if (json_object_set_new(filters, name, values) < 0)
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "--filter: \"%s\" is not UTF-8",
						     list->items[i]);
		}
		(void)json_array_append_new(values, json_string(value.data));
	}
	*ret_filters = list->count > 0 ? TAKE_PTR(filters) : NULL;
	return 0;
}

int target_add_moment(struct target *target, const char *key, const char *text,
		      struct cay_error *err)
{
	_cleanup_free_ char *stamp = NULL;
	int r;

	if (!text)
		return 0;
	r = parse_moment(text, clock_now_ns(), &stamp, err);
	if (r < 0)
		return cay_error_prefix(err, "--%s", key);
	target_add(target, key, stamp);
	return 0;
}

int target_add_platform(struct target *target, const char *text, struct cay_error *err)
{
	static const char *const keys[] = { "os", "architecture", "variant" };
	_cleanup_json_ json_t *platform = json_object();
	struct str rest = str_from(text);
	size_t count = 0;

	if (!text)
		return 0;
	while (rest.length > 0 && count < ARRAY_SIZE(keys)) {
		_cleanup_free_ char *part = str_dup(str_split(rest, '/', &rest));

		if (!*part)
			break;
		json_set_string(platform, keys[count++], part);
	}
	if (count == 0 || rest.length > 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--platform: \"%s\" is not of the form OS[/ARCH[/VARIANT]]",
				     text);
	target_add_json(target, "platform", platform);
	return 0;
}

int container_inspect(struct client *client, const char *name, json_t **ret_value,
		      struct cay_error *err)
{
	int r = client_call_named(client, "GET", "/containers/%s/json", name, ret_value, err);

	if (r >= 0 && !json_is_object(*ret_value)) {
		json_decref(*ret_value);
		*ret_value = NULL;
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the daemon's answer about %s is no object", name);
	}
	return r;
}

static const json_t *member_at(const json_t *value, const char *key, const char *inner)
{
	value = json_object_get(value, key);
	return inner ? json_object_get(value, inner) : value;
}

const char *json_text_at(const json_t *value, const char *key, const char *inner)
{
	const char *text = json_string_value(member_at(value, key, inner));

	return text ? text : "";
}

int64_t json_int_at(const json_t *value, const char *key, const char *inner)
{
	return json_integer_value(member_at(value, key, inner));
}

bool json_bool_at(const json_t *value, const char *key, const char *inner)
{
	return json_is_true(member_at(value, key, inner));
}

/* Numbers in names count as such: net9 stands before net10. */
static int compare_names(const void *a, const void *b)
{
	return strverscmp(json_text_at(*(json_t *const *)a, "Name", NULL),
			  json_text_at(*(json_t *const *)b, "Name", NULL));
}

json_t **json_sort_by_name(const json_t *list, size_t *ret_count)
{
	size_t count = json_array_size(list);
	json_t **sorted = xcalloc(count + 1, sizeof(json_t *));

	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(list, i);
	qsort(sorted, count, sizeof(json_t *), compare_names);
	*ret_count = count;
	return sorted;
}

void short_id(const char *id, bool whole, char ret_id[80])
{
	if (!whole && starts_with(id, "sha256:"))
		id += strlen("sha256:");
	(void)snprintf(ret_id, 80, "%.*s", whole ? 79 : 12, id);
}

void row_set_labels(json_t *row, const json_t *item)
{
	_cleanup_buf_ struct buf labels = { 0 };
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(item, "Labels"), key, value) {
		buf_printf(&labels, "%s%s=%s", labels.length > 0 ? "," : "", key,
			   json_is_string(value) ? json_string_value(value) : "");
	}
	row_set(row, "Labels", buf_text(&labels));
}

char *absolute_path(const char *path)
{
	_cleanup_free_ char *directory = NULL;

	if (!path || *path == '/' || !(directory = getcwd(NULL, 0)))
		return xstrdup(path);
	return path_join(directory, path);
}

bool print_formatted(const struct options *options, const json_t *value, int *ret_r,
		     struct cay_error *err)
{
	const char *format = option_text(options, "format");
	_cleanup_(template_free_p) struct template *template = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	int r;

	if (!format)
		return false;
	r = template_parse(strcmp(format, "json") == 0 ? "{{json .}}" : format, &template, err);
	if (r >= 0)
		r = template_run(template, value, NULL, &out, err);
	if (r >= 0)
		r = text_print_line(buf_text(&out), err);
	*ret_r = r;
	return true;
}
