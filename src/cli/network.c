/* SPDX-License-Identifier: Apache-2.0 */
/* network: list, connect, disconnect and rm; network-create.c has another. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/endpoint.h"
#include "cli/human.h"
#include "cli/text.h"

#include <errno.h>

const struct option network_list_options[] = {
	{ 'f', OPTION_LIST, "filter", "KEY=VALUE", NULL,
	  "Only those that match, such as driver=bridge, name=NAME, label=KEY, dangling=true" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Name}}" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Don't shorten ids" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the ids" },
	{ 0 },
};

const struct option network_connect_options[] = {
	{ 0, OPTION_WORDS, "alias", "NAME", NULL, "Add a name for the container on that network" },
	{ 0, OPTION_WORDS, "driver-opt", "KEY=VALUE", NULL, "Set an option of the endpoint" },
	{ 0, OPTION_TEXT, "gw-priority", "NUMBER", NULL,
	  "The network with the highest number gives the way out (default 0)" },
	{ 0, OPTION_TEXT, "ip", "ADDRESS", NULL, "Give the container this IPv4 address there" },
	{ 0, OPTION_TEXT, "ip6", "ADDRESS", NULL, "Give the container this IPv6 address there" },
	{ 0, OPTION_LIST, "link", "CONTAINER", NULL,
	  "Refused: containers on a network find each other by name" },
	{ 0, OPTION_TEXT, "mac-address", "ADDRESS", NULL,
	  "Give the container this MAC address there" },
	{ 0 },
};

const struct option network_disconnect_options[] = {
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "Also one whose container is gone" },
	{ 0 },
};

const struct option network_remove_options[] = {
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "A network that does not exist is no error" },
	{ 0 },
};

const struct option network_inspect_options[] = {
	{ 'f', OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print by a template such as {{.Driver}}, or json" },
	{ 'v', OPTION_FLAG, "verbose", NULL, NULL, "Ask for all there is" },
	{ 0 },
};

/* ---- ls ---- */

static const struct column columns[] = {
	{ "ID", "NETWORK ID" },
	{ "Name", "NAME" },
	{ "Driver", "DRIVER" },
	{ "Scope", "SCOPE" },
	{ "IPv4", "IPV4" },
	{ "IPv6", "IPV6" },
	{ "Internal", "INTERNAL" },
	{ "Labels", "LABELS" },
	{ "CreatedAt", "CREATED AT" },
	{ 0 },
};

static void set_flag(json_t *row, const char *field, const json_t *network, const char *key)
{
	row_set(row, field, json_bool_at(network, key, NULL) ? "true" : "false");
}

static json_t *network_row(const json_t *network, bool whole)
{
	const char *created = json_text_at(network, "Created", NULL);
	json_t *row = json_object();
	char id[80], text[HUMAN_MAX];
	int64_t ns;

	short_id(json_text_at(network, "Id", NULL), whole, id);
	row_set(row, "ID", id);
	row_set(row, "Name", json_text_at(network, "Name", NULL));
	row_set(row, "Driver", json_text_at(network, "Driver", NULL));
	row_set(row, "Scope", json_text_at(network, "Scope", NULL));
	set_flag(row, "IPv4", network, "EnableIPv4");
	set_flag(row, "IPv6", network, "EnableIPv6");
	set_flag(row, "Internal", network, "Internal");
	row_set_labels(row, network);
	if (clock_parse(created, &ns) == 0) {
		human_date(ns, text);
		created = text;
	}
	row_set(row, "CreatedAt", created);
	return row;
}

static int add_rows(struct table *table, const json_t *list, bool whole, struct cay_error *err)
{
	size_t count;
	_cleanup_free_ json_t **sorted = json_sort_by_name(list, &count);
	int r = 0;

	for (size_t i = 0; i < count && r >= 0; i++) {
		_cleanup_json_ json_t *row = network_row(sorted[i], whole);

		r = table_add_labelled(table, row, json_object_get(sorted[i], "Labels"), err);
	}
	return r;
}

int command_list_networks(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *standard = option_flag(options, "quiet")
		? "{{.ID}}"
		: "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_json_ json_t *filters = NULL, *list = NULL;
	_cleanup_target_ struct target target = { 0 };
	int r = table_open(option_text(options, "format"), standard, columns, &table, err);

	if (r >= 0)
		r = filters_build(options, &filters, err);
	if (r < 0)
		return r;
	target_set(&target, "/networks", NULL, NULL);
	if (filters)
		target_add_json(&target, "filters", filters);
	r = client_call(invocation->client, "GET", &target, NULL, &list, err);
	if (r >= 0)
		r = add_rows(table, list, option_flag(options, "no-trunc"), err);
	return r < 0 ? r : table_print(table, err);
}

/* ---- connect and disconnect ---- */

static int post(const struct invocation *invocation, const char *format, const json_t *body,
		struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };

	target_set(&target, format, invocation->operands[0], NULL);
	return client_call(invocation->client, "POST", &target, body, NULL, err);
}

static int build_endpoint(const struct options *options, json_t *endpoint, struct cay_error *err)
{
	static const char *const texts[] = { "gw-priority", "ip", "ip6", "mac-address" };
	static const char *const lists[] = { "alias", "driver-opt" };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(texts) && r >= 0; i++)
		if (option_given(options, texts[i]))
			r = endpoint_set(endpoint, texts[i], option_text(options, texts[i]),
					 texts[i], err);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct strv *list = option_list(options, lists[i]);

		for (size_t j = 0; j < list->count && r >= 0; j++)
			r = endpoint_set(endpoint, lists[i], list->items[j], lists[i], err);
	}
	return r;
}

int command_connect_network(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_json_ json_t *body = json_object();
	json_t *endpoint = json_object();
	int r;

	json_set_string(body, "Container", invocation->operands[1]);
	json_set(body, "EndpointConfig", endpoint);
	if (option_given(invocation->options, "link"))
		return endpoint_refuse_link(err);
	r = build_endpoint(invocation->options, endpoint, err);
	return r < 0 ? r : post(invocation, "/networks/%s/connect", body, err);
}

int command_disconnect_network(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_json_ json_t *body = json_object();

	json_set_string(body, "Container", invocation->operands[1]);
	json_set_bool(body, "Force", option_flag(invocation->options, "force"));
	return post(invocation, "/networks/%s/disconnect", body, err);
}

/* ---- rm ---- */

static int remove_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	int r = client_call_named(invocation->client, "DELETE", "/networks/%s", name, NULL, err);

	if (r < 0 && err->code == CAY_NOT_FOUND && option_flag(invocation->options, "force"))
		return 0;
	return r < 0 ? r : text_print_line(name, err);
}

int command_remove_network(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, remove_one, false);
}
