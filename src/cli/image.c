/* SPDX-License-Identifier: Apache-2.0 */
/* rmi, tag and history. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/text.h"

#include <errno.h>

#define NS_PER_SECOND INT64_C(1000000000)

const struct option image_remove_options[] = {
	{ 'f', OPTION_FLAG, "force", NULL, NULL,
	  "Even with several names, or a stopped container" },
	{ 0, OPTION_FLAG, "no-prune", NULL, NULL, "Keep parents that have no name" },
	{ 0 },
};

const struct option history_options[] = {
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.CreatedBy}}" },
	{ 'H', OPTION_FLAG, "human", NULL, NULL,
	  "Sizes and dates for people (the default; --human=false for exact ones)" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Don't shorten" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the ids" },
	{ 0 },
};

static const struct column history_columns[] = {
	{ "ID", "IMAGE" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "CreatedBy", "CREATED BY" },
	{ "Size", "SIZE" },
	{ "Comment", "COMMENT" },
	{ 0 },
};

static void append_removed(struct buf *out, const json_t *removed)
{
	const json_t *item;
	size_t index;

	json_array_foreach(removed, index, item) {
		const char *untagged = json_text_at(item, "Untagged", NULL);
		const char *deleted = json_text_at(item, "Deleted", NULL);

		if (*untagged)
			buf_printf(out, "Untagged: %s\n", untagged);
		if (*deleted)
			buf_printf(out, "Deleted: %s\n", deleted);
	}
}

static int remove_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *removed = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	bool force = option_flag(invocation->options, "force");
	int r;

	target_set(&target, "/images/%s", name, NULL);
	if (force)
		target_add(&target, "force", "1");
	if (option_flag(invocation->options, "no-prune"))
		target_add(&target, "noprune", "1");
	r = client_call(invocation->client, "DELETE", &target, NULL, &removed, err);
	if (r < 0 && force && err->code == CAY_NOT_FOUND) {
		text_complain("%s", err->message);
		return 0;
	}
	if (r < 0)
		return r;
	append_removed(&out, removed);
	return text_print(&out, err);
}

int command_remove_image(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, remove_one, false);
}

int command_tag(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	const char *name = invocation->operands[1], *slash = strrchr(name, '/');
	const char *colon = strchr(slash ? slash : name, ':');
	_cleanup_free_ char *repository =
		colon ? xstrndup(name, (size_t)(colon - name)) : xstrdup(name);

	target_set(&target, "/images/%s/tag", invocation->operands[0], NULL);
	target_add(&target, "repo", repository);
	target_add(&target, "tag", colon ? colon + 1 : "latest");
	return client_call(invocation->client, "POST", &target, NULL, NULL, err);
}

static int add_history(struct table *table, const json_t *item, const struct options *options,
		       struct cay_error *err)
{
	bool whole = option_flag(options, "no-trunc");
	bool human = !option_given(options, "human") || option_flag(options, "human");
	int64_t created = json_int_at(item, "Created", NULL) * NS_PER_SECOND;
	int64_t size = json_int_at(item, "Size", NULL);
	_cleanup_json_ json_t *row = json_object();
	_cleanup_free_ char *by = xstrdup(json_text_at(item, "CreatedBy", NULL)), *shown = NULL;
	char text[HUMAN_MAX], id[80];

	for (char *at = by; *at; at++)
		*at = *at == '\t' ? ' ' : *at;
	shown = text_shorten(by, whole ? SIZE_MAX : 45);
	short_id(json_text_at(item, "Id", NULL), whole, id);
	row_set(row, "ID", id);
	human_stamp(created, text);
	row_set(row, "CreatedAt", text);
	if (human)
		human_ago(created, clock_now_ns(), text);
	row_set(row, "CreatedSince", text);
	row_set(row, "CreatedBy", shown);
	row_set(row, "Comment", json_text_at(item, "Comment", NULL));
	if (human)
		human_size((double)size, false, text);
	else
		(void)snprintf(text, sizeof(text), "%lld", (long long)size);
	row_set(row, "Size", text);
	return table_add(table, row, err);
}

int command_history(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	bool human = !option_given(options, "human") || option_flag(options, "human");
	const char *standard = option_flag(options, "quiet") ? "{{.ID}}"
		: human ? "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}"
			  "\t{{.Comment}}"
			: "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}"
			  "\t{{.Comment}}";
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_json_ json_t *history = NULL;
	const json_t *item;
	size_t index;
	int r = table_open(option_text(options, "format"), standard, history_columns, &table, err);

	if (r >= 0)
		r = client_call_named(invocation->client, "GET", "/images/%s/history",
				      invocation->operands[0], &history, err);
	if (r < 0)
		return r;
	json_array_foreach(history, index, item) {
		r = add_history(table, item, options, err);
		if (r < 0)
			return r;
	}
	return table_print(table, err);
}
