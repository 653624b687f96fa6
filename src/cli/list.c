/* SPDX-License-Identifier: Apache-2.0 */
/* ps: the list of containers. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/human.h"
#include "cli/port.h"
#include "cli/table.h"
#include "cli/text.h"

const struct option list_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL, "Those that do not run, too" },
	{ 'f', OPTION_LIST, "filter", "KEY=VALUE", NULL,
	  "Only those that match, such as status=exited or label=KEY" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Names}}" },
	{ 'n', OPTION_NUMBER, "last", "NUMBER", NULL, "Only so many, those created last" },
	{ 'l', OPTION_FLAG, "latest", NULL, NULL, "Only the one created last" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Don't shorten ids and commands" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the ids" },
	{ 's', OPTION_FLAG, "size", NULL, NULL, "Show the size of the writable layer" },
	{ 0 },
};

enum { COMMAND_WIDTH = 20 };

const struct column container_columns[] = {
	{ "ID", "CONTAINER ID" },
	{ "Image", "IMAGE" },
	{ "Command", "COMMAND" },
	{ "CreatedAt", "CREATED AT" },
	{ "RunningFor", "CREATED" },
	{ "Ports", "PORTS" },
	{ "State", "STATE" },
	{ "Status", "STATUS" },
	{ "Size", "SIZE" },
	{ "Names", "NAMES" },
	{ "Labels", "LABELS" },
	{ "LocalVolumes", "LOCAL VOLUMES" },
	{ "Mounts", "MOUNTS" },
	{ "Networks", "NETWORKS" },
	{ 0 },
};

#define STANDARD \
	"table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"

static void append_part(struct buf *out, const char *text)
{
	if (out->length > 0)
		buf_puts(out, ",");
	buf_puts(out, text);
}

/* "/web" is the container's own name; "/other/alias" a link's, which lists don't show. */
static void set_names(json_t *row, const json_t *container)
{
	_cleanup_buf_ struct buf names = { 0 };
	json_t *name;
	size_t index;

	json_array_foreach(json_object_get(container, "Names"), index, name) {
		const char *text = json_is_string(name) ? json_string_value(name) : "";

		text += *text == '/';
		if (!strchr(text, '/'))
			append_part(&names, text);
	}
	row_set(row, "Names", buf_text(&names));
}

static void set_ports(json_t *row, const json_t *container)
{
	_cleanup_buf_ struct buf ports = { 0 };

	ports_format(json_object_get(container, "Ports"), &ports);
	row_set(row, "Ports", buf_text(&ports));
}

static void set_mounts(json_t *row, const json_t *container, bool whole)
{
	_cleanup_buf_ struct buf mounts = { 0 };
	unsigned int local = 0;
	char count[16];
	json_t *mount;
	size_t index;

	json_array_foreach(json_object_get(container, "Mounts"), index, mount) {
		const char *name = json_text_at(mount, "Name", NULL);
		_cleanup_free_ char *shown = NULL;

		local += strcmp(json_text_at(mount, "Driver", NULL), "local") == 0;
		if (!*name)
			name = json_text_at(mount, "Source", NULL);
		shown = text_shorten(name, whole ? SIZE_MAX : 15);
		append_part(&mounts, shown);
	}
	row_set(row, "Mounts", buf_text(&mounts));
	(void)snprintf(count, sizeof(count), "%u", local);
	row_set(row, "LocalVolumes", count);
}

static void set_networks(json_t *row, const json_t *container)
{
	_cleanup_buf_ struct buf networks = { 0 };
	const json_t *settings = json_object_get(container, "NetworkSettings");
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(settings, "Networks"), key, value) {
		append_part(&networks, key);
	}
	row_set(row, "Networks", buf_text(&networks));
}

static void set_times(json_t *row, const json_t *container)
{
	int64_t created = json_int_at(container, "Created", NULL) * 1000000000;
	char text[HUMAN_MAX];

	human_date(created, text);
	row_set(row, "CreatedAt", text);
	human_ago(created, clock_now_ns(), text);
	row_set(row, "RunningFor", text);
}

/* What is asked for without the image's size, as df does, shows only the container's own. */
static void set_size(json_t *row, const json_t *container)
{
	int64_t root = json_int_at(container, "SizeRootFs", NULL);
	char own[HUMAN_MAX], whole[HUMAN_MAX], text[2 * HUMAN_MAX + 16];

	human_size((double)json_int_at(container, "SizeRw", NULL), false, own);
	human_size((double)root, false, whole);
	(void)snprintf(text, sizeof(text), "%s (virtual %s)", own, whole);
	row_set(row, "Size", root > 0 ? text : own);
}

json_t *container_row(const json_t *container, bool whole)
{
	json_t *row = json_object();
	const char *image = json_text_at(container, "Image", NULL);
	_cleanup_free_ char *command = text_shorten(json_text_at(container, "Command", NULL),
						    whole ? SIZE_MAX : COMMAND_WIDTH);
	_cleanup_free_ char *quoted = text_quote(command);
	char id[80];

	short_id(json_text_at(container, "Id", NULL), whole, id);
	row_set(row, "ID", id);
	if (starts_with(image, "sha256:")) {
		short_id(image, whole, id);
		image = id;
	}
	row_set(row, "Image", image);
	row_set(row, "Command", quoted);
	row_set(row, "State", json_text_at(container, "State", NULL));
	row_set(row, "Status", json_text_at(container, "Status", NULL));
	set_times(row, container);
	set_names(row, container);
	set_ports(row, container);
	row_set_labels(row, container);
	set_mounts(row, container, whole);
	set_networks(row, container);
	set_size(row, container);
	return row;
}

static int set_target(const struct options *options, struct target *target, struct cay_error *err)
{
	int64_t last = option_flag(options, "latest") ? 1 : option_number(options, "last", -1);
	const char *format = option_text(options, "format");
	_cleanup_json_ json_t *filters = NULL;
	int r = filters_build(options, &filters, err);

	if (r < 0)
		return r;
	target_set(target, "/containers/json", NULL, NULL);
	if (option_flag(options, "all") || last > 0)
		target_add(target, "all", "1");
	if (last > 0)
		target_add_int(target, "limit", last);
	/* Sizes take the daemon longer, so they are asked for where they are shown. */
	if (option_flag(options, "size") || (format && strstr(format, ".Size")))
		target_add(target, "size", "1");
	if (filters)
		target_add_json(target, "filters", filters);
	return 0;
}

int command_list(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	bool whole = option_flag(options, "no-trunc");
	const char *standard = option_flag(options, "quiet") ? "{{.ID}}"
		: option_flag(options, "size")               ? STANDARD "\t{{.Size}}"
							     : STANDARD;
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *list = NULL;
	json_t *container;
	size_t index;
	int r = table_open(option_text(options, "format"), standard, container_columns, &table,
			   err);

	if (r >= 0)
		r = set_target(options, &target, err);
	if (r >= 0)
		r = client_call(invocation->client, "GET", &target, NULL, &list, err);
	if (r < 0)
		return r;
	json_array_foreach(list, index, container) {
		_cleanup_json_ json_t *row = container_row(container, whole);

		r = table_add_labelled(table, row, json_object_get(container, "Labels"), err);
		if (r < 0)
			return r;
	}
	return table_print(table, err);
}
