/* SPDX-License-Identifier: Apache-2.0 */
/* template: ls, rm and create, of the frozen VMs that containers start from. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/human.h"
#include "cli/text.h"

#include <errno.h>

const struct option template_list_options[] = {
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Key}}" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Whole keys" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the keys" },
	{ 0 },
};

const struct option template_inspect_options[] = {
	{ 'f', OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print by a template such as {{.Path}}, or json" },
	{ 0 },
};

const struct option template_remove_options[] = {
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "A template that does not exist is no error" },
	{ 0 },
};

const struct option template_create_options[] = {
	{ 0, OPTION_NUMBER, "cpus", "NUMBER", NULL, "For containers with so many CPUs" },
	{ 0, OPTION_NUMBER, "disks", "NUMBER", NULL,
	  "For VMs with so many disks: 2, and one more for each block volume" },
	{ 'm', OPTION_TEXT, "memory", "SIZE", NULL, "For containers with this memory limit" },
	{ 0, OPTION_TEXT, "network", "NETWORK", "bridge none",
	  "For containers on one network, or on none" },
	{ 0 },
};

/* ---- ls ---- */

static const struct column columns[] = {
	{ "Key", "TEMPLATE" },  { "State", "STATE" },          { "Cpus", "CPUS" },
	{ "Memory", "MEMORY" }, { "Disks", "DISKS" },          { "Cards", "CARDS" },
	{ "Size", "SIZE" },     { "CreatedSince", "CREATED" }, { "LastUsedSince", "LAST USED" },
	{ "Starts", "STARTS" }, { "Error", "ERROR" },          { 0 },
};

static void set_number(json_t *row, const char *key, const json_t *template)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", (long long)json_int_at(template, key, NULL));
	row_set(row, key, text);
}

static void set_ago(json_t *row, const char *field, const json_t *template, const char *key)
{
	char text[HUMAN_MAX] = "N/A";
	int64_t ns;

	if (clock_parse(json_text_at(template, key, NULL), &ns) == 0)
		human_ago(ns, clock_now_ns(), text);
	row_set(row, field, text);
}

json_t *vm_template_row(const json_t *template, bool whole)
{
	json_t *row = json_object();
	char key[80], text[HUMAN_MAX];

	short_id(json_text_at(template, "Key", NULL), whole, key);
	row_set(row, "Key", key);
	row_set(row, "State", json_text_at(template, "State", NULL));
	set_number(row, "Cpus", template);
	human_binary_size((double)json_int_at(template, "Memory", NULL), text);
	row_set(row, "Memory", text);
	set_number(row, "Disks", template);
	(void)snprintf(text, sizeof(text), "%zu",
		       json_array_size(json_object_get(template, "Cards")));
	row_set(row, "Cards", text);
	human_size((double)json_int_at(template, "Size", NULL), true, text);
	row_set(row, "Size", text);
	set_ago(row, "CreatedSince", template, "Created");
	set_ago(row, "LastUsedSince", template, "LastUsed");
	set_number(row, "Starts", template);
	row_set(row, "Error", json_text_at(template, "Error", NULL));
	return row;
}

const struct column vm_template_columns[] = {
	{ "Key", "TEMPLATE" },
	{ "State", "STATE" },
	{ "Size", "SIZE" },
	{ "LastUsedSince", "LAST USED" },
	{ 0 },
};

int command_list_templates(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *standard = option_flag(options, "quiet")
		? "{{.Key}}"
		: "table {{.Key}}\t{{.State}}\t{{.Cpus}}\t{{.Memory}}\t{{.Disks}}\t{{.Cards}}\t"
		  "{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}";
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_json_ json_t *list = NULL;
	const json_t *item;
	size_t index;
	int r = table_open(option_text(options, "format"), standard, columns, &table, err);

	if (r >= 0)
		r = client_call_named(invocation->client, "GET", "/cay/v1/templates", "", &list,
				      err);
	json_array_foreach(list, index, item) {
		_cleanup_json_ json_t *row =
			vm_template_row(item, option_flag(options, "no-trunc"));

		if (r >= 0)
			r = table_add(table, row, err);
	}
	return r < 0 ? r : table_print(table, err);
}

/* ---- rm ---- */

static int remove_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	int r = client_call_named(invocation->client, "DELETE", "/cay/v1/templates/%s", name, NULL,
				  err);

	if (r < 0 && err->code == CAY_NOT_FOUND && option_flag(invocation->options, "force"))
		return 0;
	return r < 0 ? r : text_print_line(name, err);
}

int command_remove_template(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, remove_one, false);
}

/* ---- create ---- */

static int set_memory(const char *text, json_t *body, struct cay_error *err)
{
	uint64_t bytes;

	if (!text)
		return 0;
	if (parse_size(text, &bytes) < 0 || bytes > INT64_MAX)
		return cay_error_invalid(err, "--memory: \"%s\" is not a size such as 512m or 1.5g",
					 text);
	json_set_int(body, "Memory", (int64_t)bytes);
	return 0;
}

int command_create_template(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_json_ json_t *body = json_object(), *answer = NULL;
	_cleanup_target_ struct target target = { 0 };
	const char *network = option_text(options, "network");
	int r = set_memory(option_text(options, "memory"), body, err);

	if (r < 0)
		return r;
	if (option_given(options, "cpus"))
		json_set_int(body, "Cpus", option_number(options, "cpus", 0));
	if (option_given(options, "disks"))
		json_set_int(body, "Disks", option_number(options, "disks", 0));
	if (network)
		json_set_string(body, "Network", network);
	target_set(&target, "/cay/v1/templates", NULL, NULL);
	r = client_call(invocation->client, "POST", &target, body, &answer, err);
	return r < 0 ? r : text_print_line(json_text_at(answer, "Key", NULL), err);
}
