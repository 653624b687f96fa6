/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the registry client share. */
#pragma once

#include "image/address.h"
#include "image/auth.h"
#include "image/certs.h"
#include "image/registry.h"

#include <pthread.h>

enum {
	TRIES_MAX = 6,       /* in a row without a byte of progress */
	FIRST_TRIES_MAX = 3, /* to reach a server at all: a typing error is told soon */
	TRIES_IN_ALL = 100,  /* of one blob */
};

#define ACCEPT_MANIFESTS \
	MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST ", " MEDIA_DOCKER_MANIFEST

struct registry {
	struct registry_options options;
	char *base; /* "https://host[:port]/v2" */
	struct url url;
	bool local;    /* it is on this host or its link, so it may lead there */
	bool insecure; /* as configured, or by being on loopback without an authority of its own */
	struct certs certs;
	pthread_mutex_t lock;   /* of all below */
	struct transfer **idle; /* those that nobody has borrowed */
	size_t idle_count;
	char *authorization;     /* what its requests carry; NULL at first */
	unsigned int generation; /* counts changes of it */
	bool login;              /* the token server is asked for an identity token */
	char *identity_token;    /* what it gave */
};

/* Whether "host[:port]" of this URL was configured as insecure. */
bool registry_is_insecure(const struct registry *registry, const struct url *url);

/* "BASE/REPOSITORY/KIND/NAME"; the caller frees. */
char *registry_url(const struct registry *registry, const char *kind, const char *name);

/*
 * Sends a request to `url`, answers one challenge and follows redirects, until there is an answer
 * of another kind. `request` is the caller's but for what is filled in here. With `foreign`, the
 * registry's credentials are not for this URL, whatever its host is. `reply` must be zeros or that
 * of an earlier call.
 */
int registry_send(struct registry *registry, struct transfer *transfer, const char *url,
		  bool foreign, struct transfer_request *request, struct transfer_reply *reply,
		  struct cay_error *err);

/* The same again until the answer is no passing failure, within reason. */
int registry_ask(struct registry *registry, struct transfer *transfer, const char *url,
		 struct transfer_request *request, struct transfer_reply *reply,
		 struct cay_error *err);

/*
 * Whether one URL may lead to another: not from https to http, nor from elsewhere to this host and
 * its link.
 */
int registry_check_step(const struct registry *registry, const struct url *from,
			const struct url *to, struct cay_error *err);

/* The pause before the next try: longer each time, a little random, never deaf. */
int registry_pause(struct registry *registry, unsigned int tries, unsigned int retry_after,
		   struct cay_error *err);
bool registry_status_is_transient(int status);
/* An answer that is a refusal, as an error. Never 0. */
int registry_tell_status(struct registry *registry, const struct transfer_reply *reply,
			 struct cay_error *err);

/*
 * Gets an authorization for the challenges of a 401. `generation` is that of the one that was
 * refused: another thread may have got a new one meanwhile.
 */
int registry_authorize(struct registry *registry, struct transfer *transfer,
		       const struct strv *headers, unsigned int generation, struct cay_error *err);

/* How the registry's options look for a server: its authorities, our certificate, no check. */
struct security {
	struct certs certs;
	bool unverified;
};
void security_done(struct security *security);
#define _cleanup_security_ _cleanup_(security_done)
int registry_security(const struct registry *registry, const struct url *url,
		      struct security *ret_security, struct cay_error *err);
/*
 * Whether a URL that the registry leads to may not turn out to be at an address of this host or its
 * link. The registry's own name may, as it does on the host that runs the registry: but only its
 * own server, or one that proves by TLS to have that name, as a name may change its address.
 */
bool registry_is_guarded(const struct registry *registry, const struct url *url,
			 const struct security *security);
