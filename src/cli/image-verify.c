/* SPDX-License-Identifier: Apache-2.0 */
/* image verify: whether what is stored of images is still what it was. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/human.h"
#include "cli/text.h"

#include <errno.h>

const struct option verify_options[] = {
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print a row an item as table, json, or by a template such as {{.Digest}}" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only tell what is damaged" },
	{ 0 },
};

static const struct column columns[] = {
	{ "Image", "IMAGE" }, { "Kind", "KIND" },       { "Digest", "DIGEST" },
	{ "Size", "SIZE" },   { "Problem", "PROBLEM" }, { 0 },
};

static int add_item(struct table *table, const char *image, const json_t *item,
		    struct cay_error *err)
{
	_cleanup_json_ json_t *row = json_object();
	bool ok = json_bool_at(item, "Ok", NULL);
	char size[HUMAN_MAX];

	human_size((double)json_int_at(item, "Size", NULL), true, size);
	row_set(row, "Image", image);
	row_set(row, "Kind", json_text_at(item, "Kind", NULL));
	row_set(row, "Digest", json_text_at(item, "Digest", NULL));
	row_set(row, "Size", size);
	row_set(row, "Problem", ok ? "" : json_text_at(item, "Problem", NULL));
	return table_add(table, row, err);
}

/*
 * In words: what is damaged, and how to get it back. The daemon has taken away what was damaged;
 * blobs must come in again, what it made from them it makes anew by itself.
 */
static int tell(const char *image, const json_t *answer, bool quiet, struct cay_error *err)
{
	const json_t *items = json_object_get(answer, "Items"), *item;
	_cleanup_buf_ struct buf out = { 0 };
	size_t index, damaged = 0, blobs = 0;
	char size[HUMAN_MAX];
	double total = 0;

	json_array_foreach(items, index, item) {
		_cleanup_free_ char *line = NULL;

		total += (double)MAX(json_int_at(item, "Size", NULL), 0);
		if (json_bool_at(item, "Ok", NULL))
			continue;
		damaged++;
		blobs += strcmp(json_text_at(item, "Kind", NULL), "disk") != 0;
		line = xasprintf("%s %s: %s", json_text_at(item, "Kind", NULL),
				 json_text_at(item, "Digest", NULL),
				 json_text_at(item, "Problem", NULL));
		text_make_safe(line, false);
		buf_printf(&out, "%s: %s\n", image, line);
	}
	human_size(total, true, size);
	if (blobs > 0)
		text_complain("%s: %zu of %zu items damaged; \"cay pull %s\" or \"cay load\" "
			      "replaces what was",
			      image, damaged, json_array_size(items), image);
	else if (damaged > 0)
		text_complain("%s: %zu of %zu items damaged; they are made again from layers that "
			      "are whole when a container needs them",
			      image, damaged, json_array_size(items));
	else if (!quiet)
		buf_printf(&out, "%s: all %zu items are whole (%s)\n", image,
			   json_array_size(items), size);
	return text_print(&out, err);
}

static int verify(const struct invocation *invocation, const char *image, struct table *table,
		  struct cay_error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	const json_t *item;
	size_t index;
	int r = client_call_named(invocation->client, "POST", "/cay/v1/images/%s/verify", image,
				  &answer, err);

	if (r < 0)
		return r;
	if (!table)
		r = tell(image, answer, option_flag(invocation->options, "quiet"), err);
	json_array_foreach(json_object_get(answer, "Items"), index, item) {
		if (table && r >= 0)
			r = add_item(table, image, item, err);
	}
	return r < 0 ? r : !json_bool_at(answer, "Ok", NULL);
}

int command_verify(const struct invocation *invocation, struct cay_error *err)
{
	const char *format = option_text(invocation->options, "format");
	_cleanup_(table_free_p) struct table *table = NULL;
	int status = 0, r = 0;

	if (format)
		r = table_open(format,
			       "table {{.Image}}\t{{.Kind}}\t{{.Digest}}\t{{.Size}}\t{{.Problem}}",
			       columns, &table, err);
	for (size_t i = 0; i < invocation->operand_count && r >= 0; i++) {
		struct cay_error failure = { 0 };
		int found = verify(invocation, invocation->operands[i], table, &failure);

		if (found < 0)
			text_complain("%s: %s", invocation->operands[i], failure.message);
		if (found != 0)
			status = 1;
	}
	if (r >= 0 && table)
		r = table_print(table, err);
	return r < 0 ? r : status;
}
