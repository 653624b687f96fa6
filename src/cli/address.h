/* SPDX-License-Identifier: Apache-2.0 */
/* IP and MAC addresses and subnets, as users write them: read to be checked and compared. */
#pragma once

#include <stdbool.h>

enum { MAC_TEXT_SIZE = sizeof("00:00:00:00:00:00") };

/* A range of addresses; a single one has all its bits. */
struct subnet {
	int family; /* AF_INET or AF_INET6 */
	unsigned int bits;
	unsigned char bytes[16];
};

/* "10.1.0.0/16", "fd00::/64" */
int subnet_parse(const char *text, struct subnet *ret_subnet);
/* "10.1.0.5"; `family` may be AF_UNSPEC, which takes either. */
int subnet_parse_address(int family, const char *text, struct subnet *ret_subnet);
/* Whether all of `inner` lies in `outer`. */
bool subnet_contains(const struct subnet *outer, const struct subnet *inner);

/* An IP address of that family, or of either for AF_UNSPEC. */
bool address_is_valid(int family, const char *text);
/* Six bytes in hexadecimal with colons or hyphens between them; as text with colons. */
int mac_normalise(const char *text, char ret_text[MAC_TEXT_SIZE]);
