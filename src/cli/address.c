/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and subnets. */
#include "cli/address.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>

static unsigned int family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

int subnet_parse_address(int family, const char *text, struct subnet *ret_subnet)
{
	struct subnet subnet = { .family = family };

	if (family == AF_UNSPEC)
		subnet.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(subnet.family, text, subnet.bytes) != 1)
		return -EINVAL;
	subnet.bits = family_bits(subnet.family);
	*ret_subnet = subnet;
	return 0;
}

int subnet_parse(const char *text, struct subnet *ret_subnet)
{
	struct str bits_text, address = str_split(str_from(text), '/', &bits_text);
	char address_text[INET6_ADDRSTRLEN];
	struct subnet subnet;
	uint64_t bits;

	if (address.length >= sizeof(address_text))
		return -EINVAL;
	memcpy(address_text, address.data, address.length);
	address_text[address.length] = '\0';
	if (subnet_parse_address(AF_UNSPEC, address_text, &subnet) < 0 ||
	    str_to_u64(bits_text, subnet.bits, &bits) < 0)
		return -EINVAL;
	subnet.bits = (unsigned int)bits;
	*ret_subnet = subnet;
	return 0;
}

bool subnet_contains(const struct subnet *outer, const struct subnet *inner)
{
	unsigned int whole = outer->bits / 8, rest = outer->bits % 8;

	if (outer->family != inner->family || outer->bits > inner->bits ||
	    memcmp(outer->bytes, inner->bytes, whole) != 0)
		return false;
	return rest == 0 || (outer->bytes[whole] ^ inner->bytes[whole]) >> (8 - rest) == 0;
}

bool address_is_valid(int family, const char *text)
{
	struct subnet ignored;

	return subnet_parse_address(family, text, &ignored) == 0;
}

int mac_normalise(const char *text, char ret_text[MAC_TEXT_SIZE])
{
	if (strlen(text) != MAC_TEXT_SIZE - 1)
		return -EINVAL;
	for (size_t i = 0; i < MAC_TEXT_SIZE - 1; i++) {
		bool between = i % 3 == 2;

		if (between ? text[i] != text[2] || !strchr(":-", text[i])
			    : !isxdigit((unsigned char)text[i]))
			return -EINVAL;
	}
	for (size_t i = 0; i < MAC_TEXT_SIZE; i++)
		ret_text[i] = (char)(text[i] == '-' ? ':' : tolower((unsigned char)text[i]));
	return 0;
}
