/* SPDX-License-Identifier: Apache-2.0 */
/* logs: what a container wrote, or what its virtual machine said as it booted. */
#include "cli/commands.h"

#include "base/file.h"
#include "cli/stream.h"
#include "cli/text.h"

#include <errno.h>

const struct option logs_options[] = {
	{ 0, OPTION_FLAG, "boot", NULL, NULL, "Show the boot of the container's virtual machine" },
	{ 'f', OPTION_FLAG, "follow", NULL, NULL, "Go on with what is written from now on" },
	{ 0, OPTION_TEXT, "since", "TIME", NULL,
	  "Only what was written since, as a date or a span such as 10m" },
	{ 'n', OPTION_TEXT, "tail", "NUMBER", NULL, "Only so many lines from the end, or all" },
	{ 't', OPTION_FLAG, "timestamps", NULL, NULL, "Show when each line was written" },
	{ 0, OPTION_TEXT, "until", "TIME", NULL, "Only what was written before" },
	{ 0 },
};

static int set_target(const struct options *options, const char *id, struct target *target,
		      struct cay_error *err)
{
	const char *tail = option_text(options, "tail");
	uint64_t lines;
	int r;

	target_set(target, "/containers/%s/logs", id, NULL);
	target_add(target, "stdout", "1");
	target_add(target, "stderr", "1");
	if (option_flag(options, "follow"))
		target_add(target, "follow", "1");
	if (option_flag(options, "timestamps"))
		target_add(target, "timestamps", "1");
	if (tail) {
		if (strcmp(tail, "all") != 0 && parse_u64(tail, INT64_MAX, &lines) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--tail: \"%s\" is not a number of lines, or all",
					     tail);
		target_add(target, "tail", tail);
	}
	r = target_add_moment(target, "since", option_text(options, "since"), err);
	return r < 0 ? r : target_add_moment(target, "until", option_text(options, "until"), err);
}

static int write_to(int fd, const char *data, size_t size, struct cay_error *err)
{
	int r = write_full(fd, data, size);

	return r < 0 ? cay_error_errno(err, r, "writing the log") : 0;
}

/* Copies the answer's body to standard output, and its framed form to both outputs. */
static int copy_log(struct call *call, bool framed, struct cay_error *err)
{
	struct stream_decoder decoder = { 0 };
	_cleanup_buf_ struct buf data = { 0 };
	int r = call_wait_head(call, err);

	while (r >= 0 && (r = call_read(call, &data, err)) > 0) {
		struct str input = { data.data, data.length };

		if (!framed)
			r = write_to(STDOUT_FILENO, data.data, data.length, err);
		while (framed && r >= 0 && input.length > 0) {
			enum stream_channel channel;
			struct str piece;

			r = stream_decode(&decoder, &input, &channel, &piece, err);
			if (r >= 0)
				r = write_to(channel >= STREAM_STDERR ? STDERR_FILENO
								      : STDOUT_FILENO,
					     piece.data, piece.length, err);
		}
	}
	if (r >= 0 && !stream_is_whole(&decoder))
		return cay_error_set(err, CAY_UNAVAILABLE, ECONNRESET,
				     "the daemon's answer was cut short");
	return r;
}

int command_logs(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *name = invocation->operands[0];
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_json_ json_t *container = NULL;
	_cleanup_target_ struct target target = { 0 };
	const struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };
	bool framed = false;
	int r;

	if (option_flag(options, "boot")) {
		target_set(&target, "/cay/v1/containers/%s/bootlog", name, NULL);
	} else {
		r = container_inspect(invocation->client, name, &container, err);
		if (r >= 0)
			r = set_target(options, json_text_at(container, "Id", NULL), &target, err);
		if (r < 0)
			return r;
		framed = !json_bool_at(container, "Config", "Tty");
	}
	r = call_open(invocation->client, &spec, &call, err);
	return r < 0 ? r : copy_log(call, framed, err);
}
