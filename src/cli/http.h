/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parser for the responses of HTTP/1.1 (RFC 9112), fed with bytes as they
 * arrive. It is ours because a client that takes connections over, as attach
 * and exec do, needs to see exactly where a response's head ends, and because
 * libcurl with the libraries behind it costs 6 ms of every start: eight times
 * what all the rest of cay's start takes.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum {
	HTTP_HEAD_MAX = 64 * 1024, /* status line and headers, or a chunked body's trailer */
};

enum http_state {
	HTTP_HEAD,
	HTTP_BODY_COUNTED, /* Content-Length */
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END,
	HTTP_TRAILER,
	HTTP_BODY_TO_END, /* until the connection closes */
	HTTP_RAW,         /* switched protocols: all that follows is no longer HTTP */
	HTTP_DONE,
};

struct http_parser {
	enum http_state state;
	int status;
	char content_type[128]; /* "" when there is none */
	char *path_stat;        /* X-Docker-Container-Path-Stat, or NULL */
	bool no_body;           /* the request was a HEAD */
	uint64_t left;          /* bytes of the body or chunk still to come */
	struct buf line;        /* the head so far, or a line of chunked framing */
	bool counted, chunked;
};

void http_parser_done(struct http_parser *parser);

/*
 * Takes bytes from the front of *input. Returns when the input is used up, when the head is
 * complete (the state is then past HTTP_HEAD), or with a piece of the body, which points into the
 * input. Call it again while input is left and the state is neither HTTP_DONE nor HTTP_RAW.
 */
int http_parser_feed(struct http_parser *parser, struct str *input, struct str *ret_body,
		     struct cay_error *err);
/* To be called at the connection's end: CAY_UNAVAILABLE when the response is cut short. */
int http_parser_end(struct http_parser *parser, struct cay_error *err);
