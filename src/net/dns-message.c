/* SPDX-License-Identifier: Apache-2.0 */
/* Questions read, answers built; servers' answers checked and cut. */
#include "net/dns-message.h"

#include <errno.h>
#include <string.h>

/* The header's second word. */
enum {
	FLAG_REPLY = 0x8000,
	OPCODE_MASK = 0x7800,
	FLAG_AUTHORITATIVE = 0x0400,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSION_DESIRED = 0x0100,
	FLAG_RECURSION_AVAILABLE = 0x0080,
	FLAG_CHECKING_DISABLED = 0x0010,
	RCODE_MASK = 0x000f,
};

enum {
	AT_FLAGS = 2,
	AT_QUESTIONS = 4,
	AT_ANSWERS = 6,
	AT_AUTHORITIES = 8,
	AT_ADDITIONAL = 10,
	RECORD_FIXED = 10, /* type, class, TTL, length of data */
	OPT_SIZE = 11,
	OPT_DNSSEC_OK = 0x8000,
	TYPE_IXFR = 251,
	TYPE_AXFR = 252,
	POINTER_TO_QUESTION = 0xc000 | DNS_HEADER_SIZE,
};

static uint16_t get16(const uint8_t *data, size_t at)
{
	return (uint16_t)(data[at] << 8 | data[at + 1]);
}

static void put16(uint8_t *data, size_t at, uint16_t value)
{
	data[at] = (uint8_t)(value >> 8);
	data[at + 1] = (uint8_t)value;
}

void dns_addresses_add(struct dns_addresses *list, const struct net_address *address)
{
	if (list->count < ARRAY_SIZE(list->items))
		list->items[list->count++] = *address;
}

/* A resource record's place in a message. */
struct record {
	size_t begin, fixed, end;
	uint16_t type;
};

static int read_record(const uint8_t *data, size_t size, size_t *offset, struct record *ret_record)
{
	struct record record = { .begin = *offset };
	size_t at = *offset, length;

	if (dns_name_read(data, size, &at, NULL) < 0 || size - at < RECORD_FIXED)
		return -EBADMSG;
	record.fixed = at;
	record.type = get16(data, at);
	length = get16(data, at + 8);
	at += RECORD_FIXED;
	if (length > size - at)
		return -EBADMSG;
	record.end = at + length;
	*offset = record.end;
	*ret_record = record;
	return 0;
}

/* ---- questions ---- */

static int read_question(const uint8_t *data, size_t size, struct dns_name *ret_name,
			 uint16_t *ret_type, uint16_t *ret_class, size_t *ret_end)
{
	size_t at = DNS_HEADER_SIZE;

	/* Nothing but the header is in front of it, so it can't be compressed. */
	if (dns_name_read(data, size, &at, ret_name) < 0 ||
	    at != DNS_HEADER_SIZE + ret_name->length || size - at < 4)
		return -EBADMSG;
	*ret_type = get16(data, at);
	*ret_class = get16(data, at + 2);
	*ret_end = at + 4;
	return 0;
}

static int read_opt(const uint8_t *data, const struct record *record, struct dns_query *query)
{
	uint16_t size = get16(data, record->fixed + 2);

	if (query->edns || data[record->begin] != 0)
		return -EBADMSG;
	query->edns = true;
	query->udp_size_at = record->fixed + 2;
	query->udp_size = (uint16_t)MAX(DNS_UDP_SIZE_MIN, MIN(size, DNS_UDP_SIZE_MAX));
	query->dnssec_ok = (get16(data, record->fixed + 6) & OPT_DNSSEC_OK) != 0;
	if (data[record->fixed + 5] != 0) /* the version */
		query->refuse = DNS_BADVERS;
	return 0;
}

static int read_additional(const uint8_t *data, size_t size, struct dns_query *query)
{
	size_t at = query->question_end;

	for (uint16_t left = get16(data, AT_ADDITIONAL); left > 0; left--) {
		struct record record;

		if (read_record(data, size, &at, &record) < 0 ||
		    (record.type == DNS_TYPE_OPT && read_opt(data, &record, query) < 0))
			return -EBADMSG;
	}
	return at == size ? 0 : -EBADMSG;
}

