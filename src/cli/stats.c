/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats: what containers use. Each round asks for all containers at once and
 * draws a table anew; the daemon's answer carries the sample before, from which
 * the share of the CPU is reckoned as docker's clients do.
 */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/text.h"

#include <poll.h>

const struct option stats_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL, "Those that do not run, too" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.CPUPerc}}" },
	{ 0, OPTION_FLAG, "no-stream", NULL, NULL, "Show it once" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Don't shorten ids" },
	{ 0 },
};

enum { ROUND_MS = 1000 };

static const struct column columns[] = {
	{ "ID", "CONTAINER ID" },
	{ "Container", "CONTAINER" },
	{ "Name", "NAME" },
	{ "CPUPerc", "CPU %" },
	{ "MemUsage", "MEM USAGE / LIMIT" },
	{ "MemPerc", "MEM %" },
	{ "HostMem", "HOST MEM" },
	{ "NetIO", "NET I/O" },
	{ "BlockIO", "BLOCK I/O" },
	{ "PIDs", "PIDS" },
	{ 0 },
};

#define STANDARD \
	"table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.HostMem}}\t" \
	"{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}"

static double cpu_percent(const json_t *stats)
{
	const json_t *now = json_object_get(stats, "cpu_stats");
	const json_t *before = json_object_get(stats, "precpu_stats");
	double used = (double)(json_int_at(now, "cpu_usage", "total_usage") -
			       json_int_at(before, "cpu_usage", "total_usage"));
	double all = (double)(json_int_at(now, "system_cpu_usage", NULL) -
			      json_int_at(before, "system_cpu_usage", NULL));
	double cpus = (double)json_int_at(now, "online_cpus", NULL);

	return used > 0 && all > 0 ? used / all * MAX(cpus, 1) * 100 : 0;
}

static void set_pair(json_t *row, const char *field, double first, double second, bool binary)
{
	char a[HUMAN_MAX], b[HUMAN_MAX], text[2 * HUMAN_MAX + 4];

	if (binary) {
		human_binary_size(first, a);
		human_binary_size(second, b);
	} else {
		human_size(first, false, a);
		human_size(second, false, b);
	}
	(void)snprintf(text, sizeof(text), "%s / %s", a, b);
	row_set(row, field, text);
}

static void set_percent(json_t *row, const char *field, double percent)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%.2f%%", percent);
	row_set(row, field, text);
}

static void set_io(json_t *row, const json_t *stats)
{
	const json_t *blkio = json_object_get(stats, "blkio_stats"), *item;
	double received = 0, sent = 0, read = 0, written = 0;
	const char *key;
	json_t *network;
	size_t index;

	json_object_foreach(json_object_get(stats, "networks"), key, network) {
		received += (double)json_int_at(network, "rx_bytes", NULL);
		sent += (double)json_int_at(network, "tx_bytes", NULL);
	}
	json_array_foreach(json_object_get(blkio, "io_service_bytes_recursive"), index, item) {
		const char *operation = json_text_at(item, "op", NULL);

		if (*operation == 'r' || *operation == 'R')
			read += (double)json_int_at(item, "value", NULL);
		else if (*operation == 'w' || *operation == 'W')
			written += (double)json_int_at(item, "value", NULL);
	}
	set_pair(row, "NetIO", received, sent, false);
	set_pair(row, "BlockIO", read, written, false);
}

