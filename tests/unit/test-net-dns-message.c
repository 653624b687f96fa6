/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: what is read, what is refused, how answers are built and cut. */
#include "dns-client.h"

static void parse(const struct buf *message, int expected, struct dns_query *query)
{
	/* An exact copy, so that a read past the end is seen by the sanitizer. */
	_cleanup_free_ uint8_t *exact = xmemdup(message->data, message->length);

	assert_int_equal(dns_query_parse(exact, message->length, query), expected);
}

/* Built from its bytes, compared as text. */
static void test_query(void **state)
{
	_cleanup_buf_ struct buf message = { .length = 0 };
	struct dns_query query;
	char text[DNS_NAME_TEXT_MAX];

	append_question(&message, 0xbeef, "Web-1.My_Net", DNS_TYPE_AAAA, 4096);
	parse(&message, 0, &query);
	assert_int_equal(query.id, 0xbeef);
	assert_int_equal(query.type, DNS_TYPE_AAAA);
	assert_int_equal(query.udp_size, DNS_UDP_SIZE_MAX);
	assert_true(query.edns && query.dnssec_ok);
	assert_int_equal(query.refuse, DNS_NOERROR);
	assert_true(dns_name_text(&query.name, text));
	assert_string_equal(text, "web-1.my_net");
	assert_true(dns_name_is_under(&query.name, "my_net"));
	assert_false(dns_name_is_under(&query.name, "net"));
}

static void test_small_edns_size(void **state)
{
	_cleanup_buf_ struct buf message = { .length = 0 };
	struct dns_query query;

	append_question(&message, 1, "a", DNS_TYPE_A, 1);
	parse(&message, 0, &query);
	assert_int_equal(query.udp_size, DNS_UDP_SIZE_MIN);
}

/* Each prefix of a good question is broken, and so is one with a byte too many. */
static void test_cut_query(void **state)
{
	_cleanup_buf_ struct buf message = { .length = 0 };
	struct dns_query query;

	append_question(&message, 1, "web.example", DNS_TYPE_A, 512);
	for (size_t length = message.length; length-- > 0;) {
		_cleanup_free_ uint8_t *exact = xmemdup(message.data, MAX(length, 1));

		assert_int_equal(dns_query_parse(exact, length, &query), -EBADMSG);
	}
	buf_putc(&message, '\0');
	parse(&message, -EBADMSG, &query);
}

static void test_not_queries(void **state)
{
	static const struct {
		unsigned int flags, questions, answers, additional;
	} cases[] = {
		{ FLAG_QR, 1, 0, 0 }, /* an answer */
		{ 0, 0, 0, 0 },       /* no question */
		{ 0, 2, 0, 0 },       /* two */
		{ 0, 1, 1, 0 },       /* a question with an answer */
		{ 0, 1, 0, 1 },       /* a record too few */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf message = { .length = 0 };
		struct dns_query query;

		append_header(&message, 1, cases[i].flags, cases[i].questions, cases[i].answers,
			      cases[i].additional);
		append_name(&message, "a.b");
		append_u16(&message, DNS_TYPE_A);
		append_u16(&message, DNS_CLASS_IN);
		parse(&message, -EBADMSG, &query);
	}
}

static void test_refused_queries(void **state)
{
	static const struct {
		unsigned int flags, type, class, version;
		enum dns_rcode rcode;
	} cases[] = {
		{ 0x2800, DNS_TYPE_A, DNS_CLASS_IN, 0, DNS_NOTIMP }, /* an update */
		{ 0, DNS_TYPE_A, DNS_CLASS_IN, 1, DNS_BADVERS },
		{ 0, 252, DNS_CLASS_IN, 0, DNS_REFUSED }, /* AXFR */
		{ 0, 16, 3, 0, DNS_REFUSED },             /* version.bind, class CHAOS */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf message = { .length = 0 };
		const struct dns_answer answer = { .rcode = cases[i].rcode };
		struct dns_query query;
		struct reply reply;

		append_header(&message, 7, cases[i].flags, 1, 0, 1);
		append_name(&message, "a.b");
		append_u16(&message, cases[i].type);
		append_u16(&message, cases[i].class);
		append_opt(&message, 1232, cases[i].version);
		parse(&message, 0, &query);
		assert_int_equal(query.refuse, cases[i].rcode);
		reply.size = dns_answer_build(&query, &answer, 512, reply.data);
		read_reply(&reply);
		assert_int_equal(reply.rcode, cases[i].rcode & 15);
		assert_int_equal(reply.flags & 0x7800, cases[i].flags);
		assert_int_equal(reply.edns, cases[i].rcode != DNS_NOTIMP);
		if (cases[i].rcode == DNS_BADVERS)
			assert_int_equal(reply.data[reply.size - 6], 1); /* the code's upper bits */
	}
}

