/* SPDX-License-Identifier: Apache-2.0 */
/* Image references: the grammar, the defaults, and the short form. */
#include "image/ref.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "image/digest.h"
#include "image/store.h"

#include <ctype.h>
#include <errno.h>

/* The distribution project's own limits. */
enum { NAME_LENGTH_MAX = 255, TAG_LENGTH_MAX = 128, REFERENCE_LENGTH_MAX = 1024 };

#define DEFAULT_REGISTRY "docker.io"
#define LIBRARY          "library/"
#define DIGEST_ALGORITHM "sha256"

void image_ref_done(struct image_ref *ref)
{
	free(ref->registry);
	free(ref->repository);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct image_ref){ 0 };
}

static bool is_lower(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_word(char c)
{
	return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* One piece of a repository's path: lower-case words joined by ".", "_", "__" or dashes. */
static bool component_is_valid(struct str part)
{
	size_t i = 0;

	for (;;) {
		size_t start = i, separator;

		while (i < part.length && is_lower(part.data[i]))
			i++;
		if (i == start)
			return false;
		if (i == part.length)
			return true;
		separator = i;
		while (i < part.length && part.data[i] == part.data[separator])
			i++;
		switch (part.data[separator]) {
		case '.':
			if (i - separator > 1)
				return false;
			break;
		case '_':
			if (i - separator > 2)
				return false;
			break;
		case '-':
			break;
		default:
			return false;
		}
	}
}

static bool path_is_valid(struct str path)
{
	for (;;) {
		struct str rest, part = str_split(path, '/', &rest);

		if (!component_is_valid(part))
			return false;
		if (part.length == path.length)
			return true;
		path = rest;
	}
}

static bool port_is_valid(struct str port)
{
	uint64_t number;

	return str_to_u64(port, 65535, &number) == 0 && number > 0;
}

static bool hostname_is_valid(struct str host)
{
	for (;;) {
		struct str rest, part = str_split(host, '.', &rest);

		if (part.length == 0 || !is_word(part.data[0]) ||
		    !is_word(part.data[part.length - 1]))
			return false;
		for (size_t i = 0; i < part.length; i++)
			if (!is_word(part.data[i]) && part.data[i] != '-')
				return false;
		if (part.length == host.length)
			return true;
		host = rest;
	}
}

static bool registry_is_valid(struct str registry)
{
	struct str rest, host;

	if (registry.length > 0 && registry.data[0] == '[') {
		const char *end = memchr(registry.data, ']', registry.length);
		size_t inside = end ? (size_t)(end - registry.data) - 1 : 0;

		for (size_t i = 1; i <= inside; i++)
			if (!isxdigit((unsigned char)registry.data[i]) && registry.data[i] != ':')
				return false;
		if (inside < 2)
			return false;
		rest = (struct str){ end + 1, registry.length - inside - 2 };
		return rest.length == 0 ||
			(rest.data[0] == ':' &&
			 port_is_valid((struct str){ rest.data + 1, rest.length - 1 }));
	}
	host = str_split(registry, ':', &rest);
	if (host.length < registry.length && !port_is_valid(rest))
		return false;
	return hostname_is_valid(host);
}

static bool tag_is_valid(struct str tag)
{
	if (tag.length == 0 || tag.length > TAG_LENGTH_MAX ||
	    !(is_word(tag.data[0]) || tag.data[0] == '_'))
		return false;
	for (size_t i = 0; i < tag.length; i++)
		if (!is_word(tag.data[i]) && !strchr("_.-", tag.data[i]))
			return false;
	return true;
}

/* The part before the first '/' is a host only if it could not be a repository's name. */
static bool looks_like_registry(struct str first)
{
	if (str_equals(first, "localhost"))
		return true;
	for (size_t i = 0; i < first.length; i++)
		if (strchr(".:[", first.data[i]) || isupper((unsigned char)first.data[i]))
			return true;
	return false;
}

static int refuse(struct cay_error *err, const char *text, const char *why)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "invalid reference format: \"%.256s\": %s",
			     text, why);
}

