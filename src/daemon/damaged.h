/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers whose rows in the database can't be read. They can't be shown or
 * started, but what they have is theirs until a person removes them: an image,
 * the volumes that the row's text still names, and maybe others. Thread-safe.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct daemon;
struct damaged;
struct database_container;

struct damaged *damaged_new(void);
void damaged_free(struct damaged *damaged);

/* Remembers the row, whose name stays taken, and logs it; `why` it can't be read. */
void damaged_add(struct daemon *daemon, const struct database_container *row, const char *why);
/*
 * Keeps for all of them what they name, and ends those that run: others may get their addresses.
 * Once, when all rows are known; may wait for a VM's end.
 */
void damaged_hold(struct daemon *daemon);

/*
 * Whether volumes (or images) that nobody seems to have may go: CAY_CONFLICT while one of these
 * containers might have them.
 */
int damaged_check_volumes(struct daemon *daemon, struct cay_error *err);
int damaged_check_images(struct daemon *daemon, struct cay_error *err);
/* Whether one of them is known to have the image. */
bool damaged_has_image(struct daemon *daemon, const char *image_id);

/*
 * Removes the one of this id (or its beginning, where it is long enough to be no mistake) or name:
 * its VM, its directory, its row; its volumes stay. Without `force` CAY_CONFLICT, as all it has
 * written goes. 1, or 0 where there is no such one.
 */
int damaged_remove(struct daemon *daemon, const char *name, bool force, struct cay_error *err);
