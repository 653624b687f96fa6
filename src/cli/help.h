/* SPDX-License-Identifier: Apache-2.0 */
/* What the command table says about itself, for people and for the man page. */
#pragma once

#include "base/buf.h"
#include "cli/command.h"

/* The text of --help. `path` is the words that lead to the command, "cay image pull". */
void help_format(const struct command *command, const char *path, struct buf *out);
/* The reference part of cay.1 in man(7)'s language: every command with its options. */
void help_format_man(struct buf *out);
