/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP messages: what a server sends, byte by byte, and what we send. */
#include "test.h"

#include "guest/dhcp-message.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>

static const uint8_t mac[DHCP_MAC_SIZE] = { 2, 0x42, 10, 9, 0, 2 };

/* The fixed part of an answer, without options. */
static void put_header(struct buf *out)
{
	uint8_t header[240] = { 2, 1, 6, 0, 0x12, 0x34, 0x56, 0x78 };

	memcpy(header + 16, "\xc0\xa8\x01\x07", 4);
	memcpy(header + 28, mac, sizeof(mac));
	memcpy(header + 236, "\x63\x82\x53\x63", 4);
	buf_append(out, header, sizeof(header));
}

#define PUT(out, bytes) buf_append(out, bytes, sizeof(bytes) - 1)

static int parse(const struct buf *text, struct dhcp_message *ret_message)
{
	return dhcp_message_parse((const uint8_t *)text->data, text->length, ret_message);
}

static void assert_address(struct in_addr address, const char *expected)
{
	char text[INET_ADDRSTRLEN];

	assert_string_equal(inet_ntop(AF_INET, &address, text, sizeof(text)), expected);
}

static void test_ack(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct dhcp_message message;

	put_header(&text);
	PUT(&text,
	    "\x35\x01\x05"
	    "\x36\x04\xc0\xa8\x01\x01"
	    "\x33\x04\x00\x00\x0e\x10"
	    "\x3a\x04\x00\x00\x07\x08"
	    "\x3b\x04\x00\x00\x0c\x4e"
	    "\x01\x04\xff\xff\xff\x00"
	    "\x00\x00"
	    "\x03\x08\xc0\xa8\x01\x01\xc0\xa8\x01\x02"
	    "\x06\x08\xc0\xa8\x01\x01\x08\x08\x08\x08"
	    "\x0f\x09home.arpa"
	    "\xff");
	assert_int_equal(parse(&text, &message), 0);
	assert_int_equal(message.type, DHCP_ACK);
	assert_int_equal(message.transaction, 0x12345678);
	assert_memory_equal(message.mac, mac, sizeof(mac));
	assert_address(message.yours, "192.168.1.7");
	assert_address(message.server, "192.168.1.1");
	assert_address(message.router, "192.168.1.1");
	assert_int_equal(dhcp_prefix_length(message.netmask), 24);
	assert_int_equal(message.dns_count, 2);
	assert_address(message.dns[1], "8.8.8.8");
	assert_string_equal(message.domain, "home.arpa");
	assert_int_equal(message.lease_s, 3600);
	assert_int_equal(message.renew_s, 1800);
	assert_int_equal(message.rebind_s, 3150);
}

/* RFC 3396: one option in two pieces; RFC 2131: options in "sname" and "file". */
static void test_split_and_overload(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct dhcp_message message;

	put_header(&text);
	PUT(&text, "\x35\x01\x02\x34\x01\x03\x0f\x04home\x0f\x05.arpa\xff");
	memcpy(text.data + 108, "\x33\x04\x00\x00\x00\x3c\xff", 7);
	memcpy(text.data + 44, "\x06\x04\x01\x02\x03\x04\xff", 7);
	assert_int_equal(parse(&text, &message), 0);
	assert_string_equal(message.domain, "home.arpa");
	assert_int_equal(message.lease_s, 60);
	assert_address(message.dns[0], "1.2.3.4");
	/* Without the word "overload" those fields are names. */
	text.data[240 + 5] = 0;
	assert_int_equal(parse(&text, &message), 0);
	assert_int_equal(message.lease_s, 0);
	assert_int_equal(message.dns_count, 0);
}

static void expect_refusal(const char *options, size_t size)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct dhcp_message message;

	put_header(&text);
	buf_append(&text, options, size);
	assert_true(parse(&text, &message) < 0);
}

static void test_bad_messages(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct dhcp_message message;

	expect_refusal("", 0);
	expect_refusal("\xff", 1);
	expect_refusal("\x35\x01", 2);             /* cut */
	expect_refusal("\x35", 1);                 /* no length */
	expect_refusal("\x35\x02\x05\x05", 4);     /* a type of two bytes */
	expect_refusal("\x35\x01\x01\xff", 4);     /* a client's */
	expect_refusal("\x35\x01\x05\x0c\xf0", 5); /* an option past the end */
	put_header(&text);
	PUT(&text, "\x35\x01\x05\xff");
	assert_int_equal(parse(&text, &message), 0);
	text.data[0] = 1;
	assert_true(parse(&text, &message) < 0);
	text.data[0] = 2;
	text.data[2] = 16;
	assert_true(parse(&text, &message) < 0);
	text.data[2] = 6;
	text.data[236] = 0;
	assert_true(parse(&text, &message) < 0);
	text.data[236] = 0x63;
	text.length = 239;
	assert_true(parse(&text, &message) < 0);
}

