/* SPDX-License-Identifier: Apache-2.0 */
/* The proxies of the environment. */
#include "image/proxy.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "image/address.h"

#include <strings.h>

/* The value of either variable, NULL where both are unset or empty. */
static const char *either(const char *name, const char *other)
{
	const char *value = getenv(name);

	if (!value || !*value)
		value = getenv(other);
	return value && *value ? value : NULL;
}

/* "a.example" for itself and what is below it; ".a.example", "*.a.example" only for the latter. */
static bool domain_matches(const char *host, const char *pattern)
{
	const size_t host_length = strlen(host);
	const bool below_only = pattern[0] == '.' || starts_with(pattern, "*.");
	size_t length;

	pattern += starts_with(pattern, "*.") ? 2 : pattern[0] == '.' ? 1 : 0;
	length = strlen(pattern);
	if (length == 0 || length > host_length)
		return false;
	if (strcasecmp(host + host_length - length, pattern) != 0)
		return false;
	return host_length == length ? !below_only : host[host_length - length - 1] == '.';
}

/* One entry of NO_PROXY. */
static bool entry_matches(const struct url *url, char *entry)
{
	char *colon = strrchr(entry, ':');
	size_t length;

	if (strcmp(entry, "*") == 0)
		return true;
	if (address_in_network(url->host, entry))
		return true;
	/* A port, unless it is an IPv6 address without brackets. */
	if (colon && (strchr(entry, ':') == colon || colon[-1] == ']')) {
		if (strcmp(colon + 1, url->port) != 0)
			return false;
		*colon = '\0';
	}
	length = strlen(entry);
	if (entry[0] == '[' && entry[length - 1] == ']') {
		entry[length - 1] = '\0';
		entry++;
	}
	return address_in_network(url->host, entry) || domain_matches(url->host, entry);
}

static bool is_exempt(const struct url *url)
{
	struct str rest = str_from(either("NO_PROXY", "no_proxy"));
	bool exempt = false;

	while (rest.length > 0 && !exempt) {
		_cleanup_free_ char *entry = str_dup(str_strip(str_split(rest, ',', &rest), " "));

		exempt = entry[0] && entry_matches(url, entry);
	}
	return exempt;
}

char *proxy_for(const char *text)
{
	_cleanup_url_ struct url url = { 0 };
	const char *proxy;

	if (url_parse(text, &url, NULL) < 0 || url_is_local(&url))
		return NULL;
	proxy = url.https ? either("HTTPS_PROXY", "https_proxy")
			  : either("HTTP_PROXY", "http_proxy");
	return proxy && !is_exempt(&url) ? xstrdup(proxy) : NULL;
}

char *proxy_shown(const char *name, const char *other)
{
	const char *value = either(name, other), *start, *at;

	if (!value)
		return xstrdup("");
	start = strstr(value, "://");
	start = start ? start + 3 : value;
	at = strrchr(start, '@');
	return at ? xasprintf("%.*sxxxxx:xxxxx%s", (int)(start - value), value, at)
		  : xstrdup(value);
}
