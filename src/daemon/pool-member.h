/* SPDX-License-Identifier: Apache-2.0 */
/* One VM of the pool, from its making until it has become a container's or has ended. */
#pragma once

#include "daemon/daemon.h"
#include "daemon/templates.h"
#include "image/store.h"
#include "rpc/sync.h"
#include "sandbox/config.h"

#include "shim.pb-c.h"

struct member {
	struct member *next;
	struct daemon *daemon;
	char id[ID_SIZE];
	char key[TEMPLATE_KEY_SIZE]; /* of its machine */
	char *directory, *run_directory;
	pid_t pid;        /* of its shim; 0: none yet */
	pid_t vm_pid;     /* of its QEMU; known once it is ready */
	bool is_claimed;  /* it is a container's, only its first files are ours */
	int64_t begun_ms; /* by clock_monotonic_ms() */
	int pidfd;        /* readable once that has ended */
	int leash;        /* closed, it ends the shim */
	struct rpc_client *client;
	uint64_t memory; /* what it takes of the host's; known once it is ready */
};

/*
 * Starts a shim for the machine `like`, from the template in that if there is one, with what that
 * says of translations, and connects to it. Blocks for some milliseconds. On failure nothing is
 * left.
 */
int member_new(struct daemon *daemon, const char *directory, const struct sandbox_config *like,
	       const char *key, const struct image_disk *image, struct member **ret_member,
	       struct cay_error *err);
/*
 * Waits until it may be claimed; ending it from elsewhere (member_kill()) cuts that short.
 * *ret_state is the shim's, which tells how its VM came to be; the caller frees.
 */
int member_wait_warm(struct member *member, Cay__Shim__V1__StateResponse **ret_state,
		     struct cay_error *err);
/* Asks it to end; member_drop() waits for that. Not while another thread is at it. */
void member_let_go(struct member *member);
/* From any thread, while the member is there. */
void member_kill(const struct member *member);
/* Makes it the sandbox of the configuration at this path. Blocks for two seconds at most. */
int member_claim(struct member *member, const char *config_path, struct cay_error *err);
/*
 * After a claim that failed: whatever of the container's it has taken up by then is free again when
 * this returns, after some seconds at most. What it leaves is for member_drop().
 */
void member_stop_at_once(const struct member *member);

/* Ends it unless it is a container's, waits until it is gone, removes its files and frees it. */
void member_drop(struct member *member);
