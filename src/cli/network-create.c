/* SPDX-License-Identifier: Apache-2.0 */
/* network create: from the options to the body of POST /networks/create. */
#include "cli/network-create.h"

#include "base/alloc.h"
#include "cli/address.h"
#include "cli/commands.h"
#include "cli/request.h"
#include "cli/text.h"

#include <errno.h>
#include <sys/socket.h>

const struct option network_create_options[] = {
	{ 0, OPTION_FLAG, "attachable", NULL, NULL,
	  "Accepted for docker's sake: every network is" },
	{ 0, OPTION_LIST, "aux-address", "NAME=ADDRESS", NULL,
	  "Keep this address free, for something that is no container" },
	{ 'd', OPTION_TEXT, "driver", "DRIVER", NULL,
	  "bridge: behind this host (the default); lan: on the physical network" },
	{ 0, OPTION_WORDS, "gateway", "ADDRESS", NULL, "This host's address in a subnet" },
	{ 0, OPTION_FLAG, "internal", NULL, NULL, "Nothing goes out of it, and nothing comes in" },
	{ 0, OPTION_WORDS, "ip-range", "SUBNET", NULL,
	  "Choose addresses of containers in this part of a subnet" },
	{ 0, OPTION_TEXT, "ipam-driver", "DRIVER", NULL, "Who gives addresses (default: default)" },
	{ 0, OPTION_LIST, "ipam-opt", "KEY=VALUE", NULL, "Set an option of who gives addresses" },
	{ 0, OPTION_FLAG, "ipv4", NULL, NULL, "Give IPv4 addresses (the default)" },
	{ 0, OPTION_FLAG, "ipv6", NULL, NULL, "Give IPv6 addresses (the default)" },
	{ 0, OPTION_LIST, "label", "KEY[=VALUE]", NULL, "Set a label" },
	{ 'o', OPTION_LIST, "opt", "KEY=VALUE", NULL,
	  "Set an option of the driver, such as parent=eth0 for lan" },
	{ 0, OPTION_TEXT, "scope", "SCOPE", NULL, "How far the network reaches: local" },
	{ 0, OPTION_WORDS, "subnet", "SUBNET", NULL,
	  "Addresses such as 10.1.0.0/16 or fd00:1::/64; chosen where none are given" },
	{ 0 },
};

/* One subnet that was asked for, and its object in the request. */
struct pool {
	struct subnet subnet;
	json_t *config; /* borrowed from the request */
};

struct pools {
	struct pool *items;
	size_t count;
};

static void pools_done(struct pools *pools)
{
	free(pools->items);
}

static int invalid(struct cay_error *err, const char *option, const char *text, const char *wanted)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "--%s: \"%s\" is not %s", option, text,
			     wanted);
}

static int add_pools(const struct strv *texts, json_t *list, struct pools *pools,
		     struct cay_error *err)
{
	pools->items = xcalloc(texts->count + 1, sizeof(*pools->items));
	for (size_t i = 0; i < texts->count; i++) {
		struct pool *pool = &pools->items[pools->count];

		if (subnet_parse(texts->items[i], &pool->subnet) < 0)
			return invalid(err, "subnet", texts->items[i],
				       "a subnet such as 10.1.0.0/16");
		for (size_t j = 0; j < i; j++)
			if (subnet_contains(&pools->items[j].subnet, &pool->subnet) ||
			    subnet_contains(&pool->subnet, &pools->items[j].subnet))
				return cay_error_set(err, CAY_INVALID, EINVAL,
						     "--subnet: %s and %s overlap", texts->items[j],
						     texts->items[i]);
		pool->config = json_object();
		json_set_string(pool->config, "Subnet", texts->items[i]);
		(void)json_array_append_new(list, pool->config);
		pools->count++;
	}
	return 0;
}

/* The configuration of the subnet that holds the addresses; NULL with err set where none does. */
static json_t *find_pool(const struct pools *pools, const struct subnet *inner, const char *option,
			 const char *text, struct cay_error *err)
{
	for (size_t i = 0; i < pools->count; i++)
		if (subnet_contains(&pools->items[i].subnet, inner))
			return pools->items[i].config;
	(void)cay_error_set(err, CAY_INVALID, EINVAL, "--%s: %s is in no --subnet", option, text);
	return NULL;
}

