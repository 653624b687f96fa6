/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of a container on a network, by name. */
#include "cli/endpoint.h"

#include "base/alloc.h"
#include "cli/address.h"

#include <errno.h>
#include <sys/socket.h>

/* The value as JSON; NULL where it is none. */
static json_t *make_alias(const char *text)
{
	return *text ? json_string(text) : NULL;
}

static json_t *make_ip(const char *text)
{
	return address_is_valid(AF_INET, text) ? json_string(text) : NULL;
}

static json_t *make_ip6(const char *text)
{
	return address_is_valid(AF_INET6, text) ? json_string(text) : NULL;
}

static json_t *make_mac(const char *text)
{
	char normal[MAC_TEXT_SIZE];

	return mac_normalise(text, normal) == 0 ? json_string(normal) : NULL;
}

static json_t *make_number(const char *text)
{
	int64_t number;

	return parse_i64(text, &number) == 0 ? json_integer(number) : NULL;
}

enum field_kind { FIELD_ONE, FIELD_LIST, FIELD_MAP };

static const struct field {
	const char *name;
	const char *object; /* the member it belongs into; NULL: the endpoint itself */
	const char *key;
	enum field_kind kind;
	json_t *(*make)(const char *text); /* of a map's value: NULL, any text */
	const char *wanted;
} fields[] = {
	{ "alias", NULL, "Aliases", FIELD_LIST, make_alias, "a name" },
	{ "driver-opt", NULL, "DriverOpts", FIELD_MAP, NULL, "of the form KEY=VALUE" },
	{ "gw-priority", NULL, "GwPriority", FIELD_ONE, make_number, "a whole number" },
	{ "ip", "IPAMConfig", "IPv4Address", FIELD_ONE, make_ip, "an IPv4 address" },
	{ "ip6", "IPAMConfig", "IPv6Address", FIELD_ONE, make_ip6, "an IPv6 address" },
	{ "mac-address", NULL, "MacAddress", FIELD_ONE, make_mac,
	  "a MAC address such as 02:42:ac:11:00:02" },
};

static const struct field *find_field(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

/* The member, made where it is missing. */
static json_t *need_member(json_t *object, const char *key, json_t *(*make)(void))
{
	json_t *member = json_object_get(object, key);

	if (!member) {
		member = make();
		json_set(object, key, member);
	}
	return member;
}

static bool set_map(json_t *endpoint, const struct field *field, const char *text)
{
	struct str value, key = str_split(str_from(text), '=', &value);
	_cleanup_free_ char *key_text = str_dup(key);

	return key.length > 0 && strchr(text, '=') &&
		json_object_set_new(need_member(endpoint, field->key, json_object), key_text,
				    json_string(value.data)) == 0;
}

static bool set_field(json_t *endpoint, const struct field *field, const char *text)
{
	json_t *value;

	if (field->kind == FIELD_MAP)
		return set_map(endpoint, field, text);
	value = field->make(text);
	if (!value)
		return false;
	if (field->kind == FIELD_LIST)
		return json_array_append_new(need_member(endpoint, field->key, json_array),
					     value) == 0;
	if (field->object)
		endpoint = need_member(endpoint, field->object, json_object);
	json_set(endpoint, field->key, value);
	return true;
}

int endpoint_set(json_t *endpoint, const char *name, const char *text, const char *option,
		 struct cay_error *err)
{
	const struct field *field = find_field(name);

	if (!field)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "--%s: unknown key \"%s\"; there are name, alias, driver-opt, "
				     "gw-priority, ip, ip6 and mac-address",
				     option, name);
	if (!set_field(endpoint, field, text))
		return cay_error_set(err, CAY_INVALID, EINVAL, "--%s: \"%s\" is not %s", option,
				     text, field->wanted);
	return 0;
}

bool endpoint_has(const json_t *endpoint, const char *name)
{
	const struct field *field = find_field(name);

	if (field->object)
		endpoint = json_object_get(endpoint, field->object);
	return json_object_get(endpoint, field->key) != NULL;
}

int endpoint_refuse_link(struct cay_error *err)
{
	return cay_error_set(
		err, CAY_UNSUPPORTED, ENOTSUP,
		"--link: there are no links; containers on one network find each other "
		"by name and by alias");
}
