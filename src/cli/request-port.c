/* SPDX-License-Identifier: Apache-2.0 */
/* The options that publish ports. */
#include "cli/request.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "cli/address.h"
#include "cli/words.h"

#include <errno.h>
#include <sys/socket.h>

struct port_range {
	unsigned int first, last;
};

static int invalid_port(struct cay_error *err, const char *option, const char *text)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "--%s: \"%s\" is not %s", option, text,
			     strcmp(option, "expose") == 0
				     ? "of the form PORT[-PORT][/PROTOCOL]"
				     : "of the form [[IP:]PORT:]PORT[/PROTOCOL]");
}

/* "80" or "80-90" */
static int parse_range(struct str text, unsigned int min, struct port_range *ret_range)
{
	struct str last, first = str_split(text, '-', &last);
	uint64_t a, b;

	if (str_to_u64(first, 65535, &a) < 0)
		return -EINVAL;
	b = a;
	if (first.length < text.length && str_to_u64(last, 65535, &b) < 0)
		return -EINVAL;
	if (a < min || b < a)
		return -EINVAL;
	*ret_range = (struct port_range){ (unsigned int)a, (unsigned int)b };
	return 0;
}

/* Splits "/udp" off the end; "tcp" without one. */
static int split_protocol(struct str *text, const char **ret_protocol)
{
	static const char *const protocols[] = { "tcp", "udp", "sctp" };
	struct str name, port = str_split(*text, '/', &name);

	if (port.length == text->length) {
		*ret_protocol = "tcp";
		return 0;
	}
	*text = port;
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		if (str_equals_nocase(name, protocols[i])) {
			*ret_protocol = protocols[i];
			return 0;
		}
	}
	return -EINVAL;
}

/* What stands before the last colon, and after it. */
static bool split_last(struct str *text, struct str *ret_last)
{
	for (size_t i = text->length; i > 0; i--) {
		if (text->data[i - 1] != ':')
			continue;
		*ret_last = (struct str){ text->data + i, text->length - i };
		text->length = i - 1;
		return true;
	}
	*ret_last = *text;
	text->length = 0;
	return false;
}

/* An address, or one of IPv6 in brackets, as text without them. */
static char *parse_address(struct str text)
{
	bool brackets = text.length > 2 && text.data[0] == '[' && text.data[text.length - 1] == ']';
	_cleanup_free_ char *address =
		str_dup(brackets ? (struct str){ text.data + 1, text.length - 2 } : text);

	return address_is_valid(brackets ? AF_INET6 : AF_UNSPEC, address) ? TAKE_PTR(address)
									  : NULL;
}

static void add_exposed(json_t *exposed, unsigned int port, const char *protocol)
{
	char key[32];

	(void)snprintf(key, sizeof(key), "%u/%s", port, protocol);
	json_set(exposed, key, json_object());
}

static void add_binding(json_t *bindings, unsigned int port, const char *protocol,
			const char *address, const char *host_port)
{
	json_t *binding = json_object(), *list;
	char key[32];

	(void)snprintf(key, sizeof(key), "%u/%s", port, protocol);
	json_set_string(binding, "HostIp", address);
	json_set_string(binding, "HostPort", host_port);
	list = json_object_get(bindings, key);
	if (!list) {
		list = json_array();
		json_set(bindings, key, list);
	}
	(void)json_array_append_new(list, binding);
}

/* [[IP:]PORT:]PORT, where both ports may be ranges of one length, or the host's a range to choose
 * from. */
static int add_published(const char *text, json_t *exposed, json_t *bindings, struct cay_error *err)
{
	struct str rest = str_from(text), container_text, host_text = { "", 0 };
	struct port_range container, host = { 0, 0 };
	_cleanup_free_ char *address = NULL, *host_range = NULL;
	const char *protocol;
	bool with_host;

	if (split_protocol(&rest, &protocol) < 0)
		return invalid_port(err, "publish", text);
	with_host = split_last(&rest, &container_text);
	if (with_host) {
		bool with_address = split_last(&rest, &host_text);

		address = with_address && rest.length > 0 ? parse_address(rest) : xstrdup("");
	}
	if ((with_host && !address) || parse_range(container_text, 1, &container) < 0 ||
	    (host_text.length > 0 && parse_range(host_text, 0, &host) < 0))
		return invalid_port(err, "publish", text);
	host_range = str_dup(host_text);
	if (host_text.length > 0 && container.first != container.last &&
	    host.last - host.first != container.last - container.first)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--publish: the ranges in \"%s\" differ in length", text);
	for (unsigned int i = 0; i <= container.last - container.first; i++) {
		char host_port[16];

		(void)snprintf(host_port, sizeof(host_port), "%u", host.first + i);
		add_exposed(exposed, container.first + i, protocol);
		add_binding(bindings, container.first + i, protocol, address ? address : "",
			    host_text.length == 0 || container.first == container.last ? host_range
										       : host_port);
	}
	return 0;
}

/*
 * "target=80,published=8080,protocol=udp", as services are published; what docker calls a mode has
 * no meaning for a container and is left out, as docker's client does.
 */
static int add_published_words(const char *text, json_t *exposed, json_t *bindings,
			       struct cay_error *err)
{
	static const char *const keys[] = { "target", "published", "protocol", "mode" };
	_cleanup_strv_ struct strv words = { 0 };
	const char *values[ARRAY_SIZE(keys)] = { 0 };
	_cleanup_free_ char *port = NULL;

	if (words_split(text, &words, NULL) < 0)
		return invalid_port(err, "publish", text);
	for (size_t i = 0; i < words.count; i++) {
		struct str value, key = str_split(str_from(words.items[i]), '=', &value);
		size_t row = 0;

		while (row < ARRAY_SIZE(keys) && !str_equals(key, keys[row]))
			row++;
		if (row == ARRAY_SIZE(keys) || value.length == 0)
			return invalid_port(err, "publish", text);
		values[row] = value.data;
	}
	if (!values[0])
		return invalid_port(err, "publish", text);
	port = xasprintf("%s:%s/%s", values[1] ? values[1] : "", values[0],
			 values[2] ? values[2] : "tcp");
	return add_published(port, exposed, bindings, err);
}

static int add_expose(const char *text, json_t *exposed, struct cay_error *err)
{
	struct str rest = str_from(text);
	struct port_range range;
	const char *protocol;

	if (split_protocol(&rest, &protocol) < 0 || parse_range(rest, 1, &range) < 0)
		return invalid_port(err, "expose", text);
	for (unsigned int port = range.first; port <= range.last; port++)
		add_exposed(exposed, port, protocol);
	return 0;
}

int request_add_ports(const struct options *options, json_t *body, json_t *host,
		      struct cay_error *err)
{
	const struct strv *published = option_list(options, "publish");
	const struct strv *noted = option_list(options, "expose");
	_cleanup_json_ json_t *exposed = json_object(), *bindings = json_object();
	int r = 0;

	for (size_t i = 0; i < published->count && r >= 0; i++)
		r = strchr(published->items[i], '=')
			? add_published_words(published->items[i], exposed, bindings, err)
			: add_published(published->items[i], exposed, bindings, err);
	for (size_t i = 0; i < noted->count && r >= 0; i++)
		r = add_expose(noted->items[i], exposed, err);
	if (json_object_size(exposed) > 0)
		json_set(body, "ExposedPorts", json_incref(exposed));
	if (json_object_size(bindings) > 0)
		json_set(host, "PortBindings", json_incref(bindings));
	if (option_given(options, "publish-all"))
		json_set_bool(host, "PublishAllPorts", option_flag(options, "publish-all"));
	return r;
}
