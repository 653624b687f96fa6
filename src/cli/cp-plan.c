/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of cp about paths. */
#include "cli/cp-plan.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "cli/lexical.h"

#include <errno.h>

void cp_side_done(struct cp_side *side)
{
	free(side->path);
	free(side->name);
}

void cp_plan_done(struct cp_plan *plan)
{
	free(plan->directory);
	free(plan->name);
}

void cp_split(const char *argument, char **ret_container, char **ret_path)
{
	const char *colon = strchr(argument, ':');
	bool local = *argument == '/' || *argument == '.' || !colon || colon == argument;

	*ret_container = local ? NULL : xstrndup(argument, (size_t)(colon - argument));
	*ret_path = xstrdup(local ? argument : colon + 1);
}

static bool is_dot(const char *path)
{
	_cleanup_free_ char *base = lexical_base(path);

	return strcmp(base, ".") == 0;
}

static bool asserts_directory(const char *path)
{
	return lexical_ends_with_slash(path) || is_dot(path);
}

/* `path` with a slash or "/." at its end where `original` has one and it has not. */
static char *keep_ending(const char *path, const char *original)
{
	bool dot = is_dot(original) && !is_dot(path);
	bool slash = lexical_ends_with_slash(original);
	struct buf text = { 0 };

	buf_puts(&text, path);
	if ((dot || slash) && !ends_with(buf_text(&text), "/"))
		buf_putc(&text, '/');
	if (dot)
		buf_puts(&text, slash ? "./" : ".");
	return buf_steal(&text);
}

char *cp_absolute(const char *path)
{
	_cleanup_free_ char *absolute = lexical_absolute(path);

	return keep_ending(absolute, path);
}

void cp_split_entry(const char *path, char **ret_directory, char **ret_name)
{
	_cleanup_free_ char *clean = lexical_clean(path);

	if (is_dot(path)) {
		*ret_directory = TAKE_PTR(clean);
		*ret_name = xstrdup(".");
	} else {
		*ret_directory = lexical_directory(clean);
		*ret_name = lexical_base(clean);
	}
}

void cp_set_resolved(struct cp_side *side, const char *path, const char *target)
{
	_cleanup_free_ char *name = lexical_base(path), *other = NULL;
	_cleanup_free_ char *resolved = keep_ending(target, path);

	other = lexical_base(resolved);
	replace_string(&side->path, resolved);
	replace_string(&side->name, strcmp(name, other) == 0 ? NULL : name);
}

char *cp_link_target(const char *path, const char *target)
{
	_cleanup_free_ char *directory = NULL, *name = NULL;

	if (*target == '/')
		return xstrdup(target);
	cp_split_entry(path, &directory, &name);
	return lexical_join(directory, target);
}

int cp_make_plan(const struct cp_side *source, const struct cp_side *destination,
		 struct cp_plan *ret_plan, struct cay_error *err)
{
	_cleanup_free_ char *directory = NULL, *name = NULL;

	if (destination->exists && destination->directory) {
		*ret_plan = (struct cp_plan){ .directory = xstrdup(destination->path) };
		return 0;
	}
	if (destination->exists && source->directory)
		return cay_error_set(err, CAY_CONFLICT, ENOTDIR,
				     "cannot copy directory %s to %s, which is no directory",
				     source->path, destination->path);
	if (!destination->exists && !source->directory && asserts_directory(destination->path))
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "no such directory: %s",
				     *destination->path ? destination->path : "\"\"");
	cp_split_entry(destination->path, &directory, &name);
	*ret_plan = (struct cp_plan){ .directory = TAKE_PTR(directory), .name = TAKE_PTR(name) };
	return 0;
}
