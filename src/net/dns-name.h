/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domain names: as they stand in messages (labels with their lengths, perhaps
 * with compression pointers) and as text. RFC 1035, 3.1 and 4.1.4; RFC 2181:
 * a name in a message may hold any byte; RFC 3596: ip6.arpa.
 */
#pragma once

#include "net/address.h"

enum {
	DNS_NAME_MAX = 255, /* as it stands in a message, with its last, empty label */
	DNS_LABEL_MAX = 63,
	DNS_NAME_TEXT_MAX = 256,
};

/* A name as it stands in a message, without compression. */
struct dns_name {
	uint8_t bytes[DNS_NAME_MAX];
	size_t length;
};

/*
 * Reads the name at *offset of a message and moves *offset behind it. A pointer must
 * lead to what is whole in front of the part it stands in, so that every name ends; -EBADMSG for
 * all else. ret_name may be NULL, to skip it.
 */
int dns_name_read(const uint8_t *data, size_t size, size_t *offset, struct dns_name *ret_name);

/* Upper and lower case are the same. */
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);
/*
 * The name as text: lower case, no dot at its end. False where it holds other bytes than letters,
 * digits, '-' and '_' (it is no name of ours then), and for the root.
 */
bool dns_name_text(const struct dns_name *name, char ret_text[DNS_NAME_TEXT_MAX]);
/* From such text; -EINVAL for labels and names that are empty or too long. */
int dns_name_from_text(const char *text, struct dns_name *ret_name);
/* Whether its last label is this one (lower case). */
bool dns_name_is_under(const struct dns_name *name, const char *last_label);

/* The address whose reverse name, as dns_name_text() has it, this is; -EINVAL for other names. */
int dns_name_to_address(const char *text, struct net_address *ret_address);
