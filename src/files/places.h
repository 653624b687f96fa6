/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the guest may make us hold at once, all shares of a sandbox taken
 * together. Each node, each open file and each owner of locks has a descriptor
 * for as long as it is there: its place. One is taken before anything is made
 * on the host, so that what is refused has left nothing there and can be asked
 * for again, when the guest has given something up. Thread-safe.
 */
#pragma once

#include "base/macros.h"

#include <stdatomic.h>

enum {
	/*
	 * Nodes of all shares of a sandbox. Each costs the host a descriptor and some 1.2 KB of
	 * memory in its kernel; a guest of the usual size forgets before it knows so many.
	 */
	NODES_MAX = 500000,
	HANDLES_MAX = 65536, /* open files and directories */
};

enum place_kind {
	PLACE_NODE,
	PLACE_HANDLE,
	PLACE_LOCK, /* lock.h limits these for each share */
};

struct places {
	atomic_size_t taken; /* of any kind */
	atomic_size_t nodes, handles;
	size_t max; /* what the limit of descriptors allows */
};

/* Takes the number of descriptors that the process may have from its limit. */
void places_init(struct places *places);
/* -ENFILE: there are too many. */
int places_take(struct places *places, enum place_kind kind);
void places_give(struct places *places, enum place_kind kind);
