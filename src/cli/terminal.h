/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal cay was started from: its size, raw mode and the way back, and
 * the keys that leave an attached container.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>

struct terminal_size {
	unsigned int rows, columns;
};

/* The size of the terminal behind a descriptor; false when it is none or does not say. */
bool terminal_get_size(int fd, struct terminal_size *ret_size);

/*
 * Raw mode: keys go through unread. terminal_restore() undoes it, as do the end of the process and
 * a crash; only SIGKILL leaves the terminal raw. One terminal at a time. With `keep_signals` Ctrl-C
 * and its like still raise signals here, until it is called again without.
 */
int terminal_raw(int fd, bool keep_signals, struct cay_error *err);
void terminal_restore(void);
/* After the process was stopped and continued: the shell has put its own mode back. */
void terminal_raw_again(void);

/*
 * Prompts on standard error, and appends a line typed without being shown, for secrets, to
 * `ret_line`, without its end. Whoever types as soon as the prompt is there is not shown either.
 * The terminal's mode is put back also when a signal ends the process meanwhile. -ECANCELED at the
 * end of input before anything was typed.
 */
int terminal_read_secret(int fd, const char *prompt, struct buf *ret_line, struct cay_error *err);

enum { DETACH_KEYS_MAX = 16 };

/* A sequence of bytes to watch for in what is typed. */
struct detach_keys {
	unsigned char keys[DETACH_KEYS_MAX];
	size_t count;
	size_t matched; /* of the keys, at the end of what was typed so far */
};

/* "ctrl-p,ctrl-q" or "a,b"; NULL stands for the default, ctrl-p,ctrl-q. */
int detach_keys_parse(const char *text, struct detach_keys *ret_keys, struct cay_error *err);
/*
 * Passes typed bytes on to `out`, holding back what may be the beginning of the sequence; true when
 * the sequence is complete (what follows it is dropped).
 */
bool detach_keys_filter(struct detach_keys *keys, const void *data, size_t size, struct buf *out);
