/* SPDX-License-Identifier: Apache-2.0 */
/* create, run, start and attach. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/attachment.h"
#include "cli/pull.h"
#include "cli/request.h"
#include "cli/terminal.h"
#include "cli/text.h"

#include <errno.h>
#include <fcntl.h>

#define DETACH_KEYS \
	{ \
		0, OPTION_TEXT, "detach-keys", "KEYS", NULL, \
			"Keys that leave the container running (default ctrl-p,ctrl-q)" \
	}
#define SIG_PROXY \
	{ \
		0, OPTION_FLAG, "sig-proxy", NULL, NULL, \
			"Pass signals on to the process (the default without a terminal)" \
	}

const struct option run_options[] = {
	{ 'd', OPTION_FLAG, "detach", NULL, NULL, "Print the container's id and leave it running" },
	DETACH_KEYS,
	SIG_PROXY,
	REQUEST_OPTIONS,
	{ 0 },
};

const struct option create_options[] = { REQUEST_OPTIONS, { 0 } };

const struct option start_options[] = {
	{ 'a', OPTION_FLAG, "attach", NULL, NULL, "Join its output and wait for its end" },
	DETACH_KEYS,
	{ 'i', OPTION_FLAG, "interactive", NULL, NULL, "Join its input too" },
	SIG_PROXY,
	{ 0 },
};

const struct option attach_options[] = {
	DETACH_KEYS,
	{ 0, OPTION_FLAG, "no-stdin", NULL, NULL, "Don't join the input" },
	SIG_PROXY,
	{ 0 },
};

static bool wants_signals(const struct options *options)
{
	return !option_given(options, "sig-proxy") || option_flag(options, "sig-proxy");
}

/* POST /containers/create */
static int post_create(const struct invocation *invocation, const json_t *body, char **ret_id,
		       struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *answer = NULL;
	const char *name = option_text(invocation->options, "name");
	const char *platform = option_text(invocation->options, "platform");
	json_t *warning;
	size_t index;
	int r;

	target_set(&target, "/containers/create", NULL, NULL);
	if (name)
		target_add(&target, "name", name);
	if (platform)
		target_add(&target, "platform", platform);
	r = client_call(invocation->client, "POST", &target, body, &answer, err);
	if (r < 0)
		return r;
	json_array_foreach(json_object_get(answer, "Warnings"), index, warning) {
		if (json_is_string(warning))
			text_complain("warning: %s", json_string_value(warning));
	}
	if (!*json_text_at(answer, "Id", NULL))
		return cay_error_set(err, CAY_CORRUPT, EBADMSG,
				     "the daemon's answer has no container's id");
	*ret_id = xstrdup(json_text_at(answer, "Id", NULL));
	return 0;
}

static int pull_for(const struct invocation *invocation, const char *image, struct cay_error *err)
{
	_cleanup_image_name_ struct image_name name = { 0 };
	int r = image_name_for_transfer(image, false, true, &name, err);

	if (r < 0)
		return r;
	return pull_image(invocation->client, &name, option_text(invocation->options, "platform"),
			  STDERR_FILENO, option_flag(invocation->options, "quiet"), err);
}

/* Creates the container, fetching its image where that is asked for. */
static int create_container(const struct invocation *invocation, const char *image,
			    const json_t *body, char **ret_id, struct cay_error *err)
{
	const char *pull = option_text(invocation->options, "pull");
	int r;

	if (pull && strcmp(pull, "always") == 0) {
		r = pull_for(invocation, image, err);
		if (r < 0)
			return r;
	}
	r = post_create(invocation, body, ret_id, err);
	if (r >= 0 || err->code != CAY_NOT_FOUND || !strcasestr(err->message, "image") ||
	    (pull && strcmp(pull, "missing") != 0))
		return r;
	if (!option_flag(invocation->options, "quiet"))
		text_complain("image %s is not here yet: fetching it", image);
	cay_error_clear(err);
	r = pull_for(invocation, image, err);
	return r < 0 ? r : post_create(invocation, body, ret_id, err);
}

/* The file must be new, so it is made before the container is. */
static int open_cidfile(const struct options *options, int *ret_fd, struct cay_error *err)
{
	const char *path = option_text(options, "cidfile");

	*ret_fd = -1;
	if (!path)
		return 0;
	*ret_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return *ret_fd < 0 ? cay_error_errno(err, errno, "--cidfile %s", path) : 0;
}

static int finish_cidfile(const struct options *options, int fd, const char *id,
			  struct cay_error *err)
{
	const char *path = option_text(options, "cidfile");
	int r;

	if (fd < 0)
		return 0;
	if (!id) {
		(void)unlink(path); /* empty, of a container that was not made */
		return 0;
	}
	r = write_full(fd, id, strlen(id));
	return r < 0 ? cay_error_errno(err, r, "writing %s", path) : 0;
}

