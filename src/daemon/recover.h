/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon does first with what an earlier one left. */
#pragma once

#include "base/error.h"

struct daemon;

/*
 * Reads all containers from the database, follows those that run, records the end of those that
 * ended meanwhile, clears away what was half made or half removed. Fails only where the database
 * can't be read.
 */
int recover_containers(struct daemon *daemon, struct cay_error *err);

/*
 * Ends what runs of a container that nothing is known of but its id; its directory stays. Waits for
 * the shim's end.
 */
void recover_end(struct daemon *daemon, const char *id);
/* Ends the VM of a container that nothing is known of but its id, and removes its directory. */
void recover_clear(struct daemon *daemon, const char *id);