int dns_query_parse(const uint8_t *data, size_t size, struct dns_query *ret_query)
{
	struct dns_query query = { .udp_size = DNS_UDP_SIZE_MIN, .question_end = DNS_HEADER_SIZE };

	if (size < DNS_HEADER_SIZE)
		return -EBADMSG;
	query.id = get16(data, 0);
	query.flags = get16(data, AT_FLAGS);
	if (query.flags & FLAG_REPLY)
		return -EBADMSG;
	if (query.flags & OPCODE_MASK) {
		query.refuse = DNS_NOTIMP;
		*ret_query = query;
		return 0;
	}
	if (get16(data, AT_QUESTIONS) != 1 || get16(data, AT_ANSWERS) != 0 ||
	    get16(data, AT_AUTHORITIES) != 0 ||
	    read_question(data, size, &query.name, &query.type, &query.class, &query.question_end) <
		    0 ||
	    read_additional(data, size, &query) < 0)
		return -EBADMSG;
	/* A transfer is many messages; other classes than the Internet's have no names here. */
	if (query.refuse == DNS_NOERROR &&
	    (query.type == TYPE_AXFR || query.type == TYPE_IXFR ||
	     (query.class != DNS_CLASS_IN && query.class != DNS_CLASS_ANY)))
		query.refuse = DNS_REFUSED;
	*ret_query = query;
	return 0;
}

void dns_query_readdress(uint8_t *data, const struct dns_query *query, uint16_t id)
{
	put16(data, 0, id);
	if (query->udp_size_at)
		put16(data, query->udp_size_at, query->udp_size);
}

/* ---- answers of ours ---- */

/* A message under construction; what would go beyond the limit marks it as truncated. */
struct writer {
	uint8_t *data;
	size_t size, limit;
	uint16_t answers;
	bool truncated;
};

static void write_bytes(struct writer *out, const void *data, size_t length)
{
	memcpy(out->data + out->size, data, length);
	out->size += length;
}

static void write16(struct writer *out, uint16_t value)
{
	put16(out->data, out->size, value);
	out->size += 2;
}

static void write_record(struct writer *out, uint16_t type, uint32_t ttl, const void *data,
			 size_t length)
{
	if (out->truncated || out->size + 2 + RECORD_FIXED + length > out->limit) {
		out->truncated = true;
		return;
	}
	write16(out, POINTER_TO_QUESTION);
	write16(out, type);
	write16(out, DNS_CLASS_IN);
	write16(out, (uint16_t)(ttl >> 16));
	write16(out, (uint16_t)ttl);
	write16(out, (uint16_t)length);
	write_bytes(out, data, length);
	out->answers++;
}

static void write_opt(struct writer *out, const struct dns_query *query, enum dns_rcode rcode)
{
	write_bytes(out, "", 1);
	write16(out, DNS_TYPE_OPT);
	write16(out, DNS_UDP_SIZE_MAX);
	write16(out, (uint16_t)((unsigned int)rcode >> 4 << 8)); /* upper bits; version 0 */
	write16(out, query->dnssec_ok ? OPT_DNSSEC_OK : 0);
	write16(out, 0);
}

static void write_addresses(struct writer *out, const struct dns_query *query,
			    const struct dns_answer *answer)
{
	for (size_t i = 0; answer->addresses && i < answer->addresses->count; i++) {
		const struct net_address *address = &answer->addresses->items[i];
		uint16_t type = address->family == AF_INET ? DNS_TYPE_A : DNS_TYPE_AAAA;

		if (query->type == type || query->type == DNS_TYPE_ANY)
			write_record(out, type, answer->ttl, address->bytes,
				     net_address_bits(address) / 8);
	}
}

size_t dns_answer_build(const struct dns_query *query, const struct dns_answer *answer,
			size_t limit, uint8_t ret_data[DNS_ANSWER_MAX])
{
	struct writer out = { .data = ret_data,
			      .size = DNS_HEADER_SIZE,
			      .limit = MIN(limit, (size_t)DNS_ANSWER_MAX) };
	unsigned int flags = FLAG_REPLY | FLAG_RECURSION_AVAILABLE |
		(answer->authoritative ? FLAG_AUTHORITATIVE : 0) | (answer->rcode & RCODE_MASK);

	memset(ret_data, 0, DNS_HEADER_SIZE);
	if (query->edns)
		out.limit -= OPT_SIZE;
	if (query->name.length > 0) {
		write_bytes(&out, query->name.bytes, query->name.length);
		write16(&out, query->type);
		write16(&out, query->class);
		put16(ret_data, AT_QUESTIONS, 1);
		write_addresses(&out, query, answer);
		if (answer->pointer)
			write_record(&out, DNS_TYPE_PTR, answer->ttl, answer->pointer->bytes,
				     answer->pointer->length);
	}
	if (query->edns) {
		write_opt(&out, query, answer->rcode);
		put16(ret_data, AT_ADDITIONAL, 1);
	}
	flags |= query->flags & (OPCODE_MASK | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED);
	put16(ret_data, 0, query->id);
	put16(ret_data, AT_FLAGS, (uint16_t)(flags | (out.truncated ? FLAG_TRUNCATED : 0)));
	put16(ret_data, AT_ANSWERS, out.answers);
	return out.size;
}

