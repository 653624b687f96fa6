/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the registry client share. */
#pragma once

#include "image/address.h"
#include "image/auth.h"
#include "image/registry.h"

#include <pthread.h>

struct registry {
	struct registry_options options;
	char *base; /* "https://host[:port]/v2" */
	struct url url;
	bool local;   /* it is on this host itself, so it may lead to this host */
	bool proxied; /* connections go to a proxy, whose address says nothing */
	pthread_mutex_t lock;
	char *authorization;     /* what its requests carry; NULL at first */
	unsigned int generation; /* counts changes of it */
};

/* Whether "host[:port]" of this URL was configured for plain HTTP. */
bool registry_is_insecure(const struct registry *registry, const struct url *url);

/*
 * Gets an authorization for the challenges of a 401. `generation` is that of the one that was
 * refused: another thread may have got a new one meanwhile.
 */
int registry_authorize(struct registry *registry, struct transfer *transfer,
		       const struct strv *headers, unsigned int generation, struct cay_error *err);
