/* SPDX-License-Identifier: Apache-2.0 */
/* The options about names: the container's own, others' in its hosts file, and who is asked. */
#include "cli/request.h"

#include "base/alloc.h"
#include "cli/address.h"

#include <ctype.h>
#include <errno.h>
#include <sys/socket.h>

enum { DOMAIN_MAX = 253, LABEL_MAX = 63 };

static int invalid(struct cay_error *err, const char *option, const char *value, const char *wanted)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "--%s: \"%s\" is not %s", option, value,
			     wanted);
}

/*
 * "HOST:IP" or "HOST=IP"; an IPv6 address has colons of its own, so the first one counts, and may
 * stand in brackets.
 */
static int add_hosts(const struct options *options, json_t *host, struct cay_error *err)
{
	const struct strv *list = option_list(options, "add-host");
	_cleanup_strv_ struct strv all = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		size_t name = strcspn(list->items[i], ":=");
		struct str address = str_from(list->items[i] + name);
		_cleanup_free_ char *text = NULL;

		if (name == 0 || address.length < 2)
			return invalid(err, "add-host", list->items[i], "of the form HOST:IP");
		address.data++;
		address.length--;
		if (address.data[0] == '[' && address.data[address.length - 1] == ']') {
			address.data++;
			address.length -= 2;
		}
		text = str_dup(address);
		if (strcmp(text, "host-gateway") != 0 && !address_is_valid(AF_UNSPEC, text))
			return invalid(err, "add-host", list->items[i],
				       "of the form HOST:IP, with an IP address or host-gateway");
		strv_addf(&all, "%.*s:%s", (int)name, list->items[i], text);
	}
	if (all.count > 0)
		json_set(host, "ExtraHosts", json_from_strv(&all));
	return 0;
}

/* Letters, digits and hyphens in labels with dots between them; a dot alone: no domain at all. */
static bool is_domain(const char *text)
{
	struct str rest = str_from(text);

	if (strcmp(text, ".") == 0)
		return true;
	if (rest.length == 0 || rest.length > DOMAIN_MAX)
		return false;
	while (rest.length > 0) {
		struct str label = str_split(rest, '.', &rest);

		if (label.length == 0 || label.length > LABEL_MAX || label.data[0] == '-' ||
		    label.data[label.length - 1] == '-')
			return false;
		for (size_t i = 0; i < label.length; i++)
			if (!isalnum((unsigned char)label.data[i]) && label.data[i] != '-')
				return false;
	}
	return true;
}

static bool is_server(const char *text)
{
	return address_is_valid(AF_UNSPEC, text);
}

/* An option of resolv.conf, which must stay one word of one line. */
static bool is_word(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isgraph((unsigned char)*text))
			return false;
	return true;
}

static const struct {
	const char *option, *key;
	bool (*is_valid)(const char *text);
	const char *wanted;
} lists[] = {
	{ "dns", "Dns", is_server, "an IP address" },
	{ "dns-option", "DnsOptions", is_word, "an option of resolv.conf" },
	{ "dns-search", "DnsSearch", is_domain, "a domain" },
};

int request_add_names(const struct options *options, json_t *body, json_t *host,
		      struct cay_error *err)
{
	if (option_given(options, "hostname"))
		json_set_string(body, "Hostname", option_text(options, "hostname"));
	if (option_given(options, "domainname"))
		json_set_string(body, "Domainname", option_text(options, "domainname"));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct strv *list = option_list(options, lists[i].option);

		for (size_t j = 0; j < list->count; j++)
			if (!lists[i].is_valid(list->items[j]))
				return invalid(err, lists[i].option, list->items[j],
					       lists[i].wanted);
		if (list->count > 0)
			json_set(host, lists[i].key, json_from_strv(list));
	}
	return add_hosts(options, host, err);
}
