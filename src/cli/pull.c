/* SPDX-License-Identifier: Apache-2.0 */
/* pull and push: images between the daemon and registries. */
#include "cli/pull.h"

#include "base/alloc.h"
#include "base/secret.h"
#include "cli/commands.h"
#include "cli/credentials.h"
#include "cli/progress.h"
#include "cli/text.h"

#include <errno.h>

/* Scripts written for docker say this; cay checks digests, not signatures, in any case. */
#define CONTENT_TRUST \
	{ \
		0, OPTION_FLAG, "disable-content-trust", NULL, NULL, \
			"Accepted for docker's sake: there is no such check" \
	}

const struct option pull_options[] = {
	{ 'a', OPTION_FLAG, "all-tags", NULL, NULL, "Fetch every tag of that name" },
	CONTENT_TRUST,
	{ 0, OPTION_TEXT, "platform", "OS/ARCH", NULL, "Choose among the image's platforms" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only print the image's name at the end" },
	{ 0 },
};

const struct option push_options[] = {
	{ 'a', OPTION_FLAG, "all-tags", NULL, NULL, "Send every tag of that name" },
	CONTENT_TRUST,
	{ 0, OPTION_TEXT, "platform", "OS/ARCH", NULL, "Send only this platform of the image" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only print the image's name at the end" },
	{ 0 },
};

static int ignore_unless_error(void *context, const json_t *message, struct cay_error *err)
{
	_cleanup_buf_ struct buf unused = { 0 };

	return progress_render(context, message, &unused, err);
}

/* The call, its credentials, and its progress to the end. */
static int transfer(struct client *client, const struct target *target, const char *image, int fd,
		    bool quiet, struct cay_error *err)
{
	_cleanup_(progress_free_p) struct progress *progress = NULL;
	_cleanup_secret_ char *header = NULL;
	_cleanup_(call_free_p) struct call *call = NULL;
	struct call_spec spec = { .method = "POST", .target = target, .body_fd = -1 };
	int r = credentials_header(image, &header, err);

	if (r < 0)
		return r;
	spec.auth = header;
	r = call_open(client, &spec, &call, err);
	if (r < 0)
		return r;
	progress_open_for(fd, &progress);
	return client_stream_json(call, quiet ? ignore_unless_error : progress_each, progress, err);
}

int pull_image(struct client *client, const struct image_name *name, const char *platform, int fd,
	       bool quiet, struct cay_error *err)
{
	_cleanup_target_ struct target target = { 0 };

	/* The API takes a tag or a digest; where an image has both, the digest decides. */
	target_set(&target, "/images/create", NULL, NULL);
	target_add(&target, "fromImage", name->name);
	target_add(&target, "tag", name->digest ? name->digest : name->tag ? name->tag : "");
	if (platform)
		target_add(&target, "platform", platform);
	return transfer(client, &target, name->name, fd, quiet, err);
}

static int print_name(const struct image_name *name, struct cay_error *err)
{
	_cleanup_free_ char *full = image_name_expand(name->name);
	_cleanup_free_ char *line =
		xasprintf("%s%s%s%s%s", full, name->tag ? ":" : "", name->tag ? name->tag : "",
			  name->digest ? "@" : "", name->digest ? name->digest : "");

	return text_print_line(line, err);
}

int command_pull(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *image = invocation->operands[0];
	bool quiet = option_flag(options, "quiet");
	_cleanup_image_name_ struct image_name name = { 0 };
	int r = image_name_for_transfer(image, option_flag(options, "all-tags"), quiet, &name, err);

	if (r < 0)
		return r;
	r = pull_image(invocation->client, &name, option_text(options, "platform"), STDOUT_FILENO,
		       quiet, err);
	if (r < 0)
		return strstr(err->message, name.name) ? r
						       : cay_error_prefix(err, "pulling %s", image);
	return print_name(&name, err);
}

int command_push(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *image = invocation->operands[0], *platform = option_text(options, "platform");
	bool quiet = option_flag(options, "quiet");
	_cleanup_image_name_ struct image_name name = { 0 };
	_cleanup_target_ struct target target = { 0 };
	int r = image_name_for_transfer(image, option_flag(options, "all-tags"), quiet, &name, err);

	if (r < 0)
		return r;
	if (name.digest)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "%s: a digest can't be pushed; give the image a tag with "
				     "\"cay tag\"",
				     image);
	target_set(&target, "/images/%s/push", name.name, NULL);
	if (name.tag)
		target_add(&target, "tag", name.tag);
	r = target_add_platform(&target, platform, err);
	if (r >= 0)
		r = transfer(invocation->client, &target, name.name, STDOUT_FILENO, quiet, err);
	if (r < 0)
		return strstr(err->message, name.name) ? r
						       : cay_error_prefix(err, "pushing %s", image);
	return quiet ? print_name(&name, err) : 0;
}
