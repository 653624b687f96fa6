/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that change a container's state with one call to the daemon each. */
#include "cli/commands.h"

#include "cli/text.h"

#include <errno.h>

const struct option stop_options[] = {
	{ 's', OPTION_TEXT, "signal", "SIGNAL", NULL, "Ask with this signal" },
	{ 't', OPTION_NUMBER, "timeout", "SECONDS", NULL,
	  "Wait so long before killing; -1 waits for ever" },
	{ 0, OPTION_SAME, "time", "timeout", NULL, NULL },
	{ 0 },
};

const struct option kill_options[] = {
	{ 's', OPTION_TEXT, "signal", "SIGNAL", NULL,
	  "The signal, by name or number (default KILL)" },
	{ 0 },
};

const struct option remove_options[] = {
	{ 'f', OPTION_FLAG, "force", NULL, NULL, "Kill a container that runs" },
	{ 'v', OPTION_FLAG, "volumes", NULL, NULL, "Remove its anonymous volumes too" },
	{ 0 },
};

/* POST to the target; "already so" is success. */
static int post(const struct invocation *invocation, const struct target *target,
		struct cay_error *err)
{
	int r = client_call(invocation->client, "POST", target, NULL, NULL, err);

	return r < 0 && err->code == CAY_NOT_MODIFIED ? 0 : r;
}

static int post_stop(const struct invocation *invocation, const char *format, const char *name,
		     struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	const struct options *options = invocation->options;

	target_set(&target, format, name, NULL);
	if (option_given(options, "signal"))
		target_add(&target, "signal", option_text(options, "signal"));
	if (option_given(options, "timeout"))
		target_add_int(&target, "t", option_number(options, "timeout", 0));
	return post(invocation, &target, err);
}

static int stop_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	return post_stop(invocation, "/containers/%s/stop", name, err);
}

int command_stop(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, stop_one, true);
}

static int restart_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	return post_stop(invocation, "/containers/%s/restart", name, err);
}

int command_restart(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, restart_one, true);
}

static int kill_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	const char *signal = option_text(invocation->options, "signal");

	target_set(&target, "/containers/%s/kill", name, NULL);
	if (signal)
		target_add(&target, "signal", signal);
	return post(invocation, &target, err);
}

int command_kill(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, kill_one, true);
}

/* With --force a container that is not there is as good as removed. */
static int remove_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	bool force = option_flag(invocation->options, "force");
	int r;

	target_set(&target, "/containers/%s", name, NULL);
	if (force)
		target_add(&target, "force", "1");
	if (option_flag(invocation->options, "volumes"))
		target_add(&target, "v", "1");
	r = client_call(invocation->client, "DELETE", &target, NULL, NULL, err);
	if (r < 0 && force && err->code == CAY_NOT_FOUND) {
		text_complain("%s", err->message);
		return 0;
	}
	return r < 0 ? r : text_print_line(name, err);
}

int command_remove(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, remove_one, false);
}

static int pause_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	return client_call_named(invocation->client, "POST", "/containers/%s/pause", name, NULL,
				 err);
}

int command_pause(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, pause_one, true);
}

static int unpause_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	return client_call_named(invocation->client, "POST", "/containers/%s/unpause", name, NULL,
				 err);
}

int command_unpause(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, unpause_one, true);
}

int command_rename(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };

	target_set(&target, "/containers/%s/rename", invocation->operands[0], NULL);
	target_add(&target, "name", invocation->operands[1]);
	return post(invocation, &target, err);
}

static int wait_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	_cleanup_json_ json_t *answer = NULL;
	char line[32];
	int r = client_call_named(invocation->client, "POST", "/containers/%s/wait", name, &answer,
				  err);

	if (r < 0)
		return r;
	(void)snprintf(line, sizeof(line), "%lld",
		       (long long)json_int_at(answer, "StatusCode", NULL));
	return text_print_line(line, err);
}

int command_wait(const struct invocation *invocation, struct cay_error *err)
{
	return each_operand(invocation, wait_one, false);
}