/* ---- names ---- */

static int read_name(const void *data, size_t size, size_t offset, struct dns_name *name)
{
	_cleanup_free_ uint8_t *exact = xmemdup(data, size);

	return dns_name_read(exact, size, &offset, name);
}

static void test_pointers(void **state)
{
	static const uint8_t good[] = { 1, 'b', 0, 1, 'a', 0xc0, 0, 0xc0, 3 };
	static const uint8_t itself[] = { 0xc0, 0 }, forward[] = { 0xc0, 2, 0 },
			     circle[] = { 1, 'a', 0xc0, 0 }, pair[] = { 0xc0, 2, 0xc0, 0 },
			     reserved[] = { 0x80, 0, 0 }, cut[] = { 0xc0 },
			     /* the label that is pointed to takes in the pointer itself */
		across[] = { 3, 'a', 0xc0, 0, 0 };
	struct dns_name name;
	char text[DNS_NAME_TEXT_MAX];

	assert_int_equal(read_name(good, sizeof(good), 7, &name), 0);
	assert_true(dns_name_text(&name, text));
	assert_string_equal(text, "a.b");
	assert_int_equal(read_name(itself, sizeof(itself), 0, &name), -EBADMSG);
	assert_int_equal(read_name(forward, sizeof(forward), 0, &name), -EBADMSG);
	assert_int_equal(read_name(circle, sizeof(circle), 0, &name), -EBADMSG);
	assert_int_equal(read_name(pair, sizeof(pair), 2, &name), -EBADMSG);
	assert_int_equal(read_name(reserved, sizeof(reserved), 0, &name), -EBADMSG);
	assert_int_equal(read_name(cut, sizeof(cut), 0, &name), -EBADMSG);
	assert_int_equal(read_name(across, sizeof(across), 2, &name), -EBADMSG);
}

/* 255 bytes is a name, 256 is none; and pointers don't make longer ones. */
static void test_name_lengths(void **state)
{
	_cleanup_buf_ struct buf message = { .length = 0 };
	struct dns_name name;
	char text[DNS_NAME_TEXT_MAX], label[DNS_LABEL_MAX + 2];
	size_t end;

	for (unsigned int i = 0; i < 127; i++)
		buf_append(&message, "\1x", 2);
	buf_putc(&message, '\0');
	assert_int_equal(read_name(message.data, message.length, 0, &name), 0);
	assert_int_equal(name.length, DNS_NAME_MAX);
	assert_true(dns_name_text(&name, text));
	assert_int_equal(strlen(text), 253);
	assert_int_equal(dns_name_from_text(text, &name), 0);
	assert_int_equal(name.length, DNS_NAME_MAX);
	end = message.length;
	buf_append(&message, "\1y\300\0", 4);
	assert_int_equal(read_name(message.data, message.length, end, &name), -EBADMSG);

	memset(label, 'x', sizeof(label));
	label[DNS_LABEL_MAX] = '\0';
	assert_int_equal(dns_name_from_text(label, &name), 0);
	label[DNS_LABEL_MAX] = 'x';
	label[DNS_LABEL_MAX + 1] = '\0';
	assert_int_equal(dns_name_from_text(label, &name), -EINVAL);
	assert_int_equal(dns_name_from_text("", &name), -EINVAL);
	assert_int_equal(dns_name_from_text("a..b", &name), -EINVAL);
	assert_int_equal(dns_name_from_text(".a", &name), -EINVAL);
	assert_int_equal(dns_name_from_text("a.", &name), -EINVAL);
}

