/* SPDX-License-Identifier: Apache-2.0 */
/* events: what goes on in the daemon. */
#include "cli/commands.h"

#include "cli/template.h"
#include "cli/text.h"

#include <time.h>

const struct option events_options[] = {
	{ 'f', OPTION_LIST, "filter", "KEY=VALUE", NULL,
	  "Only those that match, such as event=die or container=NAME" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL, "Print as json, or by a template" },
	{ 0, OPTION_TEXT, "since", "TIME", NULL, "Also what happened since" },
	{ 0, OPTION_TEXT, "until", "TIME", NULL, "End at this time" },
	{ 0 },
};

/* "2026-01-31T12:34:56.123456789+01:00" */
static void append_time(struct buf *line, int64_t ns)
{
	char text[64], zone[16];
	struct tm parts;

	if (!localtime_r(&(time_t){ ns / 1000000000 }, &parts) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts) == 0 ||
	    strftime(zone, sizeof(zone), "%z", &parts) != 5)
		return;
	buf_printf(line, "%s.%09lld%.3s:%s ", text, (long long)(ns % 1000000000), zone, zone + 3);
}

/* "TIME TYPE ACTION ID (KEY=VALUE, …)" */
static void append_event(struct buf *line, const json_t *event)
{
	const json_t *actor = json_object_get(event, "Actor");
	const char *key, *separator = "(";
	json_t *value;

	append_time(line, json_int_at(event, "timeNano", NULL));
	buf_printf(line, "%s %s %s", json_text_at(event, "Type", NULL),
		   json_text_at(event, "Action", NULL), json_text_at(actor, "ID", NULL));
	json_object_foreach(json_object_get(actor, "Attributes"), key, value) {
		buf_printf(line, "%s%s%s=%s", *separator == '(' ? " " : "", separator, key,
			   json_is_string(value) ? json_string_value(value) : "");
		separator = ", ";
	}
	if (*separator != '(')
		buf_putc(line, ')');
}

static int print_event(void *context, const json_t *event, struct cay_error *err)
{
	const struct template *template = context;
	_cleanup_buf_ struct buf line = { 0 };
	int r = 0;

	if (template)
		r = template_run(template, event, NULL, &line, err);
	else
		append_event(&line, event);
	if (r < 0)
		return r;
	buf_reserve(&line, 0);
	if (!template)
		text_make_safe(line.data, false);
	return text_print_line(line.data, err);
}

int command_events(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *format = option_text(options, "format");
	_cleanup_(template_free_p) struct template *template = NULL;
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_json_ json_t *filters = NULL;
	_cleanup_target_ struct target target = { 0 };
	const struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };
	int r = filters_build(options, &filters, err);

	if (r >= 0 && format)
		r = template_parse(strcmp(format, "json") == 0 ? "{{json .}}" : format, &template,
				   err);
	if (r < 0)
		return r;
	target_set(&target, "/events", NULL, NULL);
	if (filters)
		target_add_json(&target, "filters", filters);
	r = target_add_moment(&target, "since", option_text(options, "since"), err);
	if (r >= 0)
		r = target_add_moment(&target, "until", option_text(options, "until"), err);
	if (r >= 0)
		r = call_open(invocation->client, &spec, &call, err);
	return r < 0 ? r : client_stream_json(call, print_event, template, err);
}
