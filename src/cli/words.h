/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of words with commas between them, as docker's command line has it
 * for --mount, --network and others: the first record of a CSV text as Go's
 * encoding/csv reads it (RFC 4180). A word in double quotes may hold commas and
 * line ends, and two double quotes in it stand for one.
 */
#pragma once

#include "base/error.h"
#include "base/strv.h"

/*
 * Appends the words, at least one. CAY_INVALID in Go's words, with the place: a quote where none
 * may be, or a text without any words.
 */
int words_split(const char *text, struct strv *words, struct cay_error *err);
