/* SPDX-License-Identifier: Apache-2.0 */
/* Platforms: parsing, the names that stand for others, and which image fits which host. */
#include "image/platform.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <sys/utsname.h>

enum { PART_MAX = 64, MATCH_EXACT = 100, MATCH_UNSAID = 50 };

void platform_done(struct platform *platform)
{
	free(platform->os);
	free(platform->architecture);
	free(platform->variant);
	*platform = (struct platform){ 0 };
}

/* Kernels', distributions' and older names for what Go calls otherwise. */
static const struct {
	const char *alias, *architecture, *variant;
} aliases[] = {
	{ "x86_64", "amd64", NULL },    { "x86-64", "amd64", NULL }, { "aarch64", "arm64", NULL },
	{ "armhf", "arm", "v7" },       { "armel", "arm", "v6" },    { "armv7l", "arm", "v7" },
	{ "armv6l", "arm", "v6" },      { "i386", "386", NULL },     { "i686", "386", NULL },
	{ "ppc64el", "ppc64le", NULL },
};

/* What a variant that is not said, or said in another way, means. */
static void normalize(struct platform *platform)
{
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++) {
		if (strcmp(platform->architecture, aliases[i].alias) != 0)
			continue;
		replace_string(&platform->architecture, aliases[i].architecture);
		if (!platform->variant && aliases[i].variant)
			replace_string(&platform->variant, aliases[i].variant);
		break;
	}
	if (platform->variant && isdigit((unsigned char)platform->variant[0])) {
		char *with_v = xasprintf("v%s", platform->variant);

		free(platform->variant);
		platform->variant = with_v;
	}
	if (!platform->variant)
		return;
	if ((strcmp(platform->architecture, "arm64") == 0 &&
	     strcmp(platform->variant, "v8") == 0) ||
	    (strcmp(platform->architecture, "amd64") == 0 &&
	     strcmp(platform->variant, "v1") == 0) ||
	    platform->variant[0] == '\0')
		replace_string(&platform->variant, NULL);
}

void platform_copy(struct platform *to, const struct platform *from)
{
	to->os = xstrdup(from->os);
	to->architecture = xstrdup(from->architecture);
	to->variant = xstrdup(from->variant);
}

static bool part_is_valid(struct str part)
{
	if (part.length == 0 || part.length > PART_MAX)
		return false;
	for (size_t i = 0; i < part.length; i++)
		if (!isalnum((unsigned char)part.data[i]) && !strchr("_.-", part.data[i]))
			return false;
	return true;
}

int platform_parse(const char *text, struct platform *ret_platform, struct cay_error *err)
{
	_cleanup_platform_ struct platform platform = { 0 };
	struct str os, architecture, variant, rest;
	struct utsname host;

	if (!text) {
		if (uname(&host) < 0)
			return cay_error_errno(err, errno, "asking for the host's architecture");
		platform.os = xstrdup("linux");
		platform.architecture = xstrdup(host.machine);
	} else {
		os = str_split(str_from(text), '/', &rest);
		architecture = str_split(rest, '/', &variant);
		if (!part_is_valid(os) || !part_is_valid(architecture) ||
		    (variant.length > 0 && !part_is_valid(variant)))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "bad platform \"%.128s\": it is "
					     "\"os/architecture[/variant]\"",
					     text);
		platform.os = str_dup(os);
		platform.architecture = str_dup(architecture);
		platform.variant = variant.length > 0 ? str_dup(variant) : NULL;
	}
	normalize(&platform);
	*ret_platform = platform;
	platform = (struct platform){ 0 };
	return 0;
}

int platform_read(const json_t *object, struct platform *ret_platform, struct cay_error *err)
{
	_cleanup_platform_ struct platform platform = { 0 };
	int r = json_read_string(object, "os", &platform.os, err);

	if (r == 0)
		r = json_read_string(object, "architecture", &platform.architecture, err);
	if (r == 0)
		r = json_read_string(object, "variant", &platform.variant, err);
	if (r < 0)
		return r;
	if (!platform.os)
		platform.os = xstrdup("");
	if (!platform.architecture)
		platform.architecture = xstrdup("");
	normalize(&platform);
	*ret_platform = platform;
	platform = (struct platform){ 0 };
	return 0;
}

char *platform_format(const struct platform *platform)
{
	return xasprintf("%s/%s%s%s", platform->os, platform->architecture,
			 platform->variant ? "/" : "", platform->variant ? platform->variant : "");
}

/* "v7" as 7; 0 for what is not of this form. */
static unsigned int variant_level(const char *variant)
{
	return variant && variant[0] == 'v' && isdigit((unsigned char)variant[1]) &&
			variant[2] == '\0'
		? (unsigned int)(variant[1] - '0')
		: 0;
}

unsigned int platform_match(const struct platform *wanted, const struct platform *offered)
{
	const bool arm = strcmp(wanted->architecture, "arm") == 0;
	/* "arm" alone has always meant version 7 to those who build images. */
	const char *want = wanted->variant ? wanted->variant : arm ? "v7" : "";
	const char *offer = offered->variant ? offered->variant : arm ? "v7" : "";

	if (strcmp(wanted->os, offered->os) != 0 ||
	    strcmp(wanted->architecture, offered->architecture) != 0)
		return 0;
	if (strcmp(want, offer) == 0)
		return MATCH_EXACT;
	if (arm && variant_level(offer) > 0 && variant_level(offer) < variant_level(want))
		return variant_level(offer);
	/* The common form serves where a special one was asked for; not the other way round. */
	return offer[0] == '\0' ? MATCH_UNSAID : 0;
}
