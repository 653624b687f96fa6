/* SPDX-License-Identifier: Apache-2.0 */
/* pull and load: images that come in. */
#include "cli/pull.h"

#include "base/alloc.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/text.h"

#include <errno.h>
#include <fcntl.h>

const struct option pull_options[] = {
	{ 0, OPTION_TEXT, "platform", "OS/ARCH", NULL, "Choose among the image's platforms" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only print the image's name at the end" },
	{ 0 },
};

const struct option load_options[] = {
	{ 'i', OPTION_TEXT, "input", "FILE", NULL, "Read this file, not standard input" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Don't show the progress" },
	{ 0 },
};

/* Where the tag or digest begins: behind '@', or behind a ':' that follows the last '/'. */
static size_t name_length(const char *image)
{
	const char *digest = strchr(image, '@'), *slash = strrchr(image, '/');
	const char *colon = strchr(slash ? slash : image, ':');

	if (digest)
		return (size_t)(digest - image);
	return colon ? (size_t)(colon - image) : strlen(image);
}

char *image_full_name(const char *image)
{
	size_t first = strcspn(image, "/"), length = name_length(image);
	bool with_host = image[first] == '/' &&
		(memchr(image, '.', first) || memchr(image, ':', first) ||
		 strncmp(image, "localhost/", first + 1) == 0);
	const char *prefix = with_host ? ""
		: image[first] == '/'  ? "docker.io/"
				       : "docker.io/library/";

	return xasprintf("%s%s%s", prefix, image, image[length] ? "" : ":latest");
}

static int ignore_unless_error(void *context, const json_t *message, struct cay_error *err)
{
	_cleanup_buf_ struct buf unused = { 0 };

	return progress_render(context, message, &unused, err);
}

int pull_image(struct client *client, const char *image, const char *platform, int fd, bool quiet,
	       struct cay_error *err)
{
	size_t length = name_length(image);
	const char *rest = image + length;
	_cleanup_free_ char *name = xstrndup(image, length);
	_cleanup_(progress_free_p) struct progress *progress = NULL;
	_cleanup_(call_free_p) struct call *call = NULL;
	_cleanup_target_ struct target target = { 0 };
	const struct call_spec spec = { .method = "POST", .target = &target, .body_fd = -1 };
	int r;

	/* The API takes a tag or a digest; where an image has both, the digest decides. */
	target_set(&target, "/images/create", NULL, NULL);
	target_add(&target, "fromImage", name);
	target_add(&target, "tag", *rest ? rest + 1 : "latest");
	if (platform)
		target_add(&target, "platform", platform);
	r = call_open(client, &spec, &call, err);
	if (r < 0)
		return r;
	progress_open_for(fd, &progress);
	return client_stream_json(call, quiet ? ignore_unless_error : progress_each, progress, err);
}

int command_pull(const struct invocation *invocation, struct cay_error *err)
{
	const char *image = invocation->operands[0];
	_cleanup_free_ char *full = image_full_name(image);
	int r = pull_image(invocation->client, image, option_text(invocation->options, "platform"),
			   STDOUT_FILENO, option_flag(invocation->options, "quiet"), err);

	if (r < 0)
		return strstr(err->message, image) ? r : cay_error_prefix(err, "pulling %s", image);
	return text_print_line(full, err);
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
