/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times. Points in time are nanoseconds since the epoch in an int64_t, as
 * Docker's JSON has them in RFC 3339 with nine digits; deadlines are
 * milliseconds of the monotonic clock, which no one can set.
 */
#pragma once

#include <stdint.h>
#include <time.h>

enum { CLOCK_TEXT_MAX = 40 };

int64_t clock_now_ns(void);       /* CLOCK_REALTIME */
int64_t clock_monotonic_ms(void); /* CLOCK_MONOTONIC */
int64_t clock_monotonic_us(void);
/* `ms` from now, by CLOCK_MONOTONIC. */
struct timespec clock_deadline(int64_t ms);
/* The wait after so many failures before: `first_ms`, doubled for each, `max_ms` at most. */
int64_t clock_backoff_ms(unsigned int failures, int64_t first_ms, int64_t max_ms);

/* "2026-01-31T12:34:56.123456789Z"; 0 gives Docker's zero time, "0001-01-01T00:00:00Z". */
void clock_format_utc(int64_t ns, char ret_text[CLOCK_TEXT_MAX]);
/* RFC 3339, with any fraction and offset. -EINVAL for anything else; the zero time gives 0. */
int clock_parse(const char *text, int64_t *ret_ns);
