/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DNS responder: one thread that answers on every network's gateway
 * addresses, UDP and TCP, port 53. Names of containers come from its user
 * through a table of functions; all other names are asked of upstream servers
 * and the answer is handed on with the client's own id.
 *
 * What it answers by itself, on every network:
 *   localhost                      127.0.0.1, ::1
 *   host.docker.internal, host.container.internal, gateway.docker.internal
 *                                  the network's gateway addresses
 *   any other name under "cay"     does not exist; it never goes upstream
 *
 * A client whose address is one of the gateways' own is the host. Its
 * resolver asks here for containers only: what is no name of ours is refused
 * (REFUSED makes a resolver take its next server), so that a host whose
 * resolver asks us can't be asked by us in a circle.
 *
 * RFC 1034, 1035 (messages, TCP), 2181, 6891 (EDNS0), 7766 (TCP), 5452
 * (answers that belong to a question).
 */
#pragma once

#include "net/dns-message.h"
#include "net/dns-upstream.h"

/* Whose question it is: all three are good for the length of the call. */
struct dns_client {
	const char *network;               /* the listener's key */
	const struct net_address *gateway; /* the address that was asked */
	const struct net_address *address; /* who asks; the source address of the packet */
	bool host;                         /* who asks is the host itself */
};

enum dns_verdict {
	DNS_NOT_OURS, /* ask upstream */
	DNS_FOUND,    /* a name of ours; with no address of the asked family the answer is empty */
	DNS_ABSENT,   /* ours to know, and it does not exist (NXDOMAIN) */
};

enum dns_forwarding {
	DNS_FORWARD_NEVER, /* this client's questions don't leave: NXDOMAIN */
	DNS_FORWARD_HOST,  /* to the servers of the host's resolv.conf */
	DNS_FORWARD_LIST,  /* to these */
};

/*
 * What the user knows. Called on the server's thread, one call at a time, with no lock of the
 * server held, so they may take the user's own locks; they must be quick and not block on anything
 * else, since nobody is answered meanwhile. All three are required.
 */
struct dns_names {
	/*
	 * The addresses, of both families, of a name that the client may know. `name` is in lower
	 * case, without the dot at its end; its bytes are letters, digits, '-', '_' and dots
	 * between labels (a question with others never comes here).
	 */
	enum dns_verdict (*lookup)(void *user, const struct dns_client *client, const char *name,
				   struct dns_addresses *ret_addresses);
	/*
	 * The name that belongs to an address. DNS_ABSENT for addresses of our subnets that nobody
	 * has, so that they are not asked for upstream. ret_name is written for DNS_FOUND.
	 */
	enum dns_verdict (*reverse)(void *user, const struct dns_client *client,
				    const struct net_address *address,
				    char ret_name[DNS_NAME_TEXT_MAX]);
	/* Where the client's other questions go; ret_servers is for DNS_FORWARD_LIST. */
	enum dns_forwarding (*upstreams)(void *user, const struct dns_client *client,
					 struct dns_upstreams *ret_servers);
};

struct dns_options {
	const struct dns_names *names; /* outlives the server */
	void *user;
	const char *resolv_conf; /* path of the host's; NULL stands for /etc/resolv.conf */
	uint16_t port;           /* to listen on; 0 stands for 53 */
};

struct dns_server;

/* Starts the thread. */
int dns_server_new(const struct dns_options *options, struct dns_server **ret_server,
		   struct cay_error *err);
/* Ends the thread and closes everything; questions under way stay without an answer. */
void dns_server_free(struct dns_server *server);
DEFINE_CLEANUP(struct dns_server *, dns_server_free);

/*
 * Listens on an address, which need not exist yet (IP_FREEBIND), as `network`'s gateway. When it
 * returns, questions are answered. Any thread, also under locks that the functions of dns_names
 * take. An address that is in use is CAY_CONFLICT, with a message that says what to do.
 */
int dns_server_add(struct dns_server *server, const char *network,
		   const struct net_address *address, struct cay_error *err);
/*
 * Stops listening on all of a network's addresses; unknown networks are no error. When it returns,
 * the sockets are closed and the addresses free; a dns_names function that runs at the moment may
 * still see the network's key. Any thread, as above.
 */
void dns_server_remove(struct dns_server *server, const char *network);
