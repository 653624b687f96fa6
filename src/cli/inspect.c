/* SPDX-License-Identifier: Apache-2.0 */
/* inspect, for containers, images, networks, volumes and templates: whole documents, or parts.
 * And top.
 */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/table.h"
#include "cli/template.h"
#include "cli/text.h"

#include <errno.h>

const struct option inspect_options[] = {
	{ 'f', OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print by a template such as {{.State.Status}}, or json" },
	{ 's', OPTION_FLAG, "size", NULL, NULL, "With the sizes of containers" },
	{ 0, OPTION_TEXT, "type", "TYPE", "container image network volume",
	  "Look for this kind only" },
	{ 0 },
};

const struct option image_inspect_options[] = {
	{ 'f', OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print by a template such as {{.Architecture}}, or json" },
	{ 0 },
};

static int get_container(const struct invocation *invocation, const char *name, json_t **ret_value,
			 struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };

	target_set(&target, "/containers/%s/json", name, NULL);
	if (option_flag(invocation->options, "size"))
		target_add(&target, "size", "1");
	return client_call(invocation->client, "GET", &target, NULL, ret_value, err);
}

static int get_image(const struct invocation *invocation, const char *name, json_t **ret_value,
		     struct cay_error *err)
{
	return client_call_named(invocation->client, "GET", "/images/%s/json", name, ret_value,
				 err);
}

static int get_network(const struct invocation *invocation, const char *name, json_t **ret_value,
		       struct cay_error *err)
{
	return client_call_named(invocation->client, "GET", "/networks/%s", name, ret_value, err);
}

static int get_network_verbosely(const struct invocation *invocation, const char *name,
				 json_t **ret_value, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };

	target_set(&target, "/networks/%s", name, NULL);
	if (option_flag(invocation->options, "verbose"))
		target_add(&target, "verbose", "true");
	return client_call(invocation->client, "GET", &target, NULL, ret_value, err);
}

static int get_volume(const struct invocation *invocation, const char *name, json_t **ret_value,
		      struct cay_error *err)
{
	return client_call_named(invocation->client, "GET", "/volumes/%s", name, ret_value, err);
}

/* A container of that name, else an image, a network, a volume. */
static int get_any(const struct invocation *invocation, const char *name, json_t **ret_value,
		   struct cay_error *err)
{
	static const struct {
		const char *type;
		int (*get)(const struct invocation *invocation, const char *name,
			   json_t **ret_value, struct cay_error *err);
	} kinds[] = { { "container", get_container },
		      { "image", get_image },
		      { "network", get_network },
		      { "volume", get_volume } };
	const char *type = option_text(invocation->options, "type");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		int r;

		if (type && strcmp(type, kinds[i].type) != 0)
			continue;
		cay_error_clear(err);
		r = kinds[i].get(invocation, name, ret_value, err);
		/* A daemon older than cay may not have such things at all. */
		if (r >= 0 || type || (err->code != CAY_NOT_FOUND && err->code != CAY_UNSUPPORTED))
			return r;
	}
	return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
			     "there is no container, image, network or volume %s", name);
}

static int inspect_all(const struct invocation *invocation,
		       int (*get)(const struct invocation *invocation, const char *name,
				  json_t **ret_value, struct cay_error *err),
		       struct cay_error *err)
{
	static const struct column none[] = { { 0 } };
	const char *format = option_text(invocation->options, "format");
	bool compact = format && strcmp(format, "json") == 0;
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_json_ json_t *found = json_array();
	_cleanup_free_ char *text = NULL;
	int status = 0, r = 0;

	if (format && !compact)
		r = table_open(format, "json", none, &table, err);
	for (size_t i = 0; i < invocation->operand_count && r >= 0; i++) {
		json_t *value = NULL;
		int got = get(invocation, invocation->operands[i], &value, err);

		if (got < 0) {
			text_complain("%s", err->message);
			status = 1;
			continue;
		}
		(void)json_array_append_new(found, value);
		if (table)
			r = table_add(table, value, err);
	}
	if (r < 0)
		return r;
	if (table) {
		r = table_print(table, err);
	} else {
		text = json_dumps(found, compact ? JSON_COMPACT : JSON_INDENT(4));
		r = text_print_line(text ? text : "[]", err);
	}
	return r < 0 ? r : status;
}

int command_inspect(const struct invocation *invocation, struct cay_error *err)
{
	return inspect_all(invocation, get_any, err);
}

int command_inspect_container(const struct invocation *invocation, struct cay_error *err)
{
	return inspect_all(invocation, get_container, err);
}

int command_inspect_image(const struct invocation *invocation, struct cay_error *err)
{
	return inspect_all(invocation, get_image, err);
}

int command_inspect_network(const struct invocation *invocation, struct cay_error *err)
{
	return inspect_all(invocation, get_network_verbosely, err);
}

int command_inspect_volume(const struct invocation *invocation, struct cay_error *err)
{
	return inspect_all(invocation, get_volume, err);
}

static int get_template(const struct invocation *invocation, const char *name, json_t **ret_value,
			struct cay_error *err)
{
	return client_call_named(invocation->client, "GET", "/cay/v1/templates/%s", name, ret_value,
				 err);
}

int command_inspect_template(const struct invocation *invocation, struct cay_error *err)
{
	return inspect_all(invocation, get_template, err);
}

static void append_cells(struct buf *line, const json_t *cells)
{
	const json_t *cell;
	size_t index;

	json_array_foreach(cells, index, cell) {
		_cleanup_free_ char *text =
			xstrdup(json_is_string(cell) ? json_string_value(cell) : "");

		text_make_safe(text, false);
		buf_printf(line, "%s%s", index > 0 ? "\t" : "", text);
	}
}

int command_top(const struct invocation *invocation, struct cay_error *err)
{
	static const struct column columns[] = { { "Line", "" }, { 0 } };
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_buf_ struct buf arguments = { 0 }, titles = { 0 };
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *answer = NULL;
	const json_t *process;
	size_t index;
	int r;

	target_set(&target, "/containers/%s/top", invocation->operands[0], NULL);
	for (size_t i = 1; i < invocation->operand_count; i++)
		buf_printf(&arguments, "%s%s", i > 1 ? " " : "", invocation->operands[i]);
	if (arguments.length > 0)
		target_add(&target, "ps_args", buf_text(&arguments));
	r = client_call(invocation->client, "GET", &target, NULL, &answer, err);
	if (r >= 0)
		r = table_open(NULL, "table {{.Line}}", columns, &table, err);
	if (r < 0)
		return r;
	append_cells(&titles, json_object_get(answer, "Titles"));
	table_set_headings(table, buf_text(&titles));
	json_array_foreach(json_object_get(answer, "Processes"), index, process) {
		_cleanup_buf_ struct buf line = { 0 };

		append_cells(&line, process);
		table_add_line(table, buf_text(&line));
	}
	return table_print(table, err);
}
