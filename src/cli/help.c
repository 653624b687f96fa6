/* SPDX-License-Identifier: Apache-2.0 */
/* Help and the man page's reference, both written out from the command table. */
#include "cli/help.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <ctype.h>

enum { WIDTH = 80 };

/* Text in lines of at most WIDTH columns, all but the first indented. */
static void append_wrapped(struct buf *out, const char *text, size_t column)
{
	size_t used = column;

	while (*text) {
		size_t length = strcspn(text, " ");

		if (used > column && used + 1 + length > WIDTH) {
			buf_printf(out, "\n%*s", (int)column, "");
			used = column;
		} else if (used > column) {
			buf_putc(out, ' ');
			used++;
		}
		buf_append(out, text, length);
		used += length;
		text += length;
		text += strspn(text, " ");
	}
	buf_putc(out, '\n');
}

/* "  -m, --memory SIZE" */
static char *option_heading(const struct option *option)
{
	struct buf text = { 0 };

	if (option->letter)
		buf_printf(&text, "  -%c, ", option->letter);
	else
		buf_puts(&text, "      ");
	buf_printf(&text, "--%s", option->name);
	if (option->value)
		buf_printf(&text, " %s", option->value);
	return buf_steal(&text);
}

static void append_options(const struct option *options, struct buf *out)
{
	enum { MAX_HEADING = 34 };
	size_t width = 0;

	for (const struct option *option = options; option->name; option++) {
		_cleanup_free_ char *heading = option_heading(option);

		if (option->kind != OPTION_SAME && strlen(heading) <= MAX_HEADING)
			width = MAX(width, strlen(heading));
	}
	width += 2;
	for (const struct option *option = options; option->name; option++) {
		_cleanup_free_ char *heading = option_heading(option);

		if (option->kind == OPTION_SAME)
			continue;
		if (strlen(heading) + 2 > width)
			buf_printf(out, "%s\n%*s", heading, (int)width, "");
		else
			buf_printf(out, "%-*s", (int)width, heading);
		append_wrapped(out, option->help, width);
	}
}

static void append_children(const struct command *children, struct buf *out)
{
	size_t width = 0;

	for (const struct command *child = children; child->name; child++)
		width = MAX(width, strlen(child->name));
	for (const struct command *child = children; child->name; child++) {
		if (child->flags & COMMAND_HIDDEN)
			continue;
		if (child->section)
			buf_printf(out, "\n%s:\n", child->section);
		buf_printf(out, "  %-*s  ", (int)width, child->name);
		append_wrapped(out, child->summary, width + 4);
	}
}

void help_format(const struct command *command, const char *path, struct buf *out)
{
	buf_printf(out, "Usage: %s", path);
	if (command->options)
		buf_puts(out, " [OPTIONS]");
	if (command->children)
		buf_puts(out, " COMMAND");
	if (command->operands)
		buf_printf(out, " %s", command->operands);
	buf_puts(out, "\n\n");
	append_wrapped(out, command->summary, 0);
	if (command->aliases)
		buf_printf(out, "\nAlso: %s\n", command->aliases);
	if (command->children) {
		if (!command->children->section)
			buf_puts(out, "\nCommands:\n");
		append_children(command->children, out);
	}
	if (command->options) {
		buf_puts(out, "\nOptions:\n");
		append_options(command->options, out);
	}
	if (command->children)
		buf_printf(out, "\n\"%s COMMAND --help\" tells more about a command.\n", path);
}

/* ---- the man page ---- */

/* Hyphens that are to be typed are minus signs in man(7); a line must not start with a dot. */
static void append_roff(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '-')
			buf_puts(out, "\\-");
		else if (*text == '\\')
			buf_puts(out, "\\e");
		else
			buf_putc(out, *text);
	}
}

static void append_man_option(const struct option *option, struct buf *out)
{
	buf_puts(out, ".TP\n");
	if (option->letter)
		buf_printf(out, "\\fB\\-%c\\fR, ", option->letter);
	buf_puts(out, "\\fB\\-\\-");
	append_roff(out, option->name);
	buf_puts(out, "\\fR");
	if (option->value) {
		buf_puts(out, " \\fI");
		append_roff(out, option->value);
		buf_puts(out, "\\fR");
	}
	buf_putc(out, '\n');
	append_roff(out, option->help);
	buf_puts(out, ".\n");
}

/* The command at the top that does the same: "cay run" for "cay container run". */
static const struct command *find_twin(const struct command *command)
{
	for (const struct command *row = cay_command.children; row->name; row++)
		if (row != command && row->run == command->run && row->run &&
		    row->options == command->options)
			return row;
	return NULL;
}

static void append_man_usage(const struct command *command, const char *path, struct buf *out)
{
	buf_puts(out, ".SS ");
	append_roff(out, path);
	buf_puts(out, "\n.B ");
	append_roff(out, path);
	buf_puts(out, command->options ? "\n.RI [ options ]\n" : "\n");
	if (command->operands) {
		buf_puts(out, ".I ");
		append_roff(out, command->operands);
		buf_putc(out, '\n');
	}
	buf_puts(out, ".PP\n");
	append_roff(out, command->summary);
	buf_puts(out, ".\n");
	if (command->aliases) {
		buf_puts(out, "Other names: ");
		append_roff(out, command->aliases);
		buf_puts(out, ".\n");
	}
}

static void append_man_command(const struct command *command, const char *path, struct buf *out)
{
	const struct command *twin = find_twin(command);
	bool at_top = twin && strchr(path, ' ') == strrchr(path, ' ');

	if (command->run)
		append_man_usage(command, path, out);
	if (twin && !at_top) {
		buf_puts(out, "The same as\n.BR \"cay ");
		append_roff(out, twin->name);
		buf_puts(out, "\" .\n");
		return;
	}
	if (command->options && command->run)
		for (const struct option *option = command->options; option->name; option++)
			if (option->kind != OPTION_SAME)
				append_man_option(option, out);
	for (const struct command *child = command->children; child && child->name; child++) {
		_cleanup_free_ char *child_path = xasprintf("%s %s", path, child->name);

		if (!(child->flags & COMMAND_HIDDEN))
			append_man_command(child, child_path, out);
	}
}

void help_format_man(struct buf *out)
{
	append_man_command(&cay_command, "cay", out);
}
