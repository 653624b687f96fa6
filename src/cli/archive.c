/* SPDX-License-Identifier: Apache-2.0 */
/* save and load: images to archives and back. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/file.h"
#include "cli/output-file.h"
#include "cli/progress.h"

#include <errno.h>
#include <fcntl.h>

const struct option save_options[] = {
	{ 'o', OPTION_TEXT, "output", "FILE", NULL, "Write this file, not standard output" },
	{ 0, OPTION_TEXT, "platform", "OS/ARCH", NULL, "Only this platform of the images" },
	{ 0 },
};

const struct option load_options[] = {
	{ 'i', OPTION_TEXT, "input", "FILE", NULL, "Read this file, not standard input" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Don't show the progress" },
	{ 0 },
};

static int write_body(struct call *call, int fd, const char *name, struct cay_error *err)
{
	_cleanup_buf_ struct buf data = { 0 };
	int r = call_wait_head(call, err);

	while (r >= 0 && (r = call_read(call, &data, err)) > 0) {
		r = write_full(fd, data.data, data.length);
		if (r < 0)
			return cay_error_errno(err, r, "writing %s", name);
	}
	return r;
}

int command_save(const struct invocation *invocation, struct cay_error *err)
{
	const char *path = option_text(invocation->options, "output");
	_cleanup_output_file_ struct output_file file = { .fd = -1 };
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_target_ struct target target = { 0 };
	const struct call_spec spec = { .method = "GET", .target = &target, .body_fd = -1 };
	int r;

	if (!path && isatty(STDOUT_FILENO))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "standard output is a terminal; name a file with -o FILE or "
				     "redirect it");
	target_set(&target, "/images/get", NULL, NULL);
	for (size_t i = 0; i < invocation->operand_count; i++)
		target_add(&target, "names", invocation->operands[i]);
	r = target_add_platform(&target, option_text(invocation->options, "platform"), err);
	if (r >= 0)
		r = call_open(invocation->client, &spec, &call, err);
	if (r >= 0) /* no file is made for what is refused */
		r = call_wait_head(call, err);
	if (r >= 0 && path)
		r = output_file_open(path, &file, err);
	if (r >= 0)
		r = write_body(call, path ? file.fd : STDOUT_FILENO,
			       path ? path : "standard output", err);
	return r < 0 || !path ? r : output_file_finish(&file, err);
}

int command_load(const struct invocation *invocation, struct cay_error *err)
{
	const char *path = option_text(invocation->options, "input");
	bool quiet = option_flag(invocation->options, "quiet");
	_cleanup_(progress_free_p) struct progress *progress = NULL;
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_target_ struct target target = { 0 };
	_cleanup_close_ int file = -1;
	struct call_spec spec = { .method = "POST", .target = &target, .body_fd = STDIN_FILENO };
	int r;

	if (path) {
		file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			return cay_error_errno(err, errno, "opening %s", path);
		spec.body_fd = file;
	} else if (isatty(STDIN_FILENO)) {
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "standard input is a terminal; name the archive with -i FILE");
	}
	target_set(&target, "/images/load", NULL, NULL);
	if (quiet)
		target_add(&target, "quiet", "1");
	r = call_open(invocation->client, &spec, &call, err);
	if (r < 0)
		return r;
	progress_open_for(STDOUT_FILENO, &progress);
	return client_stream_json(call, progress_each, progress, err);
}