/* ---- servers' answers ---- */

static bool question_is(const uint8_t *data, size_t size, const struct dns_query *query,
			size_t *ret_end)
{
	struct dns_name name;
	uint16_t type, class;

	return read_question(data, size, &name, &type, &class, ret_end) == 0 &&
		type == query->type && class == query->class && dns_name_equal(&name, &query->name);
}

static bool records_are_whole(const uint8_t *data, size_t size, size_t at)
{
	uint32_t count = (uint32_t)get16(data, AT_ANSWERS) + get16(data, AT_AUTHORITIES) +
		get16(data, AT_ADDITIONAL);
	struct record record;

	for (; count > 0; count--)
		if (read_record(data, size, &at, &record) < 0)
			return false;
	return true;
}

enum dns_reply dns_reply_check(const uint8_t *data, size_t size, const struct dns_query *query,
			       uint16_t id)
{
	uint16_t flags, rcode;
	size_t at;

	if (size < DNS_HEADER_SIZE || get16(data, 0) != id)
		return DNS_REPLY_FOREIGN;
	flags = get16(data, AT_FLAGS);
	rcode = flags & RCODE_MASK;
	if (!(flags & FLAG_REPLY) || (flags & OPCODE_MASK))
		return DNS_REPLY_FOREIGN;
	/* A server that doesn't understand a question may leave it out of its answer. */
	if (get16(data, AT_QUESTIONS) == 0 && rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN)
		return DNS_REPLY_FAILED;
	if (get16(data, AT_QUESTIONS) != 1 || !question_is(data, size, query, &at))
		return DNS_REPLY_FOREIGN;
	if (flags & FLAG_TRUNCATED)
		return DNS_REPLY_CUT;
	if (!records_are_whole(data, size, at))
		return DNS_REPLY_FOREIGN;
	return rcode == DNS_NOERROR || rcode == DNS_NXDOMAIN ? DNS_REPLY_WHOLE : DNS_REPLY_FAILED;
}

enum dns_rcode dns_reply_code(const uint8_t *data)
{
	return (enum dns_rcode)(get16(data, AT_FLAGS) & RCODE_MASK);
}

void dns_reply_readdress(uint8_t *data, const struct dns_query *query)
{
	put16(data, 0, query->id);
	memcpy(data + DNS_HEADER_SIZE, query->name.bytes, query->name.length);
}

/* The end of the last record of answers and authorities within the limit; their counts are set. */
static size_t keep_records(uint8_t *data, size_t size, size_t at, size_t limit)
{
	static const size_t sections[] = { AT_ANSWERS, AT_AUTHORITIES };
	bool full = false;

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		uint16_t count = get16(data, sections[i]), kept = 0;

		for (; kept < count && !full; kept++) {
			struct record record;
			size_t next = at;

			full = read_record(data, size, &next, &record) < 0 || next > limit;
			if (full)
				break;
			at = next;
		}
		put16(data, sections[i], kept);
	}
	return at;
}

size_t dns_reply_cut(uint8_t *data, size_t size, const struct dns_query *query, size_t limit)
{
	struct writer out = { .data = data };
	size_t room = MIN(size, limit);
	bool opt;

	if (size <= limit && !(get16(data, AT_FLAGS) & FLAG_TRUNCATED))
		return size;
	out.size = keep_records(data, size, DNS_HEADER_SIZE + query->name.length + 4,
				room - (query->edns ? OPT_SIZE : 0));
	opt = query->edns && out.size + OPT_SIZE <= room;
	if (opt)
		write_opt(&out, query, DNS_NOERROR);
	put16(data, AT_ADDITIONAL, opt);
	put16(data, AT_FLAGS, get16(data, AT_FLAGS) | FLAG_TRUNCATED);
	return out.size;
}
