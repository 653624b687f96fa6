/* SPDX-License-Identifier: Apache-2.0 */
/* port, and the ports' column of ps. */
#include "cli/port.h"

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/text.h"

#include <errno.h>

/* ---- ps ---- */

/* Ports of one kind whose numbers follow each other; `address` is "" for ones not published. */
struct port_run {
	const char *address, *protocol; /* of the JSON */
	int64_t first, last;            /* inside the container */
	int64_t host;                   /* the host's number for `first`; 0: not published */
};

static int compare_numbers(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

static int compare_ports(const void *left, const void *right)
{
	const struct port_run *a = left, *b = right;
	int order = compare_numbers(a->first, b->first);

	if (order == 0)
		order = strcmp(a->address, b->address);
	if (order == 0)
		order = compare_numbers(a->host, b->host);
	return order != 0 ? order : strcmp(a->protocol, b->protocol);
}

static bool is_mapped(const struct port_run *run)
{
	return *run->address && run->host != run->first;
}

static bool same_kind(const struct port_run *a, const struct port_run *b)
{
	return strcmp(a->address, b->address) == 0 && strcmp(a->protocol, b->protocol) == 0;
}

static void append_run(const struct port_run *run, struct buf *out)
{
	char numbers[48];

	if (run->last > run->first)
		(void)snprintf(numbers, sizeof(numbers), "%lld-%lld", (long long)run->first,
			       (long long)run->last);
	else
		(void)snprintf(numbers, sizeof(numbers), "%lld", (long long)run->first);
	buf_puts(out, out->length > 0 ? ", " : "");
	if (*run->address)
		buf_printf(out, strchr(run->address, ':') ? "[%s]:" : "%s:", run->address);
	if (is_mapped(run))
		buf_printf(out, "%lld->", (long long)run->host);
	else if (*run->address)
		buf_printf(out, "%s->", numbers);
	buf_printf(out, "%s/%s", numbers, run->protocol);
}

/*
 * Docker's order: ranges that a gap ended, as they end; then the last of each kind, as the kinds
 * began; then ports whose number on the host is another. `last` has room for as many as `runs`.
 */
static void join_and_print(const struct port_run *runs, size_t count, struct port_run *last,
			   struct buf *out)
{
	size_t kinds = 0;

	for (size_t i = 0; i < count; i++) {
		size_t kind = 0;

		if (is_mapped(&runs[i]))
			continue;
		while (kind < kinds && !same_kind(&last[kind], &runs[i]))
			kind++;
		if (kind < kinds && runs[i].first == last[kind].last + 1) {
			last[kind].last = runs[i].first;
			continue;
		}
		if (kind < kinds)
			append_run(&last[kind], out);
		else
			kinds++;
		last[kind] = runs[i];
	}
	for (size_t i = 0; i < kinds; i++)
		append_run(&last[i], out);
	for (size_t i = 0; i < count; i++)
		if (is_mapped(&runs[i]))
			append_run(&runs[i], out);
}

void ports_format(const json_t *ports, struct buf *out)
{
	size_t count = json_array_size(ports), index;
	_cleanup_free_ struct port_run *runs = xcalloc(count + 1, sizeof(*runs));
	_cleanup_free_ struct port_run *last = xcalloc(count + 1, sizeof(*last));
	const json_t *port;

	json_array_foreach(ports, index, port) {
		int64_t number = json_int_at(port, "PrivatePort", NULL);

		runs[index] = (struct port_run){ .address = json_text_at(port, "IP", NULL),
						 .protocol = json_text_at(port, "Type", NULL),
						 .first = number,
						 .last = number,
						 .host = json_int_at(port, "PublicPort", NULL) };
	}
	qsort(runs, count, sizeof(*runs), compare_ports);
	join_and_print(runs, count, last, out);
}

/* ---- port ---- */

/* "80/tcp -> 0.0.0.0:8080" */
static void add_bindings(struct strv *lines, const char *port, const json_t *bindings)
{
	const json_t *binding;
	size_t index;

	json_array_foreach(bindings, index, binding) {
		const char *address = json_text_at(binding, "HostIp", NULL);
		const char *number = json_text_at(binding, "HostPort", NULL);

		strv_addf(lines, strchr(address, ':') ? "%s%s[%s]:%s" : "%s%s%s:%s", port,
			  *port ? " -> " : "", address, number);
	}
}

/* Numbers in the lines count as such: 9 stands before 80. */
static int compare_lines(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* "80" and "80/udp" to the key of the API. */
static int parse_port(const char *text, char **ret_key, struct cay_error *err)
{
	struct str protocol, number = str_split(str_from(text), '/', &protocol);
	uint64_t port;

	if (str_to_u64(number, UINT16_MAX, &port) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "\"%s\" is not of the form PORT[/PROTOCOL]", text);
	*ret_key =
		xasprintf("%u/%s", (unsigned int)port, protocol.length > 0 ? protocol.data : "tcp");
	return 0;
}

int command_port(const struct invocation *invocation, struct cay_error *err)
{
	const char *name = invocation->operands[0], *wanted = invocation->operands[1], *port;
	_cleanup_json_ json_t *container = NULL;
	_cleanup_strv_ struct strv lines = { 0 };
	_cleanup_buf_ struct buf out = { 0 };
	_cleanup_free_ char *key = NULL;
	json_t *ports, *bindings;
	int r = wanted ? parse_port(wanted, &key, err) : 0;

	if (r >= 0)
		r = container_inspect(invocation->client, name, &container, err);
	if (r < 0)
		return r;
	ports = json_object_get(json_object_get(container, "NetworkSettings"), "Ports");
	if (key) {
		add_bindings(&lines, "", json_object_get(ports, key));
	} else {
		json_object_foreach(ports, port, bindings) {
			add_bindings(&lines, port, bindings);
		}
	}
	if (key && lines.count == 0)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
				     "container %s publishes no port %s", name, key);
	if (lines.count > 0)
		qsort(lines.items, lines.count, sizeof(*lines.items), compare_lines);
	for (size_t i = 0; i < lines.count; i++)
		buf_printf(&out, "%s\n", lines.items[i]);
	return text_print(&out, err);
}
