/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages. The input is a question, two bytes of its length in front, and
 * then a server's answer to it. What we build and what we cut must itself be
 * well-formed and within its limit.
 */
#include "base/alloc.h"
#include "net/dns-message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint16_t first_word(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

/* Names of ours as text, and back. */
static void check_name(const struct dns_name *name)
{
	char text[DNS_NAME_TEXT_MAX];
	struct net_address address;
	struct dns_name again;

	(void)dns_name_is_under(name, "cay");
	if (!dns_name_text(name, text))
		return;
	if (dns_name_from_text(text, &again) < 0 || !dns_name_equal(name, &again))
		abort();
	(void)dns_name_to_address(text, &address);
}

static void check_answer(const struct dns_query *query, const struct dns_answer *answer,
			 size_t limit)
{
	uint8_t out[DNS_ANSWER_MAX];
	size_t size = dns_answer_build(query, answer, limit, out);
	enum dns_reply reply;

	if (size > limit)
		abort();
	if (query->name.length == 0 || query->refuse != DNS_NOERROR)
		return;
	reply = dns_reply_check(out, size, query, query->id);
	if (reply == DNS_REPLY_FOREIGN ||
	    (reply == DNS_REPLY_FAILED) != (answer->rcode == DNS_SERVFAIL))
		abort();
}

static void check_answers(const struct dns_query *query)
{
	struct dns_addresses addresses = { .count = 0 };
	const struct dns_answer answers[] = {
		{ .rcode = query->refuse },
		{ .rcode = DNS_SERVFAIL },
		{ .addresses = &addresses, .authoritative = true },
		{ .pointer = &query->name },
	};

	for (unsigned int i = 0; i < DNS_ADDRESSES_MAX; i++) {
		const uint8_t bytes[16] = { 0xfd, [15] = (uint8_t)i };
		struct net_address address =
			net_address_from_bytes(i % 3 ? AF_INET6 : AF_INET, bytes);

		dns_addresses_add(&addresses, &address);
	}
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		check_answer(query, &answers[i], query->udp_size);
		check_answer(query, &answers[i], DNS_ANSWER_MAX);
	}
}

static void check_cut(const uint8_t *data, size_t size, const struct dns_query *query, size_t limit)
{
	_cleanup_free_ uint8_t *copy = xmemdup(data, size);
	_cleanup_free_ uint8_t *exact = NULL;
	size_t kept;

	dns_reply_readdress(copy, query);
	kept = dns_reply_cut(copy, size, query, limit);
	if (kept > limit || kept > size)
		abort();
	exact = xmemdup(copy, kept);
	exact[2] &= (uint8_t)~0x02; /* not cut: so that its records are looked at */
	if (dns_reply_check(exact, kept, query, query->id) == DNS_REPLY_FOREIGN)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ uint8_t *question = NULL;
	_cleanup_free_ uint8_t *reply = NULL;
	struct dns_query query;
	enum dns_reply kind;
	size_t length;

	if (size < 2)
		return 0;
	length = MIN((size_t)first_word(data), size - 2);
	question = xmalloc(MAX(length, 1));
	memcpy(question, data + 2, length);
	data += 2 + length;
	size -= 2 + length;
	if (dns_query_parse(question, length, &query) < 0)
		return 0;
	check_name(&query.name);
	check_answers(&query);
	dns_query_readdress(question, &query, 0x1234);
	if (query.refuse != DNS_NOERROR || size < DNS_HEADER_SIZE)
		return 0;
	reply = xmemdup(data, size);
	kind = dns_reply_check(reply, size, &query, first_word(reply));
	if (kind == DNS_REPLY_CUT || kind == DNS_REPLY_WHOLE) {
		check_cut(reply, size, &query, query.udp_size);
		check_cut(reply, size, &query, DNS_MESSAGE_MAX);
	}
	return 0;
}
