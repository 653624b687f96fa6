/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses and hosts a registry may send us to. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <sys/socket.h>

/* Loopback, unspecified and link-local addresses, cloud metadata services among them. */
bool address_is_local(const struct sockaddr *address);

/* Docker Hub: what people write, and where its registry answers. */
#define HUB_NAME   "docker.io"
#define HUB_SERVER "registry-1.docker.io"

/* The parts of an http or https URL; the caller frees the strings by url_done(). */
struct url {
	bool https;
	char *host; /* as written, an IPv6 address without its brackets */
	char *port; /* always given: 80 or 443 by default */
};
void url_done(struct url *url);
#define _cleanup_url_ _cleanup_(url_done)

/* CAY_INVALID for another scheme, for one with a user or password in it, and for what is no URL. */
int url_parse(const char *text, struct url *ret_url, struct cay_error *err);
/* Whether the host is spelled as an address that address_is_local(), or as "localhost". */
bool url_is_local(const struct url *url);
/* Whether it is spelled as a loopback address, or as "localhost": what is sent stays here. */
bool url_is_loopback(const struct url *url);
/*
 * "host[:port]", as people write it and as its folder of certificates is called; the caller frees.
 */
char *url_server(const struct url *url);
bool url_same_server(const struct url *a, const struct url *b);
/*
 * A reference (RFC 3986) from a page at `base`, as a URL; the caller frees. CAY_INVALID where that
 * is none that url_parse() takes.
 */
int url_resolve(const char *base, const char *reference, char **ret_url, struct cay_error *err);

/* Whether `host` is an address that equals `network`, or lies in it where it is "ADDRESS/BITS". */
bool address_in_network(const char *host, const char *network);
/* Whether `text` is "ADDRESS/BITS". */
bool network_is_valid(const char *text);
/* The same as address_in_network() for a host's name, by what it resolves to. Blocks for DNS. */
bool host_in_network(const char *host, const char *network);
