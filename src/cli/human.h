/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes, spans of time and dates as docker's own client words them, and those
 * that users write, read.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum { HUMAN_MAX = 40 };

/* "12.3MB": powers of 1000, three digits as in lists of images, four with `precise`. */
void human_size(double bytes, bool precise, char ret_text[HUMAN_MAX]);
/* "7.629MiB": powers of 1024, four digits, as in stats. */
void human_binary_size(double bytes, char ret_text[HUMAN_MAX]);
/* "About a minute", "3 weeks". */
void human_duration(int64_t seconds, char ret_text[HUMAN_MAX]);
/* "3 minutes ago"; "N/A" for the zero time. */
void human_ago(int64_t then_ns, int64_t now_ns, char ret_text[HUMAN_MAX]);
/* "2026-01-31 12:34:56 +0000 UTC", in local time. */
void human_date(int64_t ns, char ret_text[HUMAN_MAX]);
/* "2026-01-31T12:34:56+01:00", in local time; "…Z" in UTC. */
void human_stamp(int64_t ns, char ret_text[HUMAN_MAX]);

/* "0.5" with up to nine decimals, as billionths. */
int parse_decimal(const char *text, uint64_t *ret_billionths);
/*
 * A moment as docker's --since takes it: seconds since the epoch with a fraction, RFC 3339 whole or
 * a beginning of it (in local time where no zone is given), or a span such as "1h30m" before now.
 * The result is "SECONDS.NANOSECONDS", as the API wants it; the caller frees.
 */
int parse_moment(const char *text, int64_t now_ns, char **ret_stamp, struct cay_error *err);