/* Checks the pieces and stores them. */
static int set_parts(const char *text, struct str registry, struct str path, struct str tag,
		     const char *digest, struct image_ref *ref, struct cay_error *err)
{
	_cleanup_free_ char *whole = NULL;

	if (!registry_is_valid(registry))
		return refuse(err, text, "bad registry host");
	whole = str_dup(path);
	if (!path_is_valid(path)) {
		for (size_t i = 0; i < path.length; i++)
			if (isupper((unsigned char)path.data[i]))
				return refuse(err, text, "repository name must be lowercase");
		return refuse(err, text, "bad repository name");
	}
	if (str_equals(registry, "index.docker.io"))
		registry = STR(DEFAULT_REGISTRY);
	ref->registry = str_dup(registry);
	ref->repository = str_equals(registry, DEFAULT_REGISTRY) && !strchr(whole, '/')
		? xasprintf(LIBRARY "%s", whole)
		: TAKE_PTR(whole);
	if (str_equals(registry, DEFAULT_REGISTRY) &&
	    strcmp(ref->repository, LIBRARY DIGEST_ALGORITHM) == 0)
		return refuse(err, text, "its short form would be taken for an image's id");
	if (strlen(ref->registry) + 1 + strlen(ref->repository) > NAME_LENGTH_MAX)
		return refuse(err, text, "the name is longer than 255 characters");
	if (tag.data) {
		if (!tag_is_valid(tag))
			return refuse(err, text, "bad tag");
		ref->tag = str_dup(tag);
	}
	if (digest) {
		if (!digest_is_valid(digest))
			return refuse(err, text, "bad digest (only sha256 is supported)");
		ref->digest = xstrdup(digest);
	}
	if (!ref->tag && !ref->digest)
		ref->tag = xstrdup("latest");
	return 0;
}

int image_ref_parse(const char *text, struct image_ref *ret_ref, struct cay_error *err)
{
	_cleanup_image_ref_ struct image_ref ref = { 0 };
	struct str name, rest, first, tag = { 0 };
	const char *at, *digest = NULL;
	int r;

	if (text[0] == '\0' || strlen(text) > REFERENCE_LENGTH_MAX)
		return refuse(err, text, "it is empty or too long");
	if (digest_hex_is_valid(text))
		return refuse(err, text, "a repository can't be named by 64 hexadecimal digits");
	at = strchr(text, '@');
	if (at)
		digest = at + 1;
	name = (struct str){ text, at ? (size_t)(at - text) : strlen(text) };
	for (size_t i = name.length; i > 0 && name.data[i - 1] != '/'; i--) {
		if (name.data[i - 1] != ':')
			continue;
		tag = (struct str){ name.data + i, name.length - i };
		name.length = i - 1;
		break;
	}
	first = str_split(name, '/', &rest);
	if (first.length == name.length || !looks_like_registry(first)) {
		first = STR(DEFAULT_REGISTRY);
		rest = name;
	}
	r = set_parts(text, first, rest, tag, digest, &ref, err);
	if (r < 0)
		return r;
	*ret_ref = ref;
	ref = (struct image_ref){ 0 };
	return 0;
}

char *image_ref_name(const struct image_ref *ref)
{
	return xasprintf("%s/%s", ref->registry, ref->repository);
}

char *image_ref_format(const struct image_ref *ref)
{
	return xasprintf("%s/%s%s%s%s%s", ref->registry, ref->repository, ref->tag ? ":" : "",
			 ref->tag ? ref->tag : "", ref->digest ? "@" : "",
			 ref->digest ? ref->digest : "");
}

bool image_ref_is_loopback(const char *registry)
{
	struct str rest, host;

	if (starts_with(registry, "[::1]"))
		return true;
	host = str_split(str_from(registry), ':', &rest);
	if (str_equals(host, "localhost"))
		return true;
	/* 127.0.0.0/8, spelled as four numbers: a host called "127.example.org" is another's. */
	return str_starts(host, "127.") && strspn(host.data, "0123456789.") >= host.length;
}

int image_reference_normalize(const char *reference, char **ret_full, struct cay_error *err)
{
	_cleanup_image_ref_ struct image_ref ref = { 0 };
	int r = image_ref_parse(reference, &ref, err);

	if (r < 0)
		return r;
	*ret_full = image_ref_format(&ref);
	return 0;
}

char *image_reference_familiar(const char *full)
{
	struct str name = str_from(full), first, rest;

	if (!str_starts(name, DEFAULT_REGISTRY "/"))
		return xstrdup(full);
	(void)str_split(name, '/', &name);
	if (str_starts(name, LIBRARY)) {
		(void)str_split(name, '/', &rest);
		if (!memchr(rest.data, '/', rest.length))
			return str_dup(rest);
	}
	/* Without its host the first part of such a name would be taken for one. */
	first = str_split(name, '/', &rest);
	if (first.length < name.length && looks_like_registry(first))
		return xstrdup(full);
	return str_dup(name);
}
