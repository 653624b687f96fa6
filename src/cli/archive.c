/* SPDX-License-Identifier: Apache-2.0 */
/* save, load, export and import: images and containers to archives and back. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/lexical.h"
#include "cli/output-file.h"
#include "cli/progress.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

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

const struct option export_options[] = {
	{ 'o', OPTION_TEXT, "output", "FILE", NULL, "Write this file, not standard output" },
	{ 0 },
};

const struct option import_options[] = {
	{ 'c', OPTION_LIST, "change", "INSTRUCTION", NULL,
	  "Change the image by a line of a Dockerfile, such as 'CMD [\"sh\"]'" },
	{ 'm', OPTION_TEXT, "message", "TEXT", NULL, "Where it comes from" },
	{ 0, OPTION_TEXT, "platform", "OS/ARCH", NULL, "What the files are for" },
	{ 0 },
};

/* A place that can't be is told before the daemon does its work. */
static int check_directory(const char *path, struct cay_error *err)
{
	_cleanup_free_ char *directory = lexical_directory(path);
	struct stat status;

	if (stat(directory, &status) < 0)
		return cay_error_errno(err, errno, "invalid output path: %s", directory);
	return 0;
}

/* The archive that the target stands for, to a file, or for NULL to standard output. */
static int download(struct client *client, const struct target *target, const char *path,
		    struct cay_error *err)
{
	_cleanup_output_file_ struct output_file file = { .fd = -1 };
	_cleanup_(call_free_p) struct call *call = NULL;
	const struct call_spec spec = { .method = "GET", .target = target, .body_fd = -1 };
	int r;

	if (!path && isatty(STDOUT_FILENO))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "standard output is a terminal; name a file with -o FILE or "
				     "redirect it");
	r = path ? check_directory(path, err) : 0;
	if (r >= 0)
		r = call_open(client, &spec, &call, err);
	if (r >= 0) /* no file is made for what is refused */
		r = call_wait_head(call, err);
	if (r >= 0 && path)
		r = output_file_open(path, &file, err);
	if (r >= 0)
		r = call_copy_body(call, path ? file.fd : STDOUT_FILENO,
				   path ? path : "standard output", err);
	return r < 0 || !path ? r : output_file_finish(&file, err);
}

int command_save(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_target_ struct target target = { 0 };
	int r;

	target_set(&target, "/images/get", NULL, NULL);
	for (size_t i = 0; i < invocation->operand_count; i++)
		target_add(&target, "names", invocation->operands[i]);
	r = target_add_platform(&target, option_text(options, "platform"), err);
	return r < 0 ? r
		     : download(invocation->client, &target, option_text(options, "output"), err);
}

int command_export(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };

	target_set(&target, "/containers/%s/export", invocation->operands[0], NULL);
	return download(invocation->client, &target, option_text(invocation->options, "output"),
			err);
}

/* Opens what is to be sent; NULL is standard input, which must not be a terminal. */
static int open_input(const char *path, const char *remedy, int *ret_owned, int *ret_fd,
		      struct cay_error *err)
{
	if (!path && isatty(STDIN_FILENO))
		return cay_error_set(err, CAY_INVALID, EINVAL, "standard input is a terminal; %s",
				     remedy);
	if (path) {
		*ret_owned = open(path, O_RDONLY | O_CLOEXEC);
		if (*ret_owned < 0)
			return cay_error_errno(err, errno, "opening %s", path);
	}
	*ret_fd = path ? *ret_owned : STDIN_FILENO;
	return 0;
}

static int upload(struct client *client, const struct call_spec *spec, struct cay_error *err)
{
	_cleanup_(progress_free_p) struct progress *progress = NULL;
	_cleanup_(call_free_p) struct call *call = NULL;
	int r = call_open(client, spec, &call, err);

	if (r < 0)
		return r;
	progress_open_for(STDOUT_FILENO, &progress);
	return client_stream_json(call, progress_each, progress, err);
}

int command_load(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };
	_cleanup_close_ int file = -1;
	struct call_spec spec = { .method = "POST", .target = &target };
	int r = open_input(option_text(invocation->options, "input"),
			   "name the archive with -i FILE", &file, &spec.body_fd, err);

	if (r < 0)
		return r;
	target_set(&target, "/images/load", NULL, NULL);
	if (option_flag(invocation->options, "quiet"))
		target_add(&target, "quiet", "1");
	return upload(invocation->client, &spec, err);
}

int command_import(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const struct strv *changes = option_list(options, "change");
	const char *source = invocation->operands[0], *message = option_text(options, "message");
	const char *platform = option_text(options, "platform");
	bool url = starts_with(source, "http://") || starts_with(source, "https://");
	_cleanup_target_ struct target target = { 0 };
	_cleanup_close_ int file = -1;
	struct call_spec spec = { .method = "POST", .target = &target, .body_fd = -1 };
	int r = 0;

	if (!url)
		r = open_input(strcmp(source, "-") == 0 ? NULL : source,
			       "redirect it from an archive", &file, &spec.body_fd, err);
	if (r < 0)
		return r;
	target_set(&target, "/images/create", NULL, NULL);
	target_add(&target, "fromSrc", url ? source : "-");
	if (invocation->operand_count > 1)
		target_add(&target, "repo", invocation->operands[1]);
	if (message)
		target_add(&target, "message", message);
	if (platform)
		target_add(&target, "platform", platform);
	for (size_t i = 0; i < changes->count; i++)
		target_add(&target, "changes", changes->items[i]);
	return upload(invocation->client, &spec, err);
}