/* A dot or a NUL in a label must not pass for the end of one. */
static void test_strange_labels(void **state)
{
	static const uint8_t dot[] = "\3a.b\3cay", nul[] = "\3a\0b\3cay", root[] = "";
	struct dns_name name;
	char text[DNS_NAME_TEXT_MAX];

	assert_int_equal(read_name(dot, sizeof(dot), 0, &name), 0);
	assert_false(dns_name_text(&name, text));
	assert_true(dns_name_is_under(&name, "cay"));
	assert_int_equal(read_name(nul, sizeof(nul), 0, &name), 0);
	assert_false(dns_name_text(&name, text));
	assert_int_equal(read_name(root, sizeof(root), 0, &name), 0);
	assert_false(dns_name_text(&name, text));
	assert_false(dns_name_is_under(&name, "cay"));
}

static void test_reverse_names(void **state)
{
	static const char *const wrong[] = {
		"in-addr.arpa",
		"1.in-addr.arpa",
		"1.2.3.in-addr.arpa",
		"1.2.3.4.5.in-addr.arpa",
		"256.0.0.1.in-addr.arpa",
		"1.2.3.-4.in-addr.arpa",
		"0001.2.3.4.in-addr.arpa",
		".1.2.3.in-addr.arpa",
		"1.0.ip6.arpa",
		"4.3.2.1.in-addr.arpa.example",
	};
	static const char ipv6[] =
		"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f";
	struct net_address address, expected = address_of("172.17.0.2");
	char text[80];

	assert_int_equal(dns_name_to_address("2.0.17.172.in-addr.arpa", &address), 0);
	assert_true(net_address_equal(&address, &expected));
	(void)snprintf(text, sizeof(text), "%s.ip6.arpa", ipv6);
	expected = address_of("fd00::2");
	assert_int_equal(dns_name_to_address(text, &address), 0);
	assert_true(net_address_equal(&address, &expected));
	text[0] = 'g';
	assert_int_equal(dns_name_to_address(text, &address), -EINVAL);
	text[0] = '2';
	text[1] = '2';
	assert_int_equal(dns_name_to_address(text, &address), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(dns_name_to_address(wrong[i], &address), -EINVAL);
}

/* ---- answers ---- */

static void answer(const char *name, unsigned int type, unsigned int edns,
		   const struct dns_answer *answer, size_t limit, struct reply *reply)
{
	_cleanup_buf_ struct buf message = { .length = 0 };
	struct dns_query query;

	append_question(&message, ID, name, type, edns);
	parse(&message, 0, &query);
	reply->size = dns_answer_build(&query, answer, limit, reply->data);
	read_reply(reply);
	assert_int_equal(u16_at(reply->data, 0), ID);
	assert_int_equal(reply->edns, edns != NO_EDNS);
	assert_memory_equal(reply->data + DNS_HEADER_SIZE, message.data + DNS_HEADER_SIZE,
			    query.name.length + 4);
}

static void test_answers(void **state)
{
	struct dns_addresses addresses = { .count = 0 };
	struct dns_answer what = { .authoritative = true, .addresses = &addresses, .ttl = 1 };
	struct net_address address = address_of("10.1.2.3");
	struct reply reply;

	dns_addresses_add(&addresses, &address);
	address = address_of("fd00::3");
	dns_addresses_add(&addresses, &address);
	answer("Web", DNS_TYPE_A, NO_EDNS, &what, 512, &reply);
	assert_int_equal(reply.flags, FLAG_QR | FLAG_AA | FLAG_RD | FLAG_RA);
	assert_int_equal(reply.address_count, 1);
	assert_string_equal(reply.addresses[0], "10.1.2.3");
	answer("web", DNS_TYPE_AAAA, 1232, &what, 1232, &reply);
	assert_int_equal(reply.address_count, 1);
	assert_string_equal(reply.addresses[0], "fd00::3");
	answer("web", DNS_TYPE_ANY, 1232, &what, 1232, &reply);
	assert_int_equal(reply.address_count, 2);
	answer("web", 15, 1232, &what, 1232, &reply); /* MX: the name is there, that is all */
	assert_int_equal(reply.answers, 0);
	assert_int_equal(reply.rcode, DNS_NOERROR);
}

static void test_pointer_answer(void **state)
{
	struct dns_name name;
	struct dns_answer what = { .pointer = &name };
	struct reply reply;

	assert_int_equal(dns_name_from_text("Web.Net", &name), 0);
	answer("1.0.0.10.in-addr.arpa", DNS_TYPE_PTR, NO_EDNS, &what, 512, &reply);
	assert_string_equal(reply.pointer, "web.net");
}

static void test_full_answer(void **state)
{
	struct dns_addresses addresses = { .count = 0 };
	struct dns_answer what = { .addresses = &addresses };
	struct reply reply;

	for (unsigned int i = 0; i < DNS_ADDRESSES_MAX + 5; i++) {
		struct net_address address = address_of("fd00::1");

		address.bytes[14] = (uint8_t)i;
		dns_addresses_add(&addresses, &address);
	}
	answer("web", DNS_TYPE_AAAA, 1232, &what, DNS_ANSWER_MAX, &reply);
	assert_int_equal(reply.answers, DNS_ADDRESSES_MAX);
	assert_false(reply.flags & FLAG_TC);
	answer("web", DNS_TYPE_AAAA, 1232, &what, 512, &reply);
	assert_true(reply.size <= 512 && reply.answers > 10 && reply.flags & FLAG_TC);
	answer("web", DNS_TYPE_AAAA, NO_EDNS, &what, 512, &reply);
	assert_true(reply.size <= 512 && reply.answers > 10 && reply.flags & FLAG_TC);
}

/* ---- servers' answers ---- */

/* An answer with so many addresses, to "web.example A". */
static void append_reply(struct buf *message, unsigned int flags, unsigned int answers)
{
	append_header(message, ID, FLAG_QR | flags, 1, answers, 1);
	append_name(message, "wEb.example");
	append_u16(message, DNS_TYPE_A);
	append_u16(message, DNS_CLASS_IN);
	for (unsigned int i = 0; i < answers; i++) {
		append_u16(message, 0xc00c);
		append_u16(message, DNS_TYPE_A);
		append_u16(message, DNS_CLASS_IN);
		append_u16(message, 0);
		append_u16(message, 60);
		append_u16(message, 4);
		append_u16(message, 10 << 8);
		append_u16(message, i);
	}
	append_opt(message, 1232, 0);
}

static void make_query(unsigned int edns, struct dns_query *query)
{
	_cleanup_buf_ struct buf message = { .length = 0 };

	append_question(&message, 0x7777, "WEB.example", DNS_TYPE_A, edns);
	parse(&message, 0, query);
}

static enum dns_reply check(const struct buf *message, unsigned int id)
{
	_cleanup_free_ uint8_t *exact = xmemdup(message->data, message->length);
	struct dns_query query;

	make_query(NO_EDNS, &query);
	return dns_reply_check(exact, message->length, &query, (uint16_t)id);
}

static void test_reply_check(void **state)
{
	static const struct {
		unsigned int flags;
		enum dns_reply reply;
	} cases[] = {
		{ 0, DNS_REPLY_WHOLE },
		{ DNS_NXDOMAIN, DNS_REPLY_WHOLE },
		{ DNS_SERVFAIL, DNS_REPLY_FAILED },
		{ DNS_REFUSED, DNS_REPLY_FAILED },
		{ FLAG_TC, DNS_REPLY_CUT },
		{ 0x2800, DNS_REPLY_FOREIGN },
	};
	_cleanup_buf_ struct buf query = { .length = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf message = { .length = 0 };

		append_reply(&message, cases[i].flags, 2);
		assert_int_equal(check(&message, ID), cases[i].reply);
		assert_int_equal(check(&message, ID + 1), DNS_REPLY_FOREIGN);
		message.data[13] = 'v';
		assert_int_equal(check(&message, ID), DNS_REPLY_FOREIGN);
	}
	append_question(&query, ID, "web.example", DNS_TYPE_A, NO_EDNS);
	assert_int_equal(check(&query, ID), DNS_REPLY_FOREIGN);
}

static void test_broken_replies(void **state)
{
	_cleanup_buf_ struct buf message = { .length = 0 }, bare = { .length = 0 };
	struct dns_query query;

	append_reply(&message, 0, 3);
	make_query(NO_EDNS, &query);
	for (size_t length = message.length; length-- > 1;) {
		_cleanup_free_ uint8_t *exact = xmemdup(message.data, length);

		assert_int_equal(dns_reply_check(exact, length, &query, ID), DNS_REPLY_FOREIGN);
	}
	/* Only a header: an error may come so, an answer may not. */
	append_header(&bare, ID, FLAG_QR | DNS_NOTIMP, 0, 0, 0);
	assert_int_equal(check(&bare, ID), DNS_REPLY_FAILED);
	bare.data[3] = 0;
	assert_int_equal(check(&bare, ID), DNS_REPLY_FOREIGN);
}

static void cut(unsigned int flags, unsigned int answers, size_t lost, unsigned int edns,
		size_t limit, struct reply *reply)
{
	_cleanup_buf_ struct buf message = { .length = 0 };
	_cleanup_free_ uint8_t *exact = NULL;
	struct dns_query query;

	append_reply(&message, flags, answers);
	message.length -= lost;
	exact = xmemdup(message.data, message.length);
	make_query(edns, &query);
	dns_reply_readdress(exact, &query);
	reply->size = dns_reply_cut(exact, message.length, &query, limit);
	assert_true(reply->size <= limit);
	memcpy(reply->data, exact, reply->size);
	read_reply(reply);
	assert_int_equal(u16_at(reply->data, 0), 0x7777);
	assert_memory_equal(reply->data + 12, "\3WEB\7example", 12);
}

static void test_cut_replies(void **state)
{
	struct reply reply;

	cut(0, 5, 0, 1232, 512, &reply);
	assert_int_equal(reply.answers, 5);
	assert_false(reply.flags & FLAG_TC);
	assert_true(reply.edns);
	cut(0, 100, 0, 1232, 512, &reply);
	assert_int_equal(reply.answers, (512 - 29 - 11) / 16);
	assert_true(reply.edns && reply.flags & FLAG_TC);
	cut(0, 100, 0, NO_EDNS, 512, &reply);
	assert_int_equal(reply.answers, (512 - 29) / 16);
	assert_true(!reply.edns && reply.flags & FLAG_TC);
	/* Cut by the server in the middle of a record. */
	cut(FLAG_TC, 5, 11 + 3, 1232, 1232, &reply);
	assert_int_equal(reply.answers, 4);
	/* With nothing but the question, there is no room for an OPT in its place. */
	cut(FLAG_TC, 0, 11, 1232, 1232, &reply);
	assert_int_equal(reply.size, 29);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),           cmocka_unit_test(test_small_edns_size),
		cmocka_unit_test(test_cut_query),       cmocka_unit_test(test_not_queries),
		cmocka_unit_test(test_refused_queries), cmocka_unit_test(test_pointers),
		cmocka_unit_test(test_name_lengths),    cmocka_unit_test(test_strange_labels),
		cmocka_unit_test(test_reverse_names),   cmocka_unit_test(test_answers),
		cmocka_unit_test(test_pointer_answer),  cmocka_unit_test(test_full_answer),
		cmocka_unit_test(test_reply_check),     cmocka_unit_test(test_broken_replies),
		cmocka_unit_test(test_cut_replies),
	};

	return cmocka_run_group_tests_name("dns-message", tests, NULL, NULL);
}
