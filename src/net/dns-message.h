/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages, without any I/O: questions read, answers built, checked and
 * cut to size. Everything here is fed with foreign bytes.
 *
 * RFC 1035 (format), 3596 (AAAA), 6891 (EDNS0).
 */
#pragma once

#include "net/dns-name.h"

enum {
	DNS_HEADER_SIZE = 12,
	DNS_MESSAGE_MAX = 65535,
	DNS_UDP_SIZE_MIN = 512,  /* every client takes that much by UDP */
	DNS_UDP_SIZE_MAX = 1232, /* and we send and take no more: it fits every path unfragmented */
	DNS_ADDRESSES_MAX = 64,  /* of one name; more are left out of an answer */
	/* Holds any answer that dns_answer_build() makes: header, question, addresses, OPT. */
	DNS_ANSWER_MAX = DNS_HEADER_SIZE + DNS_NAME_MAX + 4 + DNS_ADDRESSES_MAX * (12 + 16) + 11,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_BADVERS = 16, /* needs EDNS0 */
};

enum {
	DNS_TYPE_A = 1,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_ANY = 255
};
enum { DNS_CLASS_IN = 1, DNS_CLASS_ANY = 255 };

struct dns_addresses {
	struct net_address items[DNS_ADDRESSES_MAX];
	size_t count;
};

/* Appends while there is room. */
void dns_addresses_add(struct dns_addresses *list, const struct net_address *address);

/* A client's question. */
struct dns_query {
	uint16_t id;
	uint16_t flags; /* the header's second word */
	struct dns_name name;
	uint16_t type, class;
	size_t question_end;
	bool edns;
	uint16_t udp_size;     /* what the client takes by UDP, at least 512, at most 1232 */
	size_t udp_size_at;    /* where that number stands in the message; 0 without EDNS */
	bool dnssec_ok;        /* copied into the answer */
	enum dns_rcode refuse; /* not NOERROR: understood enough to be refused with this */
};

/*
 * Reads a message that should be a question. -EBADMSG: it is none, or broken, and must not be
 * answered. A refusal (another operation than a query, a later EDNS) may lack name and type.
 */
int dns_query_parse(const uint8_t *data, size_t size, struct dns_query *ret_query);

/* Makes the client's message the one to a server: our number, no more by UDP than we take. */
void dns_query_readdress(uint8_t *data, const struct dns_query *query, uint16_t id);

/* What is said about the name that was asked for. */
struct dns_answer {
	enum dns_rcode rcode;
	bool authoritative;
	const struct dns_addresses *addresses; /* or NULL; those of the asked type are used */
	const struct dns_name *pointer;        /* the name for a PTR question, or NULL */
	uint32_t ttl;
};

/*
 * Writes the answer to a question, `limit` bytes at most (512 or more; what doesn't fit is left out
 * and the message marked as truncated), and returns its size.
 */
size_t dns_answer_build(const struct dns_query *query, const struct dns_answer *answer,
			size_t limit, uint8_t ret_data[DNS_ANSWER_MAX]);

/* What a server's answer means for the one who asked. */
enum dns_reply {
	DNS_REPLY_FOREIGN, /* broken, or to another question */
	DNS_REPLY_FAILED,  /* the server can't or won't; another one may */
	DNS_REPLY_CUT,     /* more of it by TCP */
	DNS_REPLY_WHOLE,
};

/* Judges a server's answer to `query`, which was sent under the number `id`. */
enum dns_reply dns_reply_check(const uint8_t *data, size_t size, const struct dns_query *query,
			       uint16_t id);

/* The code of an answer, without the bits that EDNS adds. */
enum dns_rcode dns_reply_code(const uint8_t *data);

/*
 * Makes a checked answer with a question the one to the client's message: its id, its spelling of
 * the name, by which some resolvers know forged answers.
 */
void dns_reply_readdress(uint8_t *data, const struct dns_query *query);

/*
 * Cuts a checked answer with a question down to `limit` bytes (512 or more) at the end of a record,
 * marks it as truncated, and returns the new size. One that was cut by its server loses what may
 * be half a record; another one that fits stays as it is.
 */
size_t dns_reply_cut(uint8_t *data, size_t size, const struct dns_query *query, size_t limit);
