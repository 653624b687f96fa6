/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of HTTP/1.1 requests (RFC 9112): heads and bodies, fed piece by
 * piece in whatever sizes they come. Nothing here knows of sockets, threads or
 * the API; what is read gives the same result however it was cut.
 *
 * Where the RFC leaves a choice between leniency and refusal, what two readers
 * could take for two things is refused: two lengths, a length beside an
 * encoding, a blank before a colon, a folded line. A bare LF may end a line of
 * the head, as people type it, but not one of a chunked body.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

/* Limits on what a client may send, in bytes unless said otherwise. */
enum {
	HTTP_HEAD_MAX = 64 * 1024,    /* a whole head, with the line ends */
	HTTP_FIELDS_MAX = 128,        /* header fields of a head, a number */
	HTTP_CHUNK_LINE_MAX = 4096,   /* a chunk's size and extensions */
	HTTP_TRAILER_MAX = 16 * 1024, /* all fields behind a chunked body */
};

/* A request's head, on its way and then whole. Begins as all zeros. */
struct http_head {
	char *method, *target;     /* NULL until the first line has come */
	bool is_http10;            /* else 1.1 or a later 1.x, which is read as 1.1 */
	struct strv names, values; /* header fields, as they came; as many of each */

	/* What the fields mean; set once the head is whole. */
	uint64_t length;   /* of the body; 0 without one, and where it is chunked */
	bool is_chunked;   /* the body says itself where it ends */
	bool is_lasting;   /* the client means to use the connection again */
	bool is_expecting; /* it waits for "100 Continue" before it sends its body */

	struct buf line; /* the part of a line that has come */
	size_t taken;    /* bytes of the head so far */
};

void http_head_done(struct http_head *head);
/*
 * Takes bytes from the front of *input. 1: the head is whole, and what is left in *input follows
 * it. 0: all was taken, and more is needed. -errno for bytes that are no head: CAY_INVALID, or
 * CAY_TOO_LARGE over a limit; no more may be fed then.
 */
int http_head_feed(struct http_head *head, struct str *input, struct cay_error *err);
/* The first field of that name, or NULL. */
const char *http_head_field(const struct http_head *head, const char *name);
/* Whether a field that is a comma-separated list, perhaps over several lines, has the word. */
bool http_head_has_token(const struct http_head *head, const char *name, const char *token);

enum http_body_state {
	HTTP_BODY_OVER, /* all of it has come, or there is none */
	HTTP_BODY_COUNTED,
	HTTP_BODY_CHUNK_SIZE,
	HTTP_BODY_CHUNK_DATA,
	HTTP_BODY_CHUNK_END,
	HTTP_BODY_TRAILER,
};

/* A request's body on its way. */
struct http_body {
	enum http_body_state state;
	uint64_t left;   /* of a counted body or of a chunk */
	size_t trailer;  /* bytes of the trailer so far */
	struct buf line; /* the part of a line that has come */
};

/* Of a whole head. */
void http_body_init(struct http_body *body, const struct http_head *head);
void http_body_done(struct http_body *body);
/*
 * Takes bytes from the front of *input, up to a piece of the body's content, which is a slice of
 * the input, or to the body's end, or, with an empty piece, all of it. Trailers are checked and
 * dropped. -errno for what is no body: CAY_INVALID, or CAY_TOO_LARGE for the trailer.
 */
int http_body_feed(struct http_body *body, struct str *input, struct str *ret_piece,
		   struct cay_error *err);
