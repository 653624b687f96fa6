/* SPDX-License-Identifier: Apache-2.0 */
/* prune: what nothing uses any more, one kind of object at a time or, as system prune, all. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/human.h"
#include "cli/text.h"

#include <errno.h>

const struct option prune_options[] = {
	{ 0, OPTION_LIST, "filter", "KEY=VALUE", NULL, "Remove only those that match" },
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "Don't ask" },
	{ 0 },
};

const struct option image_prune_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL,
	  "All that no container uses, not only those without a name" },
	{ 0, OPTION_LIST, "filter", "KEY=VALUE", NULL, "Remove only those that match" },
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "Don't ask" },
	{ 0 },
};

const struct option volume_prune_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL, "All that no container uses, those with names too" },
	{ 0, OPTION_LIST, "filter", "KEY=VALUE", NULL, "Remove only those that match" },
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "Don't ask" },
	{ 0 },
};

const struct option system_prune_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL,
	  "All images that no container uses, not only those without a name" },
	{ 0, OPTION_LIST, "filter", "KEY=VALUE", NULL, "Remove only those that match" },
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "Don't ask" },
	{ 0, OPTION_FLAG, "volumes", NULL, NULL, "Anonymous volumes too" },
	{ 0 },
};

static const struct kind {
	const char *path;    /* of the request */
	const char *deleted; /* the list in the answer */
	const char *title;   /* of that list, as it is printed */
} containers = { "/containers/prune", "ContainersDeleted", "Deleted Containers" },
  networks = { "/networks/prune", "NetworksDeleted", "Deleted Networks" },
  volumes = { "/volumes/prune", "VolumesDeleted", "Deleted Volumes" },
  images = { "/images/prune", "ImagesDeleted", "Deleted Images" };

/* Warns in docker's words and asks; true only for "y". The end of input is a no, as it is there. */
static bool confirm(const char *warning)
{
	char line[16];
	struct str answer;

	(void)printf("WARNING! This will remove%s\nAre you sure you want to continue? [y/N] ",
		     warning);
	(void)fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return false;
	answer = str_strip(str_from(line), " \t\r\n");
	return str_equals_nocase(answer, "y");
}

/* An image's item says which name went, or which image. */
static void append_deleted(const json_t *item, struct buf *out)
{
	const char *untagged = json_text_at(item, "Untagged", NULL);
	const char *deleted = json_text_at(item, "Deleted", NULL);

	if (json_is_string(item))
		buf_printf(out, "%s\n", json_string_value(item));
	if (*untagged)
		buf_printf(out, "untagged: %s\n", untagged);
	if (*deleted)
		buf_printf(out, "deleted: %s\n", deleted);
}

/* Appends what went, as a list with a title and an empty line behind it; adds up the space. */
static int prune(const struct invocation *invocation, const struct kind *kind,
		 const json_t *filters, struct buf *out, int64_t *space, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_buf_ struct buf list = { 0 };
	_cleanup_json_ json_t *answer = NULL;
	const json_t *item;
	size_t index;
	int r;

	target_set(&target, kind->path, NULL, NULL);
	if (json_object_size(filters) > 0)
		target_add_json(&target, "filters", filters);
	r = client_call(invocation->client, "POST", &target, NULL, &answer, err);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(answer, kind->deleted), index, item) {
		append_deleted(item, &list);
	}
	if (list.length > 0)
		buf_printf(out, "%s:\n%s\n", kind->title, buf_text(&list));
	*space += json_int_at(answer, "SpaceReclaimed", NULL);
	return 0;
}

static void append_space(struct buf *out, int64_t space)
{
	char size[HUMAN_MAX];

	human_size((double)space, true, size);
	buf_printf(out, "Total reclaimed space: %s\n", size);
}

/* One kind of object from the question to the list; a NULL `key` adds no filter. */
static int prune_one(const struct invocation *invocation, const struct kind *kind,
		     const char *warning, const char *key, const char *value, bool with_space,
		     struct cay_error *err)
{
	_cleanup_json_ json_t *filters = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	int64_t space = 0;
	int r = filters_build(invocation->options, &filters, err);

