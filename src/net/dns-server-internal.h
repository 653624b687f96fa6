/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the DNS responder share.
 *
 * One thread waits with epoll for all sockets: listeners (UDP and TCP of each
 * gateway address), clients' TCP connections, and the sockets on which servers
 * were asked. Everything is guarded by one lock, which the thread holds while
 * it handles an event and lets go while it calls a function of dns_names;
 * dns_server_add() and _remove() take it from other threads. So whatever the
 * thread looks at may have been closed behind each such call. It is still
 * there, though: what is closed is only freed by the thread itself, before it
 * waits again.
 */
#pragma once

#include "net/dns-server.h"
#include "net/resolv-conf.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/queue.h>

/* Limits. All of it is per server, and clients are foreign. */
enum {
	DNS_PENDING_MAX = 1024,       /* questions that wait for servers */
	DNS_PENDING_CLIENT_MAX = 128, /* of one client */
	DNS_STREAM_MAX = 128,         /* clients' TCP connections */
	DNS_STREAM_CLIENT_MAX = 16,   /* of one client */
	DNS_TCP_UPSTREAM_MAX = 64,    /* TCP connections to servers */
	DNS_SOCKETS_MAX = 4096, /* to servers; a quarter of the process's descriptors at most */
	DNS_QUERY_MAX = 4096,   /* bytes of a question */
	DNS_BATCH_MAX = 64,     /* datagrams read from a socket before others have their turn */
};

/* Times in milliseconds. */
enum {
	DNS_TICK_MS = 50,           /* how often deadlines are looked at while there are any */
	DNS_TRY_MS = 1500,          /* to wait for a server before the next is asked */
	DNS_TRY_TCP_MS = 3000,      /* the same by TCP */
	DNS_ROUNDS = 2,             /* times that each server is asked */
	DNS_ASK_MS = 9000,          /* for all of it; the C library's clients wait ten seconds */
	DNS_STREAM_IDLE_MS = 10000, /* a client's connection without a whole question */
	DNS_SERVER_REST_MS = 30000, /* a server that didn't answer is asked last for so long */
};

/* A descriptor that the thread waits for; the first member of what it belongs to. */
struct dns_source {
	int fd; /* -1: closed */
	uint32_t events;
	void (*ready)(struct dns_server *server, struct dns_source *source, uint32_t events);
	void (*release)(struct dns_source *source); /* frees what it belongs to */
	SLIST_ENTRY(dns_source) retired;
};

/* Both sockets of one gateway address. */
struct dns_listener {
	char *network;
	struct net_address address;
	struct dns_door {
		struct dns_source source;
		struct dns_listener *listener;
		bool stream;
	} * udp, *tcp;
	unsigned int references; /* the two doors */
	LIST_ENTRY(dns_listener) link;
};

/* A client's TCP connection; it asks one question at a time. */
struct dns_stream {
	struct dns_source source;
	struct dns_listener *listener; /* while the source is open */
	struct sockaddr_storage peer;
	int64_t deadline_ms;
	struct dns_pending *pending; /* what it waits for */
	uint8_t in[2 + DNS_QUERY_MAX];
	size_t in_length;
	uint8_t *out; /* NULL while nothing is to be sent */
	size_t out_length, out_sent;
	LIST_ENTRY(dns_stream) link;
};

/* Who gets an answer. */
struct dns_asker {
	struct dns_listener *listener;
	struct sockaddr_storage peer;
	socklen_t peer_length;
	struct dns_stream *stream; /* NULL: by UDP */
};

/* One server asked one question. */
struct dns_attempt {
	struct dns_source source;
	struct dns_pending *pending; /* while the source is open */
	unsigned int server;         /* its place in the pending question's list */
	bool stream;
	uint16_t id;
	size_t sent; /* by TCP, of the question and its length */
	uint8_t *in; /* by TCP: the length's two bytes, then as many as they say */
	size_t in_length, in_size;
};

/* A question that waits for servers. */
struct dns_pending {
	struct dns_asker asker;
	struct net_address client;
	struct dns_query query;
	uint8_t *message; /* the question as the client sent it, behind room for a length */
	size_t message_size;
	struct dns_upstreams servers;
	struct dns_attempt *udp[DNS_UPSTREAMS_MAX]; /* open ones; a late answer is welcome */
	struct dns_attempt *tcp;                    /* one at most */
	struct dns_attempt *latest;                 /* one of these, or NULL */
	bool failed[DNS_UPSTREAMS_MAX];             /* servers that need not be asked again */
	unsigned int tries;
	int64_t next_try_ms, deadline_ms;
	enum dns_rcode rcode; /* what the client is told if all fail */
	uint8_t *cut;         /* an answer in part, if the whole can't be had */
	size_t cut_size;
	LIST_ENTRY(dns_pending) link;
};

