/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line that opens a session on the channel. A virtio-serial port has no
 * notion of a connection: bytes the guest wrote for an earlier host end may
 * still arrive. So the host sends "CAY <16 hexadecimal digits>\n" with a random
 * number and drops everything until the guest has sent the same line back;
 * the guest, on seeing such a line where an HTTP/2 connection would begin,
 * answers it and starts with clean state. A client that starts with the HTTP/2
 * preface at once is served as well.
 *
 * SESSION_FREEZE in place of such a line announces that the machine will be
 * frozen: the guest lets go of what a copy of it has no use for, and answers
 * with the same line when it has. The next session's line may come to a copy.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

enum { SESSION_LINE_LENGTH = 21 };
#define SESSION_FREEZE "CAY freeze          \n" /* as long as the others */

/* Writes the line for a number, with no NUL after it. */
void session_format(uint64_t number, char ret_line[SESSION_LINE_LENGTH]);

/* The number of such a line. */
uint64_t session_number(const char line[SESSION_LINE_LENGTH]);

/*
 * Host: looks for the line in what has arrived. True when it was found: it and all before it are
 * consumed. Otherwise only a tail that could be its beginning is kept.
 */
bool session_find(struct buf *received, const char line[SESSION_LINE_LENGTH]);

enum session_opening {
	SESSION_MORE,    /* more bytes are needed to tell */
	SESSION_LINE,    /* a line was consumed into ret_line: echo it and look again */
	SESSION_PREFACE, /* an HTTP/2 connection begins; nothing was consumed */
};
/* Guest: judges what has arrived on an idle channel; bytes that begin neither are dropped. */
enum session_opening session_opening(struct buf *received, char ret_line[SESSION_LINE_LENGTH]);
