/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: VMs that were frozen once they had booted, one for each shape of
 * machine that containers here have, to be cloned instead of booted. One
 * thread makes them in the background after the first start of a shape, one at
 * a time, at the lowest priority; starts never wait for it. They are kept in
 * <root>/templates, readable by this user alone, hold nothing of any
 * container, and never come from elsewhere.
 *
 * A template is known by its key, the SHA-256 of all that it depends on
 * (sandbox_shape()): another kernel, QEMU or size is another key, so that what
 * has become old is not found any more, and removed.
 */
#pragma once

#include "daemon/daemon.h"
#include "image/digest.h"
#include "sandbox/config.h"

#include <jansson.h>

enum { TEMPLATE_KEY_SIZE = DIGEST_HEX_LENGTH + 1 };

struct templates;

/*
 * Looks at what is there, and ends and clears away what an earlier daemon left half-made. With
 * --templates off there are none, and what is there stays.
 */
int templates_open(struct daemon *daemon, struct templates **ret_templates, struct cay_error *err);
/* Begins to check what is there and to make what is wanted. */
void templates_start(struct templates *templates);
/* Ends what is being made; no template is made from then on. NULL is allowed. */
void templates_stop(struct templates *templates);
/* After no container is started any more. NULL is allowed. */
void templates_free(struct templates *templates);

/* The key of a configuration's machine, and its shape as JSON (NULL: not wanted). */
int templates_key(const struct sandbox_config *config, char ret_key[TEMPLATE_KEY_SIZE],
		  json_t **ret_shape, struct cay_error *err);

/* ---- starts ---- */

/*
 * The key by which a start looks for a VM of the pool or a template. "" where it need not look, or
 * where the key can't be told: those below then find nothing, and the start itself will say why.
 */
void templates_key_of_start(const struct daemon *daemon, const struct sandbox_config *config,
			    char ret_key[TEMPLATE_KEY_SIZE]);

/* Puts the template of this key into the configuration, where there is one. Never blocks long. */
void templates_choose(struct templates *templates, const char *key, struct sandbox_config *config);

/*
 * The sandbox of a chosen configuration is up, which was begun at `since_ms` (by
 * clock_monotonic_ms()) with this key. `start` is how, in the words of the shim: after a cold start
 * a template of the shape is wanted. `fault` ("": none) is why the template that was chosen could
 * not be cloned: it is not used until it was looked at, and removed where it is damaged or has
 * failed again.
 */
void templates_started(struct templates *templates, const char *key,
		       const struct sandbox_config *config, int64_t since_ms, const char *start,
		       const char *fault);

/*
 * For who needs one of this shape and can do without: whether it is there, and its directory (the
 * caller frees); else it is wanted.
 */
enum template_prospect {
	TEMPLATE_READY,
	TEMPLATE_COMING,    /* is being made, or will be */
	TEMPLATE_NONE_SOON, /* can't be made at present, or templates are off */
};
enum template_prospect templates_ask(struct templates *templates,
				     const struct sandbox_config *config, char **ret_directory);

/* ---- people ---- */

/* A copy of what is known of one. */
struct template_info {
	char key[TEMPLATE_KEY_SIZE];
	bool is_ready;  /* else it is being made or waited for, and the rest is of the plan */
	bool is_making; /* just now */
	char *directory;
	json_t *shape;
	int64_t created_ns, used_ns; /* 0: not yet */
	uint64_t bytes;              /* on the disk */
	uint64_t starts;             /* from it since the daemon's start */
	char *fault;                 /* why it could not be made at the last try; NULL: none */
};
struct template_list {
	struct template_info *items;
	size_t count;
};
/* Oldest first, those that are wanted last. */
void templates_list(struct templates *templates, struct template_list *ret_list);
void template_list_done(struct template_list *list);
#define _cleanup_template_list_ _cleanup_(template_list_done)

/* By key or an unambiguous beginning of one; the list has this one alone. */
int templates_find(struct templates *templates, const char *name, struct template_list *ret_list,
		   struct cay_error *err);

/*
 * Removes one, by key or an unambiguous beginning; containers that were cloned from it run on. One
 * that is being made is given up.
 */
int templates_remove(struct templates *templates, const char *name, struct cay_error *err);

/*
 * Makes one of this shape if there is none, before others and at ordinary priority, and waits for
 * it; `is_gone` (asked with `user`) ends the waiting. ret_key gets its key.
 */
int templates_create(struct templates *templates, const struct sandbox_config *config,
		     bool (*is_gone)(void *user), void *user, char ret_key[TEMPLATE_KEY_SIZE],
		     struct cay_error *err);
