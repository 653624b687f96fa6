/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of words with commas between them, as docker's command line has it
 * for --mount, --network and others: a word in double quotes may hold commas,
 * and two double quotes in it stand for one.
 */
#pragma once

#include "base/strv.h"

/* Appends the words, at least one; -EINVAL where something follows a quoted word. */
int words_split(const char *text, struct strv *words);