/* From the options to a container that exists; what create and run have in common. */
static int make_container(const struct invocation *invocation,
			  const struct request_streams *streams, bool detach, char **ret_id,
			  struct cay_error *err)
{
	const char *image = invocation->operands[0];
	_cleanup_json_ json_t *body = NULL;
	_cleanup_close_ int cidfile = -1;
	_cleanup_free_ char *id = NULL;
	int r = request_build(invocation->options, image, invocation->operands + 1, streams, detach,
			      &body, err);

	if (r >= 0)
		r = open_cidfile(invocation->options, &cidfile, err);
	if (r < 0)
		return r;
	r = create_container(invocation, image, body, &id, err);
	if (r < 0)
		(void)finish_cidfile(invocation->options, cidfile, NULL, NULL);
	else
		r = finish_cidfile(invocation->options, cidfile, id, err);
	if (r >= 0)
		*ret_id = TAKE_PTR(id);
	return r;
}

int command_create(const struct invocation *invocation, struct cay_error *err)
{
	struct request_streams streams;
	_cleanup_free_ char *id = NULL;
	int r = request_get_streams(invocation->options, false, &streams, err);

	if (r >= 0)
		r = make_container(invocation, &streams, false, &id, err);
	return r < 0 ? r : text_print_line(id, err);
}

static int start_container(struct client *client, const char *id, struct cay_error *err)
{
	int r = client_call_named(client, "POST", "/containers/%s/start", id, NULL, err);

	if (r < 0 && err->code == CAY_NOT_MODIFIED)
		return 0;
	if (r < 0)
		classify_start_error(err);
	return r;
}

int command_run(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	bool detach = option_flag(options, "detach");
	_cleanup_free_ char *id = NULL;
	struct attachment attachment = {
		.client = invocation->client,
		.tty = option_flag(options, "tty"),
		.start = true,
		.created = true,
		.auto_remove = option_flag(options, "rm"),
		.pass_signals = wants_signals(options),
		.detach_keys = option_text(options, "detach-keys"),
	};
	struct detach_keys keys;
	int r = request_get_streams(options, detach, &attachment.streams, err);

	if (r >= 0)
		r = check_terminal(attachment.tty, attachment.streams.in, err);
	if (r >= 0)
		r = detach_keys_parse(attachment.detach_keys, &keys, err);
	if (r >= 0)
		r = make_container(invocation, &attachment.streams, detach, &id, err);
	if (r < 0)
		return r;
	if (detach) {
		r = start_container(invocation->client, id, err);
		if (r < 0)
			remove_quietly(invocation->client, id, REMOVE_WAIT_MS);
		return r < 0 ? r : text_print_line(id, err);
	}
	attachment.id = id;
	return attachment_run(&attachment, err);
}

static int start_one(const struct invocation *invocation, const char *name, struct cay_error *err)
{
	return start_container(invocation->client, name, err);
}

/* What the container's own configuration says about its streams. */
static void read_streams(const json_t *container, bool with_stdin, struct attachment *attachment)
{
	attachment->streams = (struct request_streams){
		.in = with_stdin &&
			json_bool_at(json_object_get(container, "Config"), "OpenStdin", NULL),
		.out = true,
		.err = true,
	};
	attachment->tty = json_bool_at(container, "Config", "Tty");
	attachment->auto_remove = json_bool_at(container, "HostConfig", "AutoRemove");
}

int command_start(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	bool interactive = option_flag(options, "interactive");
	_cleanup_json_ json_t *container = NULL;
	struct attachment attachment = {
		.client = invocation->client,
		.start = true,
		.pass_signals = wants_signals(options),
		.detach_keys = option_text(options, "detach-keys"),
	};
	int r;

	if (!interactive && !option_flag(options, "attach"))
		return each_operand(invocation, start_one, true);
	if (invocation->operand_count > 1)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "only one container can be started and attached to");
	r = container_inspect(invocation->client, invocation->operands[0], &container, err);
	if (r < 0)
		return r;
	read_streams(container, interactive, &attachment);
	attachment.id = json_text_at(container, "Id", NULL);
	r = check_terminal(attachment.tty, attachment.streams.in, err);
	return r < 0 ? r : attachment_run(&attachment, err);
}

int command_attach(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *name = invocation->operands[0];
	_cleanup_json_ json_t *container = NULL;
	struct attachment attachment = {
		.client = invocation->client,
		.pass_signals = wants_signals(options),
		.detach_keys = option_text(options, "detach-keys"),
	};
	int r = container_inspect(invocation->client, name, &container, err);

	if (r < 0)
		return r;
	if (!json_bool_at(container, "State", "Running"))
		return cay_error_set(err, CAY_CONFLICT, ESRCH,
				     "container %s does not run; \"cay start -ai\" starts it",
				     name);
	if (json_bool_at(container, "State", "Paused"))
		return cay_error_set(err, CAY_CONFLICT, EBUSY,
				     "container %s is paused; \"cay unpause\" lets it go on", name);
	read_streams(container, !option_flag(options, "no-stdin"), &attachment);
	attachment.id = json_text_at(container, "Id", NULL);
	r = check_terminal(attachment.tty, attachment.streams.in, err);
	return r < 0 ? r : attachment_run(&attachment, err);
}
