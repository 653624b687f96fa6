/* SPDX-License-Identifier: Apache-2.0 */
/* volume: create, list, inspect and rm; prune.c has the rest. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/request.h"
#include "cli/text.h"

#include <errno.h>

const struct option volume_create_options[] = {
	{ 'd', OPTION_TEXT, "driver", "DRIVER", NULL, "The volume's driver (default: local)" },
	{ 0, OPTION_LIST, "label", "KEY[=VALUE]", NULL, "Set a label" },
	{ 0, OPTION_TEXT, "name", "NAME", NULL, "The same as the operand VOLUME" },
	{ 'o', OPTION_LIST, "opt", "KEY=VALUE", NULL,
	  "Set an option of the driver, such as type=tmpfs, or type=block with size=10g" },
	{ 0 },
};

const struct option volume_list_options[] = {
	{ 'f', OPTION_LIST, "filter", "KEY=VALUE", NULL,
	  "Only those that match, such as dangling=true, name=NAME, label=KEY, driver=local" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Name}}" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the names" },
	{ 0 },
};

const struct option volume_inspect_options[] = {
	{ 'f', OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print by a template such as {{.Mountpoint}}, or json" },
	{ 0 },
};

const struct option volume_remove_options[] = {
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "A volume that does not exist is no error" },
	{ 0 },
};

/* ---- create ---- */

int command_create_volume(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *driver = option_text(options, "driver"), *name = option_text(options, "name");
	_cleanup_json_ json_t *body = json_object(), *answer = NULL;
	_cleanup_target_ struct target target = { 0 };
	int r;

	if (name && invocation->operand_count > 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "conflicting options: cannot specify a volume-name through "
				     "both --name and as a positional arg");
	if (invocation->operand_count > 0)
		name = invocation->operands[0];
	if (name)
		json_set_string(body, "Name", name);
	json_set_string(body, "Driver", driver ? driver : "local");
	r = request_set_map(option_list(options, "opt"), "opt", true, body, "DriverOpts", err);
	if (r >= 0)
		r = request_set_map(option_list(options, "label"), "label", true, body, "Labels",
				    err);
	if (r < 0)
		return r;
	target_set(&target, "/volumes/create", NULL, NULL);
	r = client_call(invocation->client, "POST", &target, body, &answer, err);
	return r < 0 ? r : text_print_line(json_text_at(answer, "Name", NULL), err);
}

/* ---- ls ---- */

/* The last four are for what df and clusters know; a list has no word about them. */
static const struct column columns[] = {
	{ "Name", "VOLUME NAME" },
	{ "Driver", "DRIVER" },
	{ "Scope", "SCOPE" },
	{ "Mountpoint", "MOUNTPOINT" },
	{ "Labels", "LABELS" },
	{ "Links", "LINKS" },
	{ "Size", "SIZE" },
	{ "Availability", "AVAILABILITY" },
	{ "Group", "GROUP" },
	{ "Status", "STATUS" },
	{ 0 },
};

static json_t *volume_row(const json_t *volume)
{
	static const char *const texts[] = { "Name", "Driver", "Scope", "Mountpoint" };
	static const char *const unknown[] = { "Links", "Size", "Availability", "Group", "Status" };
	json_t *row = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		row_set(row, texts[i], json_text_at(volume, texts[i], NULL));
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		row_set(row, unknown[i], "N/A");
	row_set_labels(row, volume);
	return row;
}

int command_list_volumes(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *standard =
		option_flag(options, "quiet") ? "{{.Name}}" : "table {{.Driver}}\t{{.Name}}";
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_json_ json_t *filters = NULL, *answer = NULL;
	_cleanup_target_ struct target target = { 0 };
	_cleanup_free_ json_t **sorted = NULL;
	size_t count;
	int r = table_open(option_text(options, "format"), standard, columns, &table, err);

	if (r >= 0)
		r = filters_build(options, &filters, err);
	if (r < 0)
		return r;
	target_set(&target, "/volumes", NULL, NULL);
	if (filters)
		target_add_json(&target, "filters", filters);
	r = client_call(invocation->client, "GET", &target, NULL, &answer, err);
	sorted = json_sort_by_name(json_object_get(answer, "Volumes"), &count);
	for (size_t i = 0; i < count && r >= 0; i++) {
		_cleanup_json_ json_t *row = volume_row(sorted[i]);

		r = table_add_labelled(table, row, json_object_get(sorted[i], "Labels"), err);
	}
	return r < 0 ? r : table_print(table, err);
}

/* ---- rm ---- */

static int remove_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	bool force = option_flag(invocation->options, "force");
	int r;

	target_set(&target, "/volumes/%s", name, NULL);
	if (force)
		target_add(&target, "force", "1");
	r = client_call(invocation->client, "DELETE", &target, NULL, NULL, err);
	return r < 0 ? r : text_print_line(name, err);
}

int command_remove_volume(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, remove_one, false);
}
