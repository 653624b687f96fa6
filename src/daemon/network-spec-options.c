/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a network's driver, each with what it means for the network. */
#include "daemon/network-spec-internal.h"

#include "base/alloc.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

static int parse_option_bool(const char *key, const char *text, bool *ret, struct cay_error *err)
{
	static const char *const words[] = { "false", "true", "0", "1", "False", "True" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*ret = i % 2;
			return 0;
		}
	}
	return cay_error_set(err, CAY_INVALID, EINVAL,
			     "network option %s: \"%.64s\" is not true "
			     "or false",
			     key, text);
}

static int take_link(struct network_spec *spec, const char *key, const char *text,
		     struct cay_error *err)
{
	bool good = text[0] != '\0' && strlen(text) < IFNAMSIZ && strcmp(text, ".") != 0 &&
		strcmp(text, "..") != 0;

	for (const char *at = text; good && *at; at++)
		good = *at > ' ' && *at < 0x7f && !strchr("/:\"\\;{}%*", *at);
	/* The kernel puts a number for %d; a final + or * means more links than one in rules. */
	good = good && text[strlen(text) - 1] != '+';
	if (!good)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "network option %s: \"%.64s\" is no name of an interface", key,
				     text);
	(void)snprintf(spec->link, sizeof(spec->link), "%s", text);
	return 0;
}

static int take_mtu(struct network_spec *spec, const char *key, const char *text,
		    struct cay_error *err)
{
	uint64_t mtu;

	if (parse_u64(text, NETWORK_MTU_MAX, &mtu) < 0 || mtu < NETWORK_MTU_MIN)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "network option %s: \"%.64s\" is not a number from %d to %d",
				     key, text, NETWORK_MTU_MIN, NETWORK_MTU_MAX);
	spec->mtu = (uint32_t)mtu;
	return 0;
}

static int take_masquerade(struct network_spec *spec, const char *key, const char *text,
			   struct cay_error *err)
{
	bool on = true;
	int r = parse_option_bool(key, text, &on, err);

	spec->no_masquerade = !on;
	return r;
}

static int take_metadata(struct network_spec *spec, const char *key, const char *text,
			 struct cay_error *err)
{
	return parse_option_bool(key, text, &spec->metadata, err);
}

/* docker's way to forbid containers of one network to talk to each other. */
static int take_icc(struct network_spec *spec, const char *key, const char *text,
		    struct cay_error *err)
{
	bool on = true;
	int r = parse_option_bool(key, text, &on, err);

	if (r == 0 && !on)
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "network option %s=false: not supported; put containers that "
				     "must not talk to each other on networks of their own",
				     key);
	return r;
}

static int take_default_bridge(struct network_spec *spec, const char *key, const char *text,
			       struct cay_error *err)
{
	bool ignored;

	return parse_option_bool(key, text, &ignored, err);
}

static const struct {
	const char *key;
	enum network_driver driver;
	int (*take)(struct network_spec *spec, const char *key, const char *text,
		    struct cay_error *err);
} options[] = {
	{ "com.docker.network.bridge.name", NETWORK_BRIDGE, take_link },
	{ "com.docker.network.driver.mtu", NETWORK_BRIDGE, take_mtu },
	{ "com.docker.network.bridge.enable_ip_masquerade", NETWORK_BRIDGE, take_masquerade },
	{ "com.docker.network.bridge.enable_icc", NETWORK_BRIDGE, take_icc },
	{ "com.docker.network.bridge.default_bridge", NETWORK_BRIDGE, take_default_bridge },
	{ "cay.network.metadata", NETWORK_BRIDGE, take_metadata },
	{ "parent", NETWORK_LAN, take_link },
	{ "com.docker.network.driver.mtu", NETWORK_LAN, take_mtu },
};

static int read_option(struct network_spec *spec, const char *key, const char *text,
		       struct cay_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].driver == spec->driver && strcmp(options[i].key, key) == 0)
			return options[i].take(spec, key, text, err);
	return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
			     "network option %.100s: not known to the driver \"%s\"", key,
			     network_driver_name(spec->driver));
}

int network_spec_read_options(const json_t *body, struct network_spec *spec, struct cay_error *err)
{
	json_t *value;
	const char *key;
	int r = network_spec_read_map(body, "Options", &spec->options, err);

	if (r == 0)
		r = network_spec_read_map(body, "Labels", &spec->labels, err);
	if (r < 0)
		return r;
	json_object_foreach(spec->options, key, value) {
		r = read_option(spec, key, json_string_value(value), err);
		if (r < 0)
			return r;
	}
	if (spec->driver == NETWORK_LAN && spec->link[0] == '\0')
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"network %s: the driver \"lan\" needs the interface that leads "
			"to the LAN: --opt parent=INTERFACE",
			spec->name);
	return 0;
}