/* A gateway or a range for the subnet it lies in; each has one at most. */
static int add_part(const struct pools *pools, const char *option, const char *key,
		    const char *text, struct cay_error *err)
{
	bool range = strcmp(option, "ip-range") == 0;
	struct subnet part;
	json_t *config;
	int r = range ? subnet_parse(text, &part) : subnet_parse_address(AF_UNSPEC, text, &part);

	if (r < 0)
		return invalid(err, option, text,
			       range ? "a subnet such as 10.1.2.0/24" : "an IP address");
	config = find_pool(pools, &part, option, text, err);
	if (!config)
		return -EINVAL;
	if (json_object_get(config, key))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--%s: %s is the second one for subnet %s", option, text,
				     json_text_at(config, "Subnet", NULL));
	json_set_string(config, key, text);
	return 0;
}

static int add_auxiliary(const struct pools *pools, const char *text, struct cay_error *err)
{
	struct str address, name = str_split(str_from(text), '=', &address);
	_cleanup_free_ char *name_text = str_dup(name);
	struct subnet part;
	json_t *config, *map;

	if (name.length == 0 || subnet_parse_address(AF_UNSPEC, address.data, &part) < 0)
		return invalid(err, "aux-address", text, "of the form NAME=ADDRESS");
	config = find_pool(pools, &part, "aux-address", address.data, err);
	if (!config)
		return -EINVAL;
	map = json_object_get(config, "AuxiliaryAddresses");
	if (!map) {
		map = json_object();
		json_set(config, "AuxiliaryAddresses", map);
	}
	if (json_object_set_new(map, name_text, json_string(address.data)) < 0)
		return invalid(err, "aux-address", text, "text in UTF-8");
	return 0;
}

/* What hands out addresses, and from where. */
static int add_addresses(const struct options *options, json_t *ipam, struct cay_error *err)
{
	static const struct {
		const char *option, *key;
	} parts[] = { { "ip-range", "IPRange" }, { "gateway", "Gateway" } };
	const struct strv *auxiliary = option_list(options, "aux-address");
	const char *driver = option_text(options, "ipam-driver");
	_cleanup_(pools_done) struct pools pools = { 0 };
	json_t *list = json_array();
	int r;

	json_set_string(ipam, "Driver", driver ? driver : "default");
	json_set(ipam, "Config", list);
	r = request_set_map(option_list(options, "ipam-opt"), "ipam-opt", true, ipam, "Options",
			    err);
	if (r >= 0)
		r = add_pools(option_list(options, "subnet"), list, &pools, err);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct strv *texts = option_list(options, parts[i].option);

		for (size_t j = 0; j < texts->count && r >= 0; j++)
			r = add_part(&pools, parts[i].option, parts[i].key, texts->items[j], err);
	}
	for (size_t i = 0; i < auxiliary->count && r >= 0; i++)
		r = add_auxiliary(&pools, auxiliary->items[i], err);
	return r;
}

static void set_flag(const struct options *options, const char *option, json_t *body,
		     const char *key)
{
	if (option_given(options, option))
		json_set_bool(body, key, option_flag(options, option));
}

int network_create_build(const struct options *options, const char *name, json_t **ret_body,
			 struct cay_error *err)
{
	const char *driver = option_text(options, "driver"), *scope = option_text(options, "scope");
	_cleanup_json_ json_t *body = json_object();
	json_t *ipam = json_object();
	int r;

	json_set_string(body, "Name", name);
	json_set_string(body, "Driver", driver ? driver : "bridge");
	if (scope)
		json_set_string(body, "Scope", scope);
	set_flag(options, "ipv4", body, "EnableIPv4");
	set_flag(options, "ipv6", body, "EnableIPv6");
	set_flag(options, "internal", body, "Internal");
	set_flag(options, "attachable", body, "Attachable");
	json_set(body, "IPAM", ipam);
	r = add_addresses(options, ipam, err);
	if (r >= 0)
		r = request_set_map(option_list(options, "opt"), "opt", true, body, "Options", err);
	if (r >= 0)
		r = request_set_map(option_list(options, "label"), "label", true, body, "Labels",
				    err);
	if (r < 0)
		return r;
	*ret_body = TAKE_PTR(body);
	return 0;
}

int command_create_network(const struct invocation *invocation, struct cay_error *err)
{
	_cleanup_json_ json_t *body = NULL, *answer = NULL;
	_cleanup_target_ struct target target = { 0 };
	const char *warning;
	int r = network_create_build(invocation->options, invocation->operands[0], &body, err);

	if (r < 0)
		return r;
	target_set(&target, "/networks/create", NULL, NULL);
	r = client_call(invocation->client, "POST", &target, body, &answer, err);
	if (r < 0)
		return r;
	warning = json_text_at(answer, "Warning", NULL);
	if (*warning)
		text_complain("warning: %s", warning);
	return text_print_line(json_text_at(answer, "Id", NULL), err);
}
