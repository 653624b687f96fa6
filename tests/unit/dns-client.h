/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages written and read by the tests, with code of their own where they judge ours. */
#pragma once

#include "test.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "net/dns-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { NO_EDNS = 0, WAIT_MS = 5000, ID = 0x1234 };
enum { FLAG_QR = 0x8000, FLAG_AA = 0x0400, FLAG_TC = 0x0200, FLAG_RD = 0x0100, FLAG_RA = 0x0080 };

static inline uint16_t u16_at(const uint8_t *data, size_t at)
{
	return (uint16_t)(data[at] << 8 | data[at + 1]);
}

static inline void append_u16(struct buf *message, unsigned int value)
{
	const uint8_t bytes[] = { (uint8_t)(value >> 8), (uint8_t)value };

	buf_append(message, bytes, sizeof(bytes));
}

static inline void append_header(struct buf *message, unsigned int id, unsigned int flags,
				 unsigned int questions, unsigned int answers,
				 unsigned int additional)
{
	append_u16(message, id);
	append_u16(message, flags);
	append_u16(message, questions);
	append_u16(message, answers);
	append_u16(message, 0);
	append_u16(message, additional);
}

/* "a.b" */
static inline void append_name(struct buf *message, const char *name)
{
	struct str rest = str_from(name);

	while (rest.length > 0) {
		struct str label = str_split(rest, '.', &rest);

		buf_putc(message, (char)label.length);
		buf_append(message, label.data, label.length);
	}
	buf_putc(message, '\0');
}

static inline void append_opt(struct buf *message, unsigned int size, unsigned int version)
{
	buf_putc(message, '\0');
	append_u16(message, DNS_TYPE_OPT);
	append_u16(message, size);
	append_u16(message, version);
	append_u16(message, 0x8000);
	append_u16(message, 0);
}

/* A question; the caller frees it. edns: the size by UDP, or NO_EDNS. */
static inline void append_question(struct buf *message, unsigned int id, const char *name,
				   unsigned int type, unsigned int edns)
{
	append_header(message, id, FLAG_RD, 1, 0, edns ? 1 : 0);
	append_name(message, name);
	append_u16(message, type);
	append_u16(message, DNS_CLASS_IN);
	if (edns)
		append_opt(message, edns, 0);
}

/* What a message says. */
struct reply {
	uint8_t data[DNS_MESSAGE_MAX];
	size_t size;
	unsigned int flags, rcode, questions, answers;
	bool edns;
	char addresses[DNS_ADDRESSES_MAX + 1][NET_ADDRESS_TEXT_MAX]; /* A and AAAA, in order */
	size_t address_count;
	char pointer[DNS_NAME_TEXT_MAX];
};

static inline void read_rdata(struct reply *reply, unsigned int type, size_t at, size_t length)
{
	struct dns_name name;

	if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA) {
		assert_int_equal(length, type == DNS_TYPE_A ? 4 : 16);
		if (reply->address_count < ARRAY_SIZE(reply->addresses))
			assert_non_null(inet_ntop(
				type == DNS_TYPE_A ? AF_INET : AF_INET6, reply->data + at,
				reply->addresses[reply->address_count++], NET_ADDRESS_TEXT_MAX));
	} else if (type == DNS_TYPE_PTR) {
		assert_int_equal(dns_name_read(reply->data, reply->size, &at, &name), 0);
		assert_true(dns_name_text(&name, reply->pointer));
	} else if (type == DNS_TYPE_OPT) {
		reply->edns = true;
	}
}

/* Reads it whole; a message that isn't well-formed fails the test. */
static inline void read_reply(struct reply *reply)
{
	size_t at = DNS_HEADER_SIZE;
	unsigned int records;

	assert_true(reply->size >= DNS_HEADER_SIZE);
	reply->flags = u16_at(reply->data, 2);
	reply->rcode = reply->flags & 15;
	reply->questions = u16_at(reply->data, 4);
	reply->answers = u16_at(reply->data, 6);
	reply->edns = false;
	reply->address_count = 0;
	reply->pointer[0] = '\0';
	assert_true(reply->flags & FLAG_QR);
	for (unsigned int i = 0; i < reply->questions; i++, at += 4)
		assert_int_equal(dns_name_read(reply->data, reply->size, &at, NULL), 0);
	records = reply->answers + u16_at(reply->data, 8) + u16_at(reply->data, 10);
	for (unsigned int i = 0; i < records; i++) {
		unsigned int type, length;

		assert_int_equal(dns_name_read(reply->data, reply->size, &at, NULL), 0);
		assert_true(at + 10 <= reply->size);
		type = u16_at(reply->data, at);
		length = u16_at(reply->data, at + 8);
		at += 10;
		assert_true(at + length <= reply->size);
		read_rdata(reply, type, at, length);
		at += length;
	}
	assert_int_equal(at, reply->size);
}

/* ---- sockets ---- */

static inline struct net_address address_of(const char *text)
{
	struct net_address address;
	struct cay_error err = { .code = CAY_OK };

	assert_ok(net_address_parse(text, &address, &err));
	return address;
}

/* A socket bound to an address (port 0: any), and for TCP listening when told. */
static inline int bound_socket(const char *address, unsigned int port, int type, bool listening)
{
	struct net_address parsed = address_of(address);
	struct sockaddr_storage name;
	socklen_t length = net_address_to_sockaddr(&parsed, (uint16_t)port, &name);
	int fd = socket(parsed.family, type | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&name, length), 0);
	if (listening)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* A socket of a client with this address, connected to a server. */
static inline int client_socket(const char *client, const char *server, unsigned int port, int type)
{
	struct net_address parsed = address_of(server);
	struct sockaddr_storage name;
	socklen_t length = net_address_to_sockaddr(&parsed, (uint16_t)port, &name);
	int fd = bound_socket(client, 0, type, false);

	assert_int_equal(connect(fd, (const struct sockaddr *)&name, length), 0);
	return fd;
}

static inline bool readable(int fd, int wait_ms)
{
	struct pollfd item = { .fd = fd, .events = POLLIN };

	return poll(&item, 1, wait_ms) == 1;
}

static inline unsigned int port_of(int fd)
{
	struct sockaddr_in name;
	socklen_t length = sizeof(name);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
	return ntohs(name.sin_port);
}

static inline void send_datagram(int fd, const struct buf *message)
{
	assert_int_equal(send(fd, message->data, message->length, 0), message->length);
}

/* The next message; false when none comes. */
static inline bool receive_datagram(int fd, int wait_ms, struct reply *reply)
{
	ssize_t size;

	if (!readable(fd, wait_ms))
		return false;
	size = recv(fd, reply->data, sizeof(reply->data), 0);
	if (size < 0)
		return false;
	reply->size = (size_t)size;
	read_reply(reply);
	return true;
}

static inline void send_framed(int fd, const struct buf *message)
{
	_cleanup_buf_ struct buf framed = { .length = 0 };

	append_u16(&framed, (unsigned int)message->length);
	buf_append(&framed, message->data, message->length);
	assert_int_equal(write_full(fd, framed.data, framed.length), 0);
}

static inline bool receive_framed(int fd, int wait_ms, struct reply *reply)
{
	uint8_t length[2];

	if (!readable(fd, wait_ms) || read_full(fd, length, 2) != 2)
		return false;
	reply->size = u16_at(length, 0);
	if (read_full(fd, reply->data, reply->size) != (ssize_t)reply->size)
		return false;
	read_reply(reply);
	return true;
}
