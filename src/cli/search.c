/* SPDX-License-Identifier: Apache-2.0 */
/* search: images by words, where the daemon can look for them. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/secret.h"
#include "cli/credentials.h"
#include "cli/text.h"

#include <errno.h>

const struct option search_options[] = {
	{ 'f', OPTION_LIST, "filter", "KEY=VALUE", NULL,
	  "Only those that match, such as stars=3 or is-official=true" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Name}}" },
	{ 0, OPTION_NUMBER, "limit", "NUMBER", NULL, "At most so many" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Don't shorten descriptions" },
	{ 0 },
};

enum { DESCRIPTION_WIDTH = 45 };

static const struct column columns[] = {
	{ "Name", "NAME" },           { "Description", "DESCRIPTION" }, { "StarCount", "STARS" },
	{ "IsOfficial", "OFFICIAL" }, { "IsAutomated", "AUTOMATED" },   { 0 },
};

static int add_result(struct table *table, const json_t *item, bool whole, struct cay_error *err)
{
	_cleanup_free_ char *text = xstrdup(json_text_at(item, "description", NULL));
	_cleanup_free_ char *description = NULL;
	_cleanup_json_ json_t *row = json_object();
	char stars[24];

	for (char *at = text; *at; at++)
		*at = *at == '\n' || *at == '\r' ? ' ' : *at;
	description = text_shorten(text, whole ? SIZE_MAX : DESCRIPTION_WIDTH);
	row_set(row, "Name", json_text_at(item, "name", NULL));
	row_set(row, "Description", description);
	(void)snprintf(stars, sizeof(stars), "%lld",
		       (long long)json_int_at(item, "star_count", NULL));
	row_set(row, "StarCount", stars);
	row_set(row, "IsOfficial", json_bool_at(item, "is_official", NULL) ? "[OK]" : "");
	row_set(row, "IsAutomated", json_bool_at(item, "is_automated", NULL) ? "[OK]" : "");
	return table_add(table, row, err);
}

/* GET /images/search, with the credentials for the registry that the words begin with. */
static int ask(const struct invocation *invocation, json_t **ret_results, struct cay_error *err)
{
	const char *words = invocation->operands[0];
	int64_t limit = option_number(invocation->options, "limit", 0);
	_cleanup_secret_ char *header = NULL;
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *filters = NULL;
	struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };
	int r = filters_build(invocation->options, &filters, err);

	if (r >= 0)
		r = credentials_header(words, &header, err);
	if (r < 0)
		return r;
	target_set(&target, "/images/search", NULL, NULL);
	target_add(&target, "term", words);
	if (limit != 0)
		target_add_int(&target, "limit", limit);
	if (filters)
		target_add_json(&target, "filters", filters);
	spec.auth = header;
	r = call_open(invocation->client, &spec, &call, err);
	return r < 0 ? r : call_json(call, ret_results, err);
}

int command_search(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_json_ json_t *results = NULL;
	const json_t *item;
	size_t index;
	int r = table_open(option_text(options, "format"),
			   "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}",
			   columns, &table, err);

	if (r >= 0)
		r = ask(invocation, &results, err);
	if (r < 0)
		return r;
	json_array_foreach(results, index, item) {
		r = add_result(table, item, option_flag(options, "no-trunc"), err);
		if (r < 0)
			return r;
	}
	return table_print(table, err);
}
