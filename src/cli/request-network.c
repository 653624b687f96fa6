/* SPDX-License-Identifier: Apache-2.0 */
/* The options that say which networks a container is on, and as what. */
#include "cli/request.h"

#include "base/alloc.h"
#include "cli/endpoint.h"
#include "cli/words.h"

#include <errno.h>

/* Options for the first network, and the field each stands for. */
static const struct {
	const char *option, *field;
	bool list;
} settings[] = {
	{ "ip", "ip", false },
	{ "ip6", "ip6", false },
	{ "mac-address", "mac-address", false },
	{ "network-alias", "alias", true },
};

/* "NAME", or "name=NAME" with fields of its endpoint. The caller frees *ret_name. */
static int parse_network(const char *text, json_t *endpoint, char **ret_name, struct cay_error *err)
{
	_cleanup_strv_ struct strv words = { 0 };
	_cleanup_free_ char *name = NULL;

	if (!strchr(text, '='))
		name = xstrdup(text);
	else if (words_split(text, &words, err) < 0)
		return cay_error_prefix(err, "--network");
	for (size_t i = 0; i < words.count; i++) {
		struct str value, key = str_split(str_from(words.items[i]), '=', &value);
		_cleanup_free_ char *field = str_dup(key);
		int r = 0;

		if (key.length == strlen(words.items[i]))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--network: \"%s\" is not of the form KEY=VALUE",
					     words.items[i]);
		if (strcmp(field, "name") == 0)
			replace_string(&name, value.data);
		else
			r = endpoint_set(endpoint, field, value.data, "network", err);
		if (r < 0)
			return r;
	}
	if (!name || !*name)
		return cay_error_set(err, CAY_INVALID, EINVAL, "--network: \"%s\" names no network",
				     text);
	*ret_name = TAKE_PTR(name);
	return 0;
}

/* What stands for an arrangement of its own, not for a network to be on beside others. */
static bool is_arrangement(const char *name)
{
	return strcmp(name, "none") == 0 || strcmp(name, "host") == 0 ||
		starts_with(name, "container:");
}

/* The options that belong to the first network, which its long form may have said already. */
static int add_settings(const struct options *options, json_t *endpoint, struct cay_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const char *option = settings[i].option, *field = settings[i].field;
		int r = 0;

		if (!option_given(options, option))
			continue;
		if (endpoint_has(endpoint, field))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--%s and %s= in --network exclude each other", option,
					     field);
		if (!settings[i].list)
			r = endpoint_set(endpoint, field, option_text(options, option), option,
					 err);
		for (size_t j = 0; settings[i].list && r >= 0; j++) {
			const struct strv *list = option_list(options, option);

			if (j == list->count)
				break;
			r = endpoint_set(endpoint, field, list->items[j], option, err);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_network(const char *text, json_t *endpoints, json_t *host, struct cay_error *err)
{
	const char *first = json_string_value(json_object_get(host, "NetworkMode"));
	_cleanup_json_ json_t *endpoint = json_object();
	_cleanup_free_ char *name = NULL;
	int r = parse_network(text, endpoint, &name, err);

	if (r < 0)
		return r;
	if (!first)
		json_set_string(host, "NetworkMode", name);
	else if (is_arrangement(name) || is_arrangement(first))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--network: %s excludes other networks",
				     is_arrangement(name) ? name : first);
	if (json_object_get(endpoints, name))
		return cay_error_set(err, CAY_INVALID, EINVAL, "--network: %s is named twice",
				     name);
	if (json_object_set(endpoints, name, endpoint) < 0)
		return cay_error_set(err, CAY_INVALID, EILSEQ, "--network: \"%s\" is not UTF-8",
				     name);
	return 0;
}

int request_add_network(const struct options *options, json_t *body, json_t *host,
			struct cay_error *err)
{
	const struct strv *networks = option_list(options, "network");
	_cleanup_json_ json_t *endpoints = json_object();
	const char *first;
	json_t *endpoint;
	int r;

	if (option_given(options, "link"))
		return endpoint_refuse_link(err);
	for (size_t i = 0; i < networks->count; i++) {
		r = add_network(networks->items[i], endpoints, host, err);
		if (r < 0)
			return r;
	}
	/* Without a --network it is the daemon's default one, which is "default" to the API. */
	first = json_string_value(json_object_get(host, "NetworkMode"));
	if (!first) {
		first = "default";
		json_set(endpoints, first, json_object());
	}
	endpoint = json_object_get(endpoints, first);
	r = add_settings(options, endpoint, err);
	if (r < 0)
		return r;
	if (json_object_size(endpoints) > 1 || json_object_size(endpoint) > 0)
		json_set(body, "NetworkingConfig",
			 json_pack("{s:O}", "EndpointsConfig", endpoints));
	return 0;
}
