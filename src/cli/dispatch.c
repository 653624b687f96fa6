/* SPDX-License-Identifier: Apache-2.0 */
/* From the command line to a command's function, and from its result to the exit status. */
#include "cli/command.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "cli/client.h"
#include "cli/daemon.h"
#include "cli/help.h"
#include "cli/text.h"

#include <errno.h>
#include <fcntl.h>

/*
 * Docker's exit status for options that make no sense; and for a command that failed, that does not
 * exist, or that was given too many or too few words.
 */
enum { EXIT_USAGE = 125, EXIT_FAILED = 1 };

static bool name_is(const struct command *command, const char *name)
{
	struct str rest = str_from(command->aliases);

	if (strcmp(command->name, name) == 0)
		return true;
	while (rest.length > 0)
		if (str_equals(str_split(rest, ' ', &rest), name))
			return true;
	return false;
}

const struct command *command_find(const struct command *family, const char *name)
{
	for (const struct command *child = family->children; child && child->name; child++)
		if (name_is(child, name))
			return child;
	return NULL;
}

const struct command *command_suggest(const struct command *family, const char *name)
{
	const struct command *best = NULL;
	unsigned int best_distance = 3;

	for (const struct command *child = family->children; child && child->name; child++) {
		unsigned int distance = word_distance(name, child->name, best_distance);

		if (!(child->flags & COMMAND_HIDDEN) && distance < best_distance) {
			best = child;
			best_distance = distance;
		}
	}
	return best;
}

static int print_help(const struct command *command, const char *path)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct cay_error err;

	help_format(command, path, &text);
	return text_print(&text, &err) < 0 ? EXIT_FAILED : 0;
}

static int usage_error(const char *path, const struct cay_error *err, int status)
{
	text_complain("%s", err->message);
	text_complain("\"%s --help\" tells how it is used", path);
	return status;
}

static int unknown_command(const struct command *family, const char *path, const char *name)
{
	const struct command *near = command_suggest(family, name);
	struct cay_error err = { 0 };

	if (near)
		(void)cay_error_set(&err, CAY_INVALID, EINVAL,
				    "unknown command: %s %s; did you mean %s?", path, name,
				    near->name);
	else
		(void)cay_error_set(&err, CAY_INVALID, EINVAL, "unknown command: %s %s", path,
				    name);
	return usage_error(path, &err, EXIT_FAILED);
}

static int check_operands(const struct invocation *invocation, struct cay_error *err)
{
	const struct command *command = invocation->command;
	size_t count = invocation->operand_count;

	if (count > command->max_operands)
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s: unexpected \"%s\"",
				     invocation->path + strlen("cay "),
				     invocation->operands[command->max_operands]);
	if (count < command->min_operands)
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s needs %s",
				     invocation->path + strlen("cay "), command->operands);
	return 0;
}

static int call_command(const struct invocation *invocation)
{
	struct cay_error err = { 0 };
	int r = invocation->command->run(invocation, &err);

	if (r >= 0)
		return r;
	text_complain("%s", err.message);
	if (invocation->debug)
		text_complain("%s, error %d (%s)", cay_code_name(err.code), err.err,
			      errno_text(err.err));
	if (err.code == CAY_INVALID && err.err != EREMOTEIO) /* not the daemon's */
		return EXIT_USAGE;
	return invocation->command->flags & COMMAND_RUNS_PROCESS ? cay_code_exit_status(err.code)
								 : EXIT_FAILED;
}

/* A command that was found: its own options and operands. */
static int run_command(const struct command *command, const char *path,
		       const struct options *root_options, int argc, char **argv)
{
	_cleanup_(options_free_p) struct options *options = NULL;
	_cleanup_(client_free_p) struct client *client = NULL;
	_cleanup_free_ const char **operands = NULL;
	struct invocation invocation = { .command = command, .path = path };
	struct cay_error err = { 0 };
	bool help;

	if (options_parse(command->options, argc, argv,
			  !(command->flags & COMMAND_STOPS_AT_OPERAND), &options, &operands,
			  &invocation.operand_count, &help, &err) < 0)
		return usage_error(path, &err, EXIT_USAGE);
	if (help)
		return print_help(command, path);
	invocation.options = options;
	invocation.operands = operands;
	invocation.debug = option_flag(root_options, "debug");
	if (check_operands(&invocation, &err) < 0)
		return usage_error(path, &err, EXIT_FAILED);
	if (client_new(option_text(root_options, "host"), &client, &err) < 0) {
		if (!(command->flags & COMMAND_LOCAL)) {
			text_complain("%s", err.message);
			return EXIT_USAGE;
		}
	} else if ((command->flags & COMMAND_STARTS_DAEMON) && client->is_default) {
		client->start_daemon = daemon_start_default;
	}
	invocation.client = client;
	return call_command(&invocation);
}

/* Descends a family by the words of the command line. */
static int run_family(const struct command *family, const char *path,
		      const struct options *root_options, int argc, char **argv)
{
	_cleanup_free_ char *child_path = NULL;
	const struct command *child;

	if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
	    (strcmp(argv[0], "help") == 0 && argc == 1))
		return print_help(family, path);
	if (strcmp(argv[0], "help") == 0) { /* "cay help image pull" */
		_cleanup_free_ char **words = xcalloc((size_t)argc + 1, sizeof(*words));
		char option[] = "--help";

		memcpy(words, argv + 1, (size_t)(argc - 1) * sizeof(*words));
		words[argc - 1] = option;
		return run_family(family, path, root_options, argc, words);
	}
	child = command_find(family, argv[0]);
	if (!child)
		return unknown_command(family, path, argv[0]);
	child_path = xasprintf("%s %s", path, child->name);
	if (child->children)
		return run_family(child, child_path, root_options, argc - 1, argv + 1);
	return run_command(child, child_path, root_options, argc - 1, argv + 1);
}

/* What is opened later must not become a standard stream by accident. */
static void ensure_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

int cay_main(int argc, char **argv)
{
	_cleanup_(options_free_p) struct options *options = NULL;
	_cleanup_free_ const char **operands = NULL;
	struct cay_error err = { 0 };
	size_t count;
	bool help;

	ensure_standard_streams();
	log_init("cay", LOG_LEVEL_WARNING);
	if (options_parse(cay_command.options, argc - 1, argv + 1, false, &options, &operands,
			  &count, &help, &err) < 0)
		return usage_error("cay", &err, EXIT_USAGE);
	if (help)
		return print_help(&cay_command, "cay");
	if (option_flag(options, "version"))
		return text_print_line("cay version " CAY_VERSION, &err) < 0 ? EXIT_FAILED : 0;
	return run_family(&cay_command, "cay", options, (int)count, argv + argc - (int)count);
}
