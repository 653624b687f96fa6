/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's resolv.conf: its servers, search domains and options; and a
 * follower that reads it anew when it was changed. resolv.conf(5).
 */
#pragma once

#include "base/strv.h"
#include "net/dns-upstream.h"

#include <sys/stat.h>

struct resolv_conf {
	struct dns_upstreams servers; /* none in the file: 127.0.0.1, as the C library has it */
	struct strv search;           /* of the last line "search" or "domain" */
	struct strv options;
};

void resolv_conf_done(struct resolv_conf *conf);

/* What makes no sense is skipped, as every resolver does. */
void resolv_conf_parse(struct str text, struct resolv_conf *ret_conf);
/* Reads a file; a missing one is an empty one. */
int resolv_conf_read(const char *path, struct resolv_conf *ret_conf, struct cay_error *err);

/*
 * The same file over time. It is looked at, not watched: the file may be a symbolic link whose
 * target is replaced, or not be there yet, and a look a second costs less than knowing all ways.
 */
struct resolv_conf_follower {
	const char *path; /* set by the user, as is nothing else; outlives the follower */
	struct resolv_conf conf;
	struct stat seen;
	int64_t looked_ms; /* 0: never */
};

/* What it says now, or said before it became unreadable (which is logged); good until the next
 * call. */
const struct resolv_conf *resolv_conf_follow(struct resolv_conf_follower *follower, int64_t now_ms);