static json_t *make_row(const char *name, const json_t *stats, bool whole)
{
	const json_t *memory = json_object_get(stats, "memory_stats");
	/* Cache that the kernel would give back first is not counted, as in docker's tables. */
	double used = (double)(json_int_at(memory, "usage", NULL) -
			       json_int_at(memory, "stats", "inactive_file"));
	double limit = (double)json_int_at(memory, "limit", NULL);
	const char *full_name = json_text_at(stats, "name", NULL);
	json_t *row = json_object();
	char id[80], count[24], host[HUMAN_MAX];

	short_id(json_text_at(stats, "id", NULL), whole, id);
	row_set(row, "ID", id);
	row_set(row, "Container", name);
	row_set(row, "Name", full_name + (*full_name == '/'));
	set_percent(row, "CPUPerc", cpu_percent(stats));
	set_pair(row, "MemUsage", MAX(used, 0), limit, true);
	set_percent(row, "MemPerc", limit > 0 ? used / limit * 100 : 0);
	human_binary_size((double)json_int_at(stats, "cay_host", "memory"), host);
	row_set(row, "HostMem", host);
	set_io(row, stats);
	(void)snprintf(count, sizeof(count), "%lld",
		       (long long)json_int_at(stats, "pids_stats", "current"));
	row_set(row, "PIDs", count);
	return row;
}

/* The containers to ask about: those named, or all that the daemon lists. */
static int choose(const struct invocation *invocation, struct strv *ret_names,
		  struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *list = NULL;
	const json_t *container;
	size_t index;
	int r;

	for (size_t i = 0; i < invocation->operand_count; i++)
		strv_add(ret_names, invocation->operands[i]);
	if (invocation->operand_count > 0)
		return 0;
	target_set(&target, "/containers/json", NULL, NULL);
	if (option_flag(invocation->options, "all"))
		target_add(&target, "all", "1");
	r = client_call(invocation->client, "GET", &target, NULL, &list, err);
	json_array_foreach(list, index, container) {
		strv_add(ret_names, json_text_at(container, "Id", NULL));
	}
	return MIN(r, 0);
}

static int ask(struct client *client, const char *name, struct call **ret_call,
	       struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	const struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };

	target_set(&target, "/containers/%s/stats", name, NULL);
	target_add(&target, "stream", "0");
	return call_open(client, &spec, ret_call, err);
}

/* One container that goes meanwhile is no reason to stop, unless it was named. */
static int run_round(const struct invocation *invocation, struct table *table,
		     struct cay_error *err)
{
	_cleanup_strv_ struct strv names = { 0 };
	_cleanup_free_ struct call **calls = NULL;
	bool named = invocation->operand_count > 0;
	int r = choose(invocation, &names, err);

	calls = xcalloc(names.count, sizeof(struct call *));
	for (size_t i = 0; i < names.count && r >= 0; i++)
		r = ask(invocation->client, names.items[i], &calls[i], err);
	for (size_t i = 0; i < names.count && r >= 0; i++) {
		_cleanup_json_ json_t *stats = NULL, *row = NULL;

		r = call_json(calls[i], &stats, err);
		if (r < 0 && !named && err->code == CAY_NOT_FOUND)
			r = 0;
		if (r < 0 || !stats)
			continue;
		row = make_row(names.items[i], stats, option_flag(invocation->options, "no-trunc"));
		r = table_add(table, row, err);
	}
	for (size_t i = 0; i < names.count; i++)
		call_free(calls[i]);
	return r;
}

int command_stats(const struct invocation *invocation, struct cay_error *err)
{
	bool stream = !option_flag(invocation->options, "no-stream");
	bool redraw = stream && isatty(STDOUT_FILENO);
	_cleanup_(table_free_p) struct table *table = NULL;
	int r = table_open(option_text(invocation->options, "format"), STANDARD, columns, &table,
			   err);

	while (r >= 0) {
		_cleanup_buf_ struct buf out = { 0 };
		int64_t start = clock_monotonic_ms(), left;

		r = run_round(invocation, table, err);
		if (r < 0)
			break;
		if (redraw)
			buf_puts(&out, "\033[H\033[2J");
		table_render(table, &out);
		r = text_print(&out, err);
		if (!stream)
			break;
		left = start + ROUND_MS - clock_monotonic_ms();
		if (left > 0)
			(void)poll(NULL, 0, (int)left);
	}
	return r;
}