/* The domain goes into a file; what would be another line of it is no domain. */
static void test_bad_values(void **state)
{
	_cleanup_buf_ struct buf text = { 0 };
	struct dhcp_message message;

	put_header(&text);
	PUT(&text,
	    "\x35\x01\x05\x0f\x0dx\nnameserver \x06\x03\x01\x02\x03\x01\x03\xff\xff\xff\xff");
	assert_int_equal(parse(&text, &message), 0);
	assert_string_equal(message.domain, "");
	assert_int_equal(message.dns_count, 0);
	assert_int_equal(message.netmask.s_addr, 0);
	assert_int_equal(dhcp_prefix_length((struct in_addr){ htonl(0xff00ff00) }), -EINVAL);
	assert_int_equal(dhcp_prefix_length((struct in_addr){ htonl(0xffffffff) }), 32);
	assert_int_equal(dhcp_prefix_length((struct in_addr){ 0 }), 0);
}

static void test_request(void **state)
{
	struct dhcp_message message = {
		.type = DHCP_REQUEST,
		.transaction = 0xa1b2c3d4,
		.seconds = 3,
		.asked = { htonl(0xc0a80107) },
		.server = { htonl(0xc0a80101) },
		.hostname = "web",
	};
	static const char options[] = "\x35\x01\x03"
				      "\x3d\x07\x01\x02\x42\x0a\x09\x00\x02"
				      "\x32\x04\xc0\xa8\x01\x07"
				      "\x36\x04\xc0\xa8\x01\x01"
				      "\x39\x02\x05\xdc"
				      "\x37\x07\x01\x03\x06\x0f\x33\x3a\x3b"
				      "\x0c\x03web"
				      "\xff";
	uint8_t data[DHCP_PACKET_MAX];

	memcpy(message.mac, mac, sizeof(mac));
	assert_int_equal(dhcp_message_build(&message, data), 300);
	assert_memory_equal(data, "\x01\x01\x06\x00\xa1\xb2\xc3\xd4\x00\x03\x00\x00", 12);
	assert_memory_equal(data + 28, mac, sizeof(mac));
	assert_memory_equal(data + 236, "\x63\x82\x53\x63", 4);
	assert_memory_equal(data + 240, options, sizeof(options) - 1);
	message.type = DHCP_RELEASE; /* takes no wishes */
	message.asked.s_addr = 0;
	(void)dhcp_message_build(&message, data);
	assert_memory_equal(data + 252, "\x36\x04\xc0\xa8\x01\x01\xff", 7);
}

/* A packet of ours with the ports exchanged is one of a server's. */
static size_t make_packet(uint8_t packet[DHCP_PACKET_MAX])
{
	static const uint8_t data[] = { 1, 2, 3, 4, 5 };
	const size_t size =
		dhcp_packet_build((struct in_addr){ htonl(0xc0a80101) },
				  (struct in_addr){ INADDR_BROADCAST }, data, sizeof(data), packet);

	packet[21] = DHCP_SERVER_PORT;
	packet[23] = DHCP_CLIENT_PORT;
	return size;
}

static void test_packet(void **state)
{
	uint8_t packet[DHCP_PACKET_MAX];
	const size_t size = make_packet(packet);
	const uint8_t *data = NULL;
	size_t data_size = 0;

	assert_int_equal(size, 33);
	assert_int_equal(dhcp_packet_parse(packet, size, true, &data, &data_size), 0);
	assert_int_equal(data_size, 5);
	assert_int_equal(data[4], 5);
	/* Frames are padded. */
	assert_int_equal(dhcp_packet_parse(packet, size + 7, true, &data, &data_size), 0);
	assert_int_equal(data_size, 5);
	packet[30] ^= 1;
	assert_true(dhcp_packet_parse(packet, size, true, &data, &data_size) < 0);
	assert_int_equal(dhcp_packet_parse(packet, size, false, &data, &data_size), 0);
	packet[26] = packet[27] = 0; /* no checksum at all */
	assert_int_equal(dhcp_packet_parse(packet, size, true, &data, &data_size), 0);
}

static void test_bad_packets(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = { { 0, 0x65 }, { 0, 0x44 }, { 0, 0x4f }, { 3, 40 },  { 3, 20 },
			{ 6, 0x20 }, { 7, 1 },    { 9, 6 },    { 12, 99 }, { 21, 68 },
			{ 23, 67 },  { 25, 7 },   { 25, 14 } };
	const uint8_t *data;
	size_t data_size;

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		uint8_t packet[DHCP_PACKET_MAX];
		const size_t size = make_packet(packet);

		packet[changes[i].at] = changes[i].value;
		if (dhcp_packet_parse(packet, size, false, &data, &data_size) == 0)
			fail_msg("accepted with %u at %zu", changes[i].value, changes[i].at);
		for (size_t cut = 0; cut < size; cut++) {
			uint8_t again[DHCP_PACKET_MAX];

			(void)make_packet(again);
			assert_true(dhcp_packet_parse(again, cut, false, &data, &data_size) < 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ack),          cmocka_unit_test(test_split_and_overload),
		cmocka_unit_test(test_bad_messages), cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_request),      cmocka_unit_test(test_packet),
		cmocka_unit_test(test_bad_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
