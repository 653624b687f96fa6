/* SPDX-License-Identifier: Apache-2.0 */
/* Image names: where name, tag and digest begin, and what stands for a name that is not whole. */
#include "cli/image-name.h"

#include "base/alloc.h"
#include "cli/text.h"

#include <ctype.h>
#include <errno.h>

void image_name_split(const char *image, struct image_name *ret_name)
{
	const char *digest = strchr(image, '@');
	_cleanup_free_ char *front =
		digest ? xstrndup(image, (size_t)(digest - image)) : xstrdup(image);
	char *slash = strrchr(front, '/'), *colon = strchr(slash ? slash : front, ':');

	if (colon)
		*colon++ = '\0';
	*ret_name = (struct image_name){ .tag = xstrdup(colon),
					 .digest = xstrdup(digest ? digest + 1 : NULL) };
	ret_name->name = TAKE_PTR(front);
}

void image_name_done(struct image_name *name)
{
	free(name->name);
	free(name->tag);
	free(name->digest);
	*name = (struct image_name){ 0 };
}

int image_name_for_transfer(const char *image, bool all, bool quiet, struct image_name *ret_name,
			    struct cay_error *err)
{
	_cleanup_image_name_ struct image_name name = { 0 };
	int r = 0;

	image_name_split(image, &name);
	if (all && (name.tag || name.digest))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "%s: with --all-tags the name has no tag and no digest",
				     image);
	if (!all && !name.tag && !name.digest) {
		name.tag = xstrdup("latest");
		if (!quiet)
			r = text_print_line("Using default tag: latest", err);
	}
	if (r < 0)
		return r;
	*ret_name = name;
	name = (struct image_name){ 0 };
	return 0;
}

/*
 * A first part is a registry where it looks like a host, as docker decides it; capitals count,
 * since a repository has none. The daemon decides by the same rules (image/ref.c): where the two
 * differed, one registry would get the credentials of another.
 */
char *image_name_expand(const char *image)
{
	size_t first = strcspn(image, "/");
	bool with_host = image[first] == '/' &&
		(memchr(image, '.', first) || memchr(image, ':', first) ||
		 strncmp(image, "localhost/", first + 1) == 0);

	for (size_t i = 0; image[first] == '/' && i < first; i++)
		with_host = with_host || isupper((unsigned char)image[i]);
	if (with_host)
		return xstrdup(image);
	if (image[first] == '/')
		return xasprintf("docker.io/%s", image);
	return xasprintf("docker.io/library/%s", image);
}
