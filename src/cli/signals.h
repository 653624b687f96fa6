/* SPDX-License-Identifier: Apache-2.0 */
/* Which signals a session takes in, and which of them end it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/*
 * Blocks the signals a session serves and returns a signalfd for them, or -errno: those that end
 * the client; with `all`, all that may be passed on to a container; with `tty`, those of the
 * terminal too. SIGPIPE is ignored, so that writing fails instead.
 */
int signals_catch(bool all, bool tty, struct cay_error *err);
/* Undoes it. A signal that was not read yet acts now. */
void signals_release(void);
/* Whether the signal, not passed on, means that the client is to end. */
bool signal_ends_client(int number);
