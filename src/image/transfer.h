/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request and its answer, by libcurl: no redirect is followed, no
 * credential added here. Proxies are those of the environment (proxy.h). A
 * transfer that stands still, or nearly so, is given up; a cancelled one ends
 * at once.
 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "image/certs.h"
#include "image/worker.h"

/* What is sent: a piece of a file, or of memory. It can be sent again. */
struct transfer_body {
	const void *data; /* NULL: it is read from fd */
	int fd;
	uint64_t offset, size;
	void (*sent)(uint64_t bytes, void *user); /* told often; may be NULL */
	void *user;
};

struct transfer_request {
	const char *url;
	const char *method;               /* NULL: GET, or POST with a form */
	const char *authorization;        /* a header's value, or NULL */
	const char *accept;               /* a header's value, or NULL */
	const char *content_type;         /* a header's value, or NULL */
	const char *content_range;        /* a header's value, or NULL */
	const char *form;                 /* a body to be posted, or NULL */
	const struct transfer_body *body; /* of a POST, PUT or PATCH; NULL: an empty one */
	uint64_t offset;                  /* the bytes in front of it are not wanted */
	const struct certs *certs;        /* for https; NULL: the system's authorities */
	bool unverified;                  /* https with whoever answers */
	/* Addresses of this host and of the link are refused, whatever name led there. */
	bool guarded;
	bool direct; /* past any proxy: the server is on this host */
	unsigned int idle_seconds;
	const struct worker_cancel *cancel;
	/* Gets a successful answer's body; NULL collects it in reply->body. Its error ends all. */
	int (*sink)(const void *data, size_t size, void *user, struct cay_error *err);
	void *user;
	size_t limit; /* of a collected body */
};

struct transfer_reply {
	int status;
	char *redirect; /* where a 3xx leads, absolute */
	char *content_type, *digest, *range;
	char *location, *link;    /* Location and Link as they came */
	char *received;           /* Range: what an upload has of its blob */
	uint64_t min_chunk;       /* OCI-Chunk-Min-Length; 0: not given */
	int64_t length;           /* Content-Length; -1: not given */
	struct strv challenges;   /* values of WWW-Authenticate */
	unsigned int retry_after; /* seconds; 0: not given */
	struct buf body; /* collected, or an error's (TRANSFER_ERROR_MAX bytes of it at most) */
	bool transient;  /* of a failed transfer: it may well work the next time */
};

enum { TRANSFER_ERROR_MAX = 64 * 1024 };

void transfer_reply_done(struct transfer_reply *reply);
#define _cleanup_transfer_reply_ _cleanup_(transfer_reply_done)

/* Keeps connections between requests. For one thread at a time. */
struct transfer;
struct transfer *transfer_new(void);
void transfer_free(struct transfer *transfer);
DEFINE_CLEANUP(struct transfer *, transfer_free);

/*
 * 0 when an answer came whole, whatever its status. The sink may look into the reply: status and
 * headers are there. The reply must be all zeros.
 */
int transfer_run(struct transfer *transfer, const struct transfer_request *request,
		 struct transfer_reply *reply, struct cay_error *err);
