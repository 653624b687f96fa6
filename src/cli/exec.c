/* SPDX-License-Identifier: Apache-2.0 */
/* exec: a further process in a running container. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/attachment.h"
#include "cli/request.h"
#include "cli/session.h"
#include "cli/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>

const struct option exec_options[] = {
	{ 'd', OPTION_FLAG, "detach", NULL, NULL, "Leave the command running" },
	{ 0, OPTION_TEXT, "detach-keys", "KEYS", NULL,
	  "Keys that leave the command running (default ctrl-p,ctrl-q)" },
	{ 'e', OPTION_LIST, "env", "NAME[=VALUE]", NULL, "Set an environment variable" },
	{ 0, OPTION_LIST, "env-file", "FILE", NULL, "Set environment variables from a file" },
	{ 'i', OPTION_FLAG, "interactive", NULL, NULL, "Pass standard input to the command" },
	{ 0, OPTION_FLAG, "privileged", NULL, NULL, "Give the command all rights inside the VM" },
	{ 't', OPTION_FLAG, "tty", NULL, NULL, "Give the command a terminal" },
	{ 'u', OPTION_TEXT, "user", "USER[:GROUP]", NULL, "Run as this user, by name or number" },
	{ 'w', OPTION_TEXT, "workdir", "PATH", NULL, "Start in this directory" },
	{ 0 },
};

enum { POLL_FIRST_MS = 10, POLL_LAST_MS = 500 };

static void add_console_size(json_t *body, bool tty)
{
	struct terminal_size size;

	if (tty && terminal_get_size(STDOUT_FILENO, &size))
		json_set(body, "ConsoleSize", json_pack("[ii]", (int)size.rows, (int)size.columns));
}

/* POST /containers/{id}/exec */
static int create_exec(const struct invocation *invocation, char **ret_id, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_json_ json_t *body = json_object(), *answer = NULL;
	_cleanup_target_ struct target target = { 0 };
	bool attach = !option_flag(options, "detach");
	json_t *command = json_array();
	int r;

	json_set(body, "Cmd", command);
	for (size_t i = 1; i < invocation->operand_count; i++)
		if (json_array_append_new(command, json_string(invocation->operands[i])) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL, "the command is not UTF-8");
	json_set_bool(body, "AttachStdin", attach && option_flag(options, "interactive"));
	json_set_bool(body, "AttachStdout", attach);
	json_set_bool(body, "AttachStderr", attach);
	json_set_bool(body, "Tty", option_flag(options, "tty"));
	json_set_bool(body, "Privileged", option_flag(options, "privileged"));
	if (option_given(options, "user"))
		json_set_string(body, "User", option_text(options, "user"));
	if (option_given(options, "workdir"))
		json_set_string(body, "WorkingDir", option_text(options, "workdir"));
	if (option_given(options, "detach-keys"))
		json_set_string(body, "DetachKeys", option_text(options, "detach-keys"));
	add_console_size(body, option_flag(options, "tty"));
	r = request_add_environment(options, body, err);
	if (r < 0)
		return r;
	target_set(&target, "/containers/%s/exec", invocation->operands[0], NULL);
	r = client_call(invocation->client, "POST", &target, body, &answer, err);
	if (r < 0)
		return r;
	*ret_id = xstrdup(json_text_at(answer, "Id", NULL));
	return 0;
}

/*
 * GET /exec/{id}/json until the process has ended: its stream may have ended before it. Signals
 * have their default action here, so Ctrl-C ends the wait.
 */
static int read_exit_code(struct client *client, const char *id, struct cay_error *err)
{
	for (int delay = POLL_FIRST_MS;; delay = MIN(delay * 2, POLL_LAST_MS)) {
		_cleanup_json_ json_t *state = NULL;
		int r = client_call_named(client, "GET", "/exec/%s/json", id, &state, err);
		int64_t code;

		if (r < 0)
			return r;
		code = json_int_at(state, "ExitCode", NULL);
		if (!json_bool_at(state, "Running", NULL))
			return code >= 0 && code <= 255 ? (int)code : 125;
		(void)poll(NULL, 0, delay);
	}
}

static int run_attached(const struct invocation *invocation, const char *id, struct call *stream,
			struct cay_error *err)
{
	const struct options *options = invocation->options;
	struct session_result result;
	const struct session_spec spec = {
		.client = invocation->client,
		.stream = stream,
		.resize_path = "/exec/%s/resize",
		.resize_id = id,
		.tty = option_flag(options, "tty"),
		.with_stdin = option_flag(options, "interactive"),
		.detach_keys = option_text(options, "detach-keys"),
	};
	int r = session_run(&spec, &result, err);

	if (r < 0)
		return r;
	if (result.end == SESSION_SIGNALLED)
		return 128 + result.signal;
	if (result.end == SESSION_BROKEN)
		return 128 + SIGPIPE;
	if (result.end == SESSION_DETACHED)
		return 0;
	return read_exit_code(invocation->client, id, err);
}

int command_exec(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	bool tty = option_flag(options, "tty"), detach = option_flag(options, "detach");
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_json_ json_t *body = json_object();
	_cleanup_target_ struct target target = { 0 };
	_cleanup_free_ char *id = NULL;
	struct detach_keys keys;
	const struct call_spec spec = {
		.method = "POST", .target = &target, .body = body, .body_fd = -1, .hijack = !detach
	};
	int r = detach_keys_parse(option_text(options, "detach-keys"), &keys, err);

	if (r >= 0)
		r = check_terminal(tty, option_flag(options, "interactive") && !detach, err);
	if (r >= 0)
		r = create_exec(invocation, &id, err);
	if (r < 0)
		return r;
	json_set_bool(body, "Detach", detach);
	json_set_bool(body, "Tty", tty);
	add_console_size(body, tty);
	target_set(&target, "/exec/%s/start", id, NULL);
	r = call_open(invocation->client, &spec, &call, err);
	if (r >= 0)
		r = call_wait_head(call, err);
	if (r < 0) {
		classify_start_error(err);
		return r;
	}
	return detach ? 0 : run_attached(invocation, id, TAKE_PTR(call), err);
}
