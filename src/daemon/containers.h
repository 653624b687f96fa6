/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of all containers, and who has which name. A name is reserved
 * before anything is made for it and given back when that fails. Thread-safe.
 */
#pragma once

#include "daemon/container.h"

struct containers;

struct containers *containers_new(void);
void containers_free(struct containers *containers);

/*
 * Reserves `name` for `id`; NULL makes one up. *ret_name is the caller's to free. A taken name is
 * CAY_EXISTS in docker's words.
 */
int containers_reserve(struct containers *containers, const char *name, const char *id,
		       char **ret_name, struct cay_error *err);
/* Gives back the name where `id` has it. */
void containers_release(struct containers *containers, const char *name, const char *id);

/* The table takes a reference of its own. Its name was reserved. */
void containers_add(struct containers *containers, struct container *container);
/* Takes it out and gives back its name. Not there is fine. */
void containers_remove(struct containers *containers, struct container *container);
/* Its name becomes `name`, which was reserved for it; the old one is given back. */
void containers_rename(struct containers *containers, struct container *container,
		       const char *name);

/*
 * By full id, by name (with or without docker's leading slash), by unambiguous beginning of an id,
 * in that order. *ret_container is a reference of the caller's own.
 */
int containers_find(struct containers *containers, const char *name,
		    struct container **ret_container, struct cay_error *err);

/* References to all, newest first; freed with container_list_done(). */
struct container_list {
	struct container **items;
	size_t count;
};
void containers_list(struct containers *containers, struct container_list *ret_list);
void container_list_done(struct container_list *list);
#define _cleanup_container_list_ _cleanup_(container_list_done)

/* A uid for a VM that no container of this root has. */
uid_t containers_choose_uid(struct containers *containers);

struct container_counts {
	size_t total, running, paused, stopped;
};
void containers_count(struct containers *containers, struct container_counts *ret_counts);
