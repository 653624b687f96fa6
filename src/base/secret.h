/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords, tokens and what they are carried in: wiped before their memory is given back. */
#pragma once

#include "base/buf.h"

/* NULL is allowed. */
void secret_free(char *secret);
DEFINE_CLEANUP(char *, secret_free);
#define _cleanup_secret_ _cleanup_(secret_free_p)

/*
 * As buf_done(). A buffer that grew has left parts of its contents behind in memory: reserve all
 * that it will hold beforehand.
 */
void secret_buf_done(struct buf *buf);
#define _cleanup_secret_buf_ _cleanup_(secret_buf_done)
