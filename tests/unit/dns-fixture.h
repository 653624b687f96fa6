/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A DNS server of ours on 127.10.0.1 (the network "one") and 127.10.1.1 and
 * ::1 ("two"), with clients on other addresses of 127.0.0.0/8, and upstream
 * servers that behave as the question's first label says.
 */
#pragma once

#include "dns-client.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define GATEWAY       "127.10.0.1"
#define CLIENT        "127.10.0.2"
#define OTHER_GATEWAY "127.10.1.1"
#define OTHER_CLIENT  "127.10.1.2"

/* ---- an upstream server ---- */

struct upstream {
	const char *address;
	unsigned int port;
	int udp, tcp, stop;
	bool deaf;                   /* answers nothing by UDP */
	bool broken;                 /* SERVFAIL to all */
	unsigned int asked, by_tcp;  /* questions that came */
	uint16_t last_id, last_port; /* of the last by UDP */
	uint16_t last_size;          /* of its EDNS; 0 without */
	int held[16];                /* connections left open without an answer */
	size_t held_count;
	pthread_t thread;
};

static inline unsigned int count_of(const unsigned int *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* The answer to a question that we trust, with so many addresses 198.51.100.x. */
static inline void append_upstream_reply(struct buf *out, const struct buf *question,
					 unsigned int flags, unsigned int answers)
{
	size_t end = DNS_HEADER_SIZE;

	while (question->data[end])
		end += 1 + (size_t)(uint8_t)question->data[end];
	end += 5;
	append_header(out, u16_at((const uint8_t *)question->data, 0), FLAG_QR | FLAG_RA | flags, 1,
		      answers, 0);
	buf_append(out, question->data + DNS_HEADER_SIZE, end - DNS_HEADER_SIZE);
	for (unsigned int i = 0; i < answers; i++) {
		append_u16(out, 0xc00c);
		append_u16(out, DNS_TYPE_A);
		append_u16(out, DNS_CLASS_IN);
		append_u16(out, 0);
		append_u16(out, 60);
		append_u16(out, 4);
		append_u16(out, 198 << 8 | 51);
		append_u16(out, 100 << 8 | i);
	}
}

static inline bool asks(const struct buf *question, const char *label)
{
	size_t length = strlen(label);

	return (size_t)question->data[DNS_HEADER_SIZE] == length &&
		memcmp(question->data + DNS_HEADER_SIZE + 1, label, length) == 0;
}

/* What is sent back by UDP before the true answer, or instead of it. */
static inline bool make_udp_reply(struct upstream *u, const struct buf *question, struct buf *out)
{
	if (u->deaf || asks(question, "silent"))
		return false;
	if (u->broken || asks(question, "broken"))
		append_upstream_reply(out, question, DNS_SERVFAIL, 0);
	else if (asks(question, "absent"))
		append_upstream_reply(out, question, DNS_NXDOMAIN, 0);
	else if (asks(question, "big"))
		append_upstream_reply(out, question, FLAG_TC, 2);
	else if (asks(question, "bigger"))
		append_upstream_reply(out, question, 0, 60);
	else
		append_upstream_reply(out, question, 0, 1);
	return true;
}

static inline void send_lies(struct upstream *u, const struct buf *question,
			     const struct sockaddr_in *peer)
{
	_cleanup_buf_ struct buf id = { .length = 0 }, name = { .length = 0 };
	int elsewhere = bound_socket("127.20.0.99", 0, SOCK_DGRAM, false);
	const struct sockaddr *to = (const struct sockaddr *)peer;

	append_upstream_reply(&id, question, 0, 9);
	/* Complete, and to the right question, but from another server. */
	(void)sendto(elsewhere, id.data, id.length, 0, to, sizeof(*peer));
	(void)close(elsewhere);
	id.data[0] = (char)(id.data[0] ^ 1);
	(void)sendto(u->udp, id.data, id.length, 0, to, sizeof(*peer));
	append_upstream_reply(&name, question, 0, 9);
	name.data[DNS_HEADER_SIZE + 1] = 'X';
	(void)sendto(u->udp, name.data, name.length, 0, to, sizeof(*peer));
	name.data[DNS_HEADER_SIZE + 1] = question->data[DNS_HEADER_SIZE + 1];
	(void)sendto(u->udp, name.data, name.length - 3, 0, to, sizeof(*peer));
	(void)sendto(u->udp, "", 0, 0, to, sizeof(*peer));
	/* The question itself, as a reflection. */
	(void)sendto(u->udp, question->data, question->length, 0, to, sizeof(*peer));
}

static inline void serve_udp(struct upstream *u)
{
	_cleanup_buf_ struct buf question = { .length = 0 }, out = { .length = 0 };
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	char *data = buf_reserve(&question, DNS_MESSAGE_MAX);
	ssize_t size =
		recvfrom(u->udp, data, DNS_MESSAGE_MAX, 0, (struct sockaddr *)&peer, &length);
	struct dns_query query;

	if (size < DNS_HEADER_SIZE)
		return;
	question.length = (size_t)size;
	assert_int_equal(dns_query_parse((const uint8_t *)data, (size_t)size, &query), 0);
	u->last_id = query.id;
	u->last_port = ntohs(peer.sin_port);
	u->last_size = query.edns ? u16_at((const uint8_t *)data, query.udp_size_at) : 0;
	__atomic_add_fetch(&u->asked, 1, __ATOMIC_RELEASE);
	if (asks(&question, "lies"))
		send_lies(u, &question, &peer);
	if (make_udp_reply(u, &question, &out))
		(void)sendto(u->udp, out.data, out.length, 0, (const struct sockaddr *)&peer,
			     length);
}

static inline void serve_tcp(struct upstream *u)
{
	_cleanup_close_ int fd = accept4(u->tcp, NULL, NULL, SOCK_CLOEXEC);
	_cleanup_buf_ struct buf question = { .length = 0 }, out = { .length = 0 };
	uint8_t length[2];
	char *data;

	if (fd < 0 || !readable(fd, 1000) || read_full(fd, length, 2) != 2)
		return;
	data = buf_reserve(&question, u16_at(length, 0));
	if (read_full(fd, data, u16_at(length, 0)) != u16_at(length, 0))
		return;
	question.length = u16_at(length, 0);
	__atomic_add_fetch(&u->by_tcp, 1, __ATOMIC_RELEASE);
	if (asks(&question, "hangup"))
		return;
	if (asks(&question, "silent")) {
		assert_true(u->held_count < ARRAY_SIZE(u->held));
		u->held[u->held_count++] = TAKE_FD(fd);
		return;
	}
	append_upstream_reply(&out, &question, 0, asks(&question, "big") ? 100 : 1);
	send_framed(fd, &out);
}

static inline void *upstream_thread(void *user)
{
	struct upstream *u = user;

	for (;;) {
		struct pollfd items[] = {
			{ .fd = u->stop, .events = POLLIN },
			{ .fd = u->udp, .events = POLLIN },
			{ .fd = u->tcp, .events = POLLIN },
		};

		assert_true(poll(items, ARRAY_SIZE(items), -1) > 0);
		if (items[0].revents)
			return NULL;
		if (items[1].revents)
			serve_udp(u);
		if (items[2].revents)
			serve_tcp(u);
	}
}

static inline void upstream_start(struct upstream *u, const char *address)
{
	*u = (struct upstream){ .address = address };
	u->udp = bound_socket(address, 0, SOCK_DGRAM, false);
	u->port = port_of(u->udp);
	u->tcp = bound_socket(address, u->port, SOCK_STREAM, true);
	u->stop = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(pthread_create(&u->thread, NULL, upstream_thread, u), 0);
}

static inline void upstream_stop(struct upstream *u)
{
	const uint64_t one = 1;

	assert_int_equal(write_full(u->stop, &one, sizeof(one)), 0);
	pthread_join(u->thread, NULL);
	(void)close(u->udp);
	(void)close(u->tcp);
	(void)close(u->stop);
	for (size_t i = 0; i < u->held_count; i++)
		(void)close(u->held[i]);
}

/* ---- our server ---- */

struct fixture {
	struct dns_server *server;
	unsigned int port;
	struct upstream first, second;
	char directory[64], *resolv_conf;
	/* What the functions below say; changed while no question is under way. */
	enum dns_forwarding forwarding;
	struct dns_upstreams upstreams;
	unsigned int lookups;
};

static inline void add_upstream(struct fixture *f, const char *address, unsigned int port)
{
	struct dns_endpoint endpoint = { .address = address_of(address), .port = (uint16_t)port };

	dns_upstreams_add(&f->upstreams, &endpoint);
}

static inline enum dns_verdict fixture_lookup(void *user, const struct dns_client *client,
					      const char *name, struct dns_addresses *ret_addresses)
{
	struct fixture *f = user;
	struct net_address address = address_of("10.0.0.5");

	__atomic_add_fetch(&f->lookups, 1, __ATOMIC_RELEASE);
	if (strcmp(name, "many") == 0) {
		for (unsigned int i = 0; i < DNS_ADDRESSES_MAX; i++) {
			address.bytes[3] = (uint8_t)i;
			dns_addresses_add(ret_addresses, &address);
		}
		return DNS_FOUND;
	}
	if (strcmp(name, "gone.one") == 0)
		return DNS_ABSENT;
	if (strcmp(name, "web") != 0 && strcmp(name, "web.cay") != 0)
		return DNS_NOT_OURS;
	if (strcmp(client->network, "two") == 0)
		address.bytes[1] = 1;
	dns_addresses_add(ret_addresses, &address);
	address = address_of("fd00::5");
	dns_addresses_add(ret_addresses, &address);
	return DNS_FOUND;
}

static inline enum dns_verdict fixture_reverse(void *user, const struct dns_client *client,
					       const struct net_address *address,
					       char ret_name[DNS_NAME_TEXT_MAX])
{
	struct net_address web = address_of("10.0.0.5"), other = address_of("10.0.0.6");

	if (net_address_equal(address, &web)) {
		(void)snprintf(ret_name, DNS_NAME_TEXT_MAX, "web.%s", client->network);
		return DNS_FOUND;
	}
	return net_address_equal(address, &other) ? DNS_ABSENT : DNS_NOT_OURS;
}

static inline enum dns_forwarding fixture_upstreams(void *user, const struct dns_client *client,
						    struct dns_upstreams *ret_servers)
{
	struct fixture *f = user;

	*ret_servers = f->upstreams;
	return f->forwarding;
}

static const struct dns_names fixture_names = { fixture_lookup, fixture_reverse,
						fixture_upstreams };

/* A port that is free on all of our addresses, as far as one can know. */
static inline unsigned int free_port(void)
{
	int fd = bound_socket(GATEWAY, 0, SOCK_STREAM, true);
	unsigned int port = port_of(fd);

	(void)close(fd);
	return port;
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct dns_options options = { .names = &fixture_names, .user = f };
	struct net_address gateway = address_of(GATEWAY), other = address_of(OTHER_GATEWAY),
			   ipv6 = address_of("::1");
	struct cay_error err = { .code = CAY_OK };

	make_test_directory(f->directory);
	f->resolv_conf = path_join(f->directory, "resolv.conf");
	f->port = free_port();
	options.port = (uint16_t)f->port;
	options.resolv_conf = f->resolv_conf;
	upstream_start(&f->first, "127.20.0.1");
	upstream_start(&f->second, "127.20.0.2");
	f->forwarding = DNS_FORWARD_LIST;
	add_upstream(f, "127.20.0.1", f->first.port);
	assert_ok(dns_server_new(&options, &f->server, &err));
	assert_ok(dns_server_add(f->server, "one", &gateway, &err));
	assert_ok(dns_server_add(f->server, "two", &other, &err));
	assert_ok(dns_server_add(f->server, "two", &ipv6, &err));
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	struct cay_error err = { .code = CAY_OK };

	dns_server_free(f->server);
	upstream_stop(&f->first);
	upstream_stop(&f->second);
	assert_ok(remove_tree(f->directory, &err));
	free(f->resolv_conf);
	free(f);
	return 0;
}

static inline unsigned int open_descriptors(void)
{
	unsigned int count = 0;
	DIR *directory = opendir("/proc/self/fd");

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	(void)closedir(directory);
	return count;
}

/* ---- questions ---- */

struct question {
	const char *client, *gateway, *name;
	unsigned int type, edns;
	bool stream;
	int wait_ms; /* 0: WAIT_MS */
};

/* Asks and reads the answer; false when none comes. */
static inline bool ask(struct fixture *f, const struct question *q, struct reply *reply)
{
	_cleanup_close_ int fd =
		client_socket(q->client ? q->client : CLIENT, q->gateway ? q->gateway : GATEWAY,
			      f->port, q->stream ? SOCK_STREAM : SOCK_DGRAM);
	_cleanup_buf_ struct buf message = { .length = 0 };
	int wait_ms = q->wait_ms ? q->wait_ms : WAIT_MS;
	bool answered;

	append_question(&message, ID, q->name, q->type ? q->type : DNS_TYPE_A, q->edns);
	if (q->stream)
		send_framed(fd, &message);
	else
		send_datagram(fd, &message);
	answered = q->stream ? receive_framed(fd, wait_ms, reply)
			     : receive_datagram(fd, wait_ms, reply);
	if (answered) {
		assert_int_equal(u16_at(reply->data, 0), ID);
		assert_memory_equal(reply->data + DNS_HEADER_SIZE, message.data + DNS_HEADER_SIZE,
				    strlen(q->name) + 6);
	}
	return answered;
}

#define assert_address(reply, text) \
	do { \
		assert_int_equal((reply)->rcode, DNS_NOERROR); \
		assert_int_equal((reply)->address_count, 1); \
		assert_string_equal((reply)->addresses[0], text); \
	} while (0)