/* A server that did not answer lately. */
struct dns_rest {
	struct dns_endpoint server;
	int64_t until_ms;
};

struct dns_server {
	const struct dns_names *names;
	void *user;
	uint16_t port;
	struct resolv_conf_follower resolv_conf;
	char *resolv_conf_path;
	pthread_t thread;
	pthread_mutex_t lock;
	int epoll_fd;
	int wake_fd; /* the thread is to look at `stopping` or at its deadlines */
	bool stopping;
	bool starved;   /* no descriptor was left for a connection: accepting rests for a tick */
	int64_t now_ms; /* when the thread last woke */
	LIST_HEAD(dns_listener_list, dns_listener) listeners;
	LIST_HEAD(dns_stream_list, dns_stream) streams;
	LIST_HEAD(dns_pending_list, dns_pending) pendings;
	SLIST_HEAD(dns_source_list, dns_source) retired;
	unsigned int stream_count, pending_count, tcp_upstream_count, socket_count, socket_max;
	struct dns_rest rests[16];
};

/* dns-server.c; the lock is held. */
int dns_source_open(struct dns_server *server, struct dns_source *source);
void dns_source_expect(struct dns_server *server, struct dns_source *source, uint32_t events);
void dns_source_close(struct dns_server *server, struct dns_source *source);
bool dns_address_is_ours(const struct dns_server *server, const struct net_address *address);

/* dns-server-client.c: questions from clients */
void dns_door_ready(struct dns_server *server, struct dns_source *source, uint32_t events);
bool dns_asker_is_gone(const struct dns_asker *asker);
/* Handles a client's message; an asker by TCP gets exactly one answer, or dns_stream_close(). */
void dns_handle_query(struct dns_server *server, const struct dns_asker *asker, const uint8_t *data,
		      size_t size);
/* Sends an answer that is complete but for its size; `data` may be changed. */
void dns_send_reply(struct dns_server *server, const struct dns_asker *asker,
		    const struct dns_query *query, uint8_t *data, size_t size);
void dns_send_code(struct dns_server *server, const struct dns_asker *asker,
		   const struct dns_query *query, enum dns_rcode rcode);

/* dns-server-stream.c: clients' connections */
void dns_stream_accept(struct dns_server *server, struct dns_door *door);
void dns_stream_send(struct dns_server *server, struct dns_stream *stream, const uint8_t *data,
		     size_t size);
void dns_stream_close(struct dns_server *server, struct dns_stream *stream);
void dns_stream_tick(struct dns_server *server);

/* dns-server-forward.c: questions handed on */
void dns_forward(struct dns_server *server, const struct dns_asker *asker,
		 const struct dns_client *client, const struct dns_query *query,
		 const uint8_t *data, size_t size);
void dns_pending_drop(struct dns_server *server, struct dns_pending *pending);
void dns_forward_tick(struct dns_server *server);
/* A message came from the attempt's server; `data` may be changed. The attempt may be gone after.
 */
void dns_attempt_received(struct dns_server *server, struct dns_attempt *attempt, uint8_t *data,
			  size_t size);
/* The server can't be reached. The attempt is gone after. */
void dns_attempt_failed(struct dns_server *server, struct dns_attempt *attempt);

/* dns-server-attempt.c: servers asked */
int dns_attempt_new(struct dns_server *server, struct dns_pending *pending, unsigned int index,
		    bool stream, struct dns_attempt **ret_attempt);
/* Sends the question, by UDP once more; 0 or -errno. */
int dns_attempt_send(struct dns_attempt *attempt);
/* Leaves the pending question's pointers to it alone. */
void dns_attempt_close(struct dns_server *server, struct dns_attempt *attempt);

/* dns-server-rest.c: which servers are worth asking */
void dns_rest_begin(struct dns_server *server, const struct dns_endpoint *endpoint);
void dns_rest_end(struct dns_server *server, const struct dns_endpoint *endpoint);
/* Puts those that rest last, and leaves ourselves out. */
void dns_rest_sort(const struct dns_server *server, struct dns_upstreams *servers);
