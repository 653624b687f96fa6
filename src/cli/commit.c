/* SPDX-License-Identifier: Apache-2.0 */
/* commit and diff: what a container has changed, as an image and as a list. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/image-name.h"
#include "cli/text.h"

#include <errno.h>

const struct option commit_options[] = {
	{ 'a', OPTION_TEXT, "author", "NAME", NULL, "Who the image is by" },
	{ 'c', OPTION_LIST, "change", "INSTRUCTION", NULL,
	  "Change the image by a line of a Dockerfile, such as 'CMD [\"sh\"]'" },
	{ 'm', OPTION_TEXT, "message", "TEXT", NULL, "Why it was made" },
	{ 'p', OPTION_FLAG, "pause", NULL, NULL,
	  "Halt the container meanwhile (the default; --pause=false lets it run)" },
	{ 0 },
};

int command_commit(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const struct strv *changes = option_list(options, "change");
	const char *author = option_text(options, "author");
	const char *message = option_text(options, "message");
	_cleanup_image_name_ struct image_name name = { 0 };
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *answer = NULL;
	int r;

	target_set(&target, "/commit", NULL, NULL);
	target_add(&target, "container", invocation->operands[0]);
	if (invocation->operand_count > 1) {
		_cleanup_free_ char *repository = NULL;

		image_name_split(invocation->operands[1], &name);
		if (name.digest)
			return cay_error_set(err, CAY_CONFLICT, EINVAL,
					     "refusing to create a tag with a digest reference");
		repository = image_name_expand(name.name);
		target_add(&target, "repo", repository);
		target_add(&target, "tag", name.tag ? name.tag : "latest");
	}
	if (author)
		target_add(&target, "author", author);
	if (message)
		target_add(&target, "comment", message);
	for (size_t i = 0; i < changes->count; i++)
		target_add(&target, "changes", changes->items[i]);
	if (option_given(options, "pause") && !option_flag(options, "pause"))
		target_add(&target, "pause", "0");
	r = client_call(invocation->client, "POST", &target, NULL, &answer, err);
	return r < 0 ? r : text_print_line(json_text_at(answer, "Id", NULL), err);
}

int command_diff(const struct invocation *invocation, struct cay_error *err)
{
	static const char letters[] = { 'C', 'A', 'D' }; /* by the API's numbers */
	_cleanup_json_ json_t *list = NULL;
	_cleanup_buf_ struct buf out = { 0 };
	const json_t *item;
	size_t index;
	int r = client_call_named(invocation->client, "GET", "/containers/%s/changes",
				  invocation->operands[0], &list, err);

	if (r < 0)
		return r;
	json_array_foreach(list, index, item) {
		_cleanup_free_ char *path = xstrdup(json_text_at(item, "Path", NULL));
		int64_t kind = json_int_at(item, "Kind", NULL);

		text_make_safe(path, false);
		if (kind >= 0 && kind < (int64_t)ARRAY_SIZE(letters))
			buf_printf(&out, "%c %s\n", letters[kind], path);
	}
	return text_print(&out, err);
}