	if (r < 0)
		return r;
	if (!option_flag(invocation->options, "force") && !confirm(warning))
		return 0;
	if (!filters)
		filters = json_object();
	if (key)
		json_set(filters, key, json_pack("[s]", value));
	r = prune(invocation, kind, filters, &out, &space, err);
	if (r < 0)
		return r;
	if (with_space)
		append_space(&out, space);
	return text_print(&out, err);
}

int command_prune(const struct invocation *invocation, struct cay_error *err)
{
	return prune_one(invocation, &containers, " all stopped containers.", NULL, NULL, true,
			 err);
}

int command_prune_networks(const struct invocation *invocation, struct cay_error *err)
{
	return prune_one(invocation, &networks,
			 " all custom networks not used by at least one container.", NULL, NULL,
			 false, err);
}

int command_prune_images(const struct invocation *invocation, struct cay_error *err)
{
	bool all = option_flag(invocation->options, "all");

	return prune_one(invocation, &images,
			 all ? " all images without at least one container associated to them."
			     : " all dangling images.",
			 "dangling", all ? "false" : "true", true, err);
}

/* The daemon's own word for --all is a filter, which older scripts give themselves. */
int command_prune_volumes(const struct invocation *invocation, struct cay_error *err)
{
	const struct strv *filters = option_list(invocation->options, "filter");
	bool all = option_flag(invocation->options, "all");

	for (size_t i = 0; i < filters->count && all; i++)
		if (starts_with(filters->items[i], "all="))
			return cay_error_set(
				err, CAY_INVALID, EINVAL,
				"conflicting options: cannot specify both --all and --filter %s",
				filters->items[i]);
	return prune_one(invocation, &volumes,
			 all ? " all local volumes not used by at least one container."
			     : " anonymous local volumes not used by at least one container.",
			 all ? "all" : NULL, "true", true, err);
}

/* ---- all kinds ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *system_warning(const struct options *options)
{
	_cleanup_strv_ struct strv filters = { 0 };
	struct buf text = { 0 };

	strv_copy(&filters, option_list(options, "filter"));
	if (filters.count > 1)
		qsort(filters.items, filters.count, sizeof(*filters.items), compare_texts);
	buf_puts(&text,
		 ":\n  - all stopped containers\n"
		 "  - all networks not used by at least one container\n");
	if (option_flag(options, "volumes"))
		buf_puts(&text, "  - all anonymous volumes not used by at least one container\n");
	buf_puts(&text,
		 option_flag(options, "all")
			 ? "  - all images without at least one container associated to them\n"
			 : "  - all dangling images\n");
	if (filters.count > 0)
		buf_puts(&text, "\n  Items to be pruned will be filtered with:\n");
	for (size_t i = 0; i < filters.count; i++)
		buf_printf(&text, "  - %s\n", filters.items[i]);
	return buf_steal(&text);
}

int command_system_prune(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_free_ char *warning = system_warning(options);
	const struct kind *kinds[] = { &containers, &networks,
				       option_flag(options, "volumes") ? &volumes : NULL, &images };
	_cleanup_json_ json_t *filters = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	struct cay_error print_error;
	int64_t space = 0;
	int r = filters_build(options, &filters, err);

	if (r < 0)
		return r;
	if (option_flag(options, "volumes") && json_object_get(filters, "until"))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "the \"until\" filter is not supported with \"--volumes\"");
	if (!option_flag(options, "force") && !confirm(warning))
		return 0;
	if (!filters)
		filters = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(kinds) && r >= 0; i++) {
		if (kinds[i] == &images)
			json_set(filters, "dangling",
				 json_pack("[s]", option_flag(options, "all") ? "false" : "true"));
		if (kinds[i])
			r = prune(invocation, kinds[i], filters, &out, &space, err);
	}
	if (r < 0) { /* what went before it is gone all the same */
		(void)text_print(&out, &print_error);
		return r;
	}
	append_space(&out, space);
	return text_print(&out, err);
}
