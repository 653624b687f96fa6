/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One of cay's own outputs as a poll loop sees it: written only as far as it
 * takes data without waiting, so that a slow reader of the output never keeps
 * signals or input from being served.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

enum {
	SINK_PENDING_MAX = 256 * 1024, /* with this much waiting, more should not be read */
};

struct sink {
	int fd;
	bool owned;    /* opened here, to be closed */
	bool blocking; /* writes over a pipe's page may wait */
	bool socket;
	bool broken; /* nothing can be written any more; data is dropped */
	int error;   /* why: EPIPE when its reader has gone */
	struct buf pending;
};

/*
 * Opens the sink for a descriptor of this process. Pipes and terminals are opened anew to be
 * non-blocking, because that flag on a descriptor of ours would change the shell's as well.
 */
void sink_open(struct sink *sink, int fd);
void sink_close(struct sink *sink);
/* Takes data over into `pending`. */
void sink_add(struct sink *sink, const void *data, size_t size);
bool sink_wants_write(const struct sink *sink);
/* After poll() found it writable: writes what goes. Sets `broken` when nobody will read more. */
void sink_write(struct sink *sink);
