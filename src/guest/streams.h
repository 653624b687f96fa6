/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The standard streams of a process between its pipes (or terminal) and the
 * one Stdio call that is open for it. Output is read only while the call takes
 * it; what is not read waits in the pipe, and holds the process up, not
 * vminitd. Without a call nothing is read at all, and a later call gets it.
 */
#pragma once

#include "rpc/rpc.h"

#include <stdbool.h>

struct guest;
struct streams;

/*
 * Takes the descriptors over (-1 for ones that are not there). With a terminal, `output` is its
 * master and the others are -1.
 */
struct streams *streams_new(uv_loop_t *loop, int input, int output, int error, bool terminal);
/* Closes everything; an open call ends. NULL is allowed. */
void streams_free(struct streams *streams);
/* Sets the terminal's size; -ENOTTY without one, -EBADF after its end. */
int streams_resize(struct streams *streams, unsigned int columns, unsigned int rows);

/* Begins a Stdio call: the process is named by its first message. */
void streams_serve(struct guest *guest, struct rpc_call *call);
