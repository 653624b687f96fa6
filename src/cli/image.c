/* SPDX-License-Identifier: Apache-2.0 */
/* images, rmi, tag, history, and image prune. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/text.h"

#include <errno.h>

#define NS_PER_SECOND INT64_C(1000000000)

const struct option images_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL, "Intermediate images too" },
	{ 0, OPTION_FLAG, "digests", NULL, NULL, "Show digests" },
	{ 'f', OPTION_LIST, "filter", "KEY=VALUE", NULL, "Only those that match" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Repository}}" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Don't shorten ids" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the ids" },
	{ 0 },
};

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

const struct option image_prune_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL,
	  "All that no container uses, not only those without a name" },
	{ 0, OPTION_LIST, "filter", "KEY=VALUE", NULL, "Remove only those that match" },
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "Don't ask" },
	{ 0 },
};

static const struct column image_columns[] = {
	{ "Repository", "REPOSITORY" },
	{ "Tag", "TAG" },
	{ "Digest", "DIGEST" },
	{ "ID", "IMAGE ID" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "Size", "SIZE" },
	{ "Containers", "CONTAINERS" },
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

static void set_common(json_t *row, const json_t *item, bool whole)
{
	int64_t created = json_int_at(item, "Created", NULL) * NS_PER_SECOND;
	char text[HUMAN_MAX], id[80];

	short_id(json_text_at(item, "Id", NULL), whole, id);
	row_set(row, "ID", id);
	human_ago(created, clock_now_ns(), text);
	row_set(row, "CreatedSince", text);
	human_date(created, text);
	row_set(row, "CreatedAt", text);
	human_size((double)json_int_at(item, "Size", NULL), false, text);
	row_set(row, "Size", text);
}

/* The digest under which the image was pulled by that name. */
static const char *find_digest(const json_t *image, struct str repository)
{
	const json_t *item;
	size_t index;

	json_array_foreach(json_object_get(image, "RepoDigests"), index, item) {
		const char *text = json_is_string(item) ? json_string_value(item) : "";
		struct str digest, name = str_split(str_from(text), '@', &digest);

		if (str_equal(name, repository))
			return digest.data;
	}
	return "<none>";
}

/* One row for each name; `name` is "repository:tag" or "<none>:<none>". */
static int add_image(struct table *table, const json_t *image, const char *name, bool whole,
		     struct cay_error *err)
{
	_cleanup_json_ json_t *row = json_object();
	const char *colon = strrchr(name, ':');
	struct str repository = { name, colon ? (size_t)(colon - name) : strlen(name) };
	_cleanup_free_ char *repository_text = str_dup(repository);
	int64_t containers = json_int_at(image, "Containers", NULL);
	char count[24];

	row_set(row, "Repository", repository_text);
	row_set(row, "Tag", colon ? colon + 1 : "<none>");
	row_set(row, "Digest", find_digest(image, repository));
	(void)snprintf(count, sizeof(count), "%lld", (long long)containers);
	row_set(row, "Containers", containers < 0 ? "N/A" : count);
	set_common(row, image, whole);
	return table_add(table, row, err);
}

static int add_images(struct table *table, const json_t *images, bool whole, bool once,
		      struct cay_error *err)
{
	const json_t *image, *name;
	size_t i, j;
	int r = 0;

	json_array_foreach(images, i, image) {
		const json_t *names = json_object_get(image, "RepoTags");

		if (json_array_size(names) == 0)
			r = add_image(table, image, "<none>:<none>", whole, err);
		json_array_foreach(names, j, name) {
			if (r < 0 || (once && j > 0))
				break;
			r = add_image(table, image,
				      json_is_string(name) ? json_string_value(name) : "", whole,
				      err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int command_images(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	bool quiet = option_flag(options, "quiet"), whole = option_flag(options, "no-trunc");
	const char *standard = quiet ? "{{.ID}}"
		: option_flag(options, "digests")
		? "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t"
		  "{{.Size}}"
		: "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_json_ json_t *images = NULL, *filters = NULL;
	_cleanup_target_ struct target target = { 0 };
	int r = table_open(option_text(options, "format"), standard, image_columns, &table, err);

	if (r >= 0)
		r = filters_build(options, &filters, err);
	if (r < 0)
		return r;
	if (invocation->operand_count > 0) {
		if (!filters)
			filters = json_object();
		json_set(filters, "reference", json_pack("[s]", invocation->operands[0]));
	}
	target_set(&target, "/images/json", NULL, NULL);
	if (option_flag(options, "all"))
		target_add(&target, "all", "1");
	if (option_flag(options, "digests"))
		target_add(&target, "digests", "1");
	if (filters)
		target_add_json(&target, "filters", filters);
	r = client_call(invocation->client, "GET", &target, NULL, &images, err);
	if (r >= 0)
		r = add_images(table, images, whole, quiet, err);
	return r < 0 ? r : table_print(table, err);
}

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
	_cleanup_json_ json_t *row = json_object();
	_cleanup_free_ char *by =
		text_shorten(json_text_at(item, "CreatedBy", NULL), whole ? SIZE_MAX : 45);
	_cleanup_free_ char *comment =
		text_shorten(json_text_at(item, "Comment", NULL), whole ? SIZE_MAX : 45);
	char text[HUMAN_MAX];

	set_common(row, item, whole);
	row_set(row, "CreatedBy", by);
	row_set(row, "Comment", comment);
	if (!human) {
		row_set(row, "CreatedSince", json_text_at(row, "CreatedAt", NULL));
		(void)snprintf(text, sizeof(text), "%lld",
			       (long long)json_int_at(item, "Size", NULL));
		row_set(row, "Size", text);
	}
	return table_add(table, row, err);
}

int command_history(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *standard = option_flag(options, "quiet")
		? "{{.ID}}"
		: "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}"
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

int command_prune_images(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	bool all = option_flag(options, "all");
	_cleanup_json_ json_t *filters = NULL, *answer = NULL;
	_cleanup_target_ struct target target = { 0 };
	_cleanup_buf_ struct buf out = { 0 };
	char size[HUMAN_MAX];
	int r = filters_build(options, &filters, err);

	if (r < 0)
		return r;
	if (!option_flag(options, "force") &&
	    !confirm(all ? "This removes all images that no container uses."
			 : "This removes all images that have no name and that no container uses."))
		return 1;
	if (!filters)
		filters = json_object();
	json_set(filters, "dangling", json_pack("[s]", all ? "false" : "true"));
	target_set(&target, "/images/prune", NULL, NULL);
	target_add_json(&target, "filters", filters);
	r = client_call(invocation->client, "POST", &target, NULL, &answer, err);
	if (r < 0)
		return r;
	append_removed(&out, json_object_get(answer, "ImagesDeleted"));
	human_size((double)json_int_at(answer, "SpaceReclaimed", NULL), true, size);
	buf_printf(&out, "Space freed: %s\n", size);
	return text_print(&out, err);
}
