/* SPDX-License-Identifier: Apache-2.0 */
/* Times: the two clocks, and RFC 3339 to and from nanoseconds since the epoch. */
#include "base/clock.h"

#include "base/buf.h"
#include "base/macros.h"

#include <errno.h>

enum { NS_PER_SECOND = 1000000000 };
static const char zero_time[] = "0001-01-01T00:00:00Z";

static int64_t read_clock(clockid_t id, int64_t unit_ns)
{
	struct timespec now;

	(void)clock_gettime(id, &now); /* these two clocks always exist */
	return now.tv_sec * (NS_PER_SECOND / unit_ns) + now.tv_nsec / unit_ns;
}

int64_t clock_now_ns(void)
{
	return read_clock(CLOCK_REALTIME, 1);
}

int64_t clock_monotonic_ms(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000);
}

int64_t clock_monotonic_us(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000);
}

struct timespec clock_deadline(int64_t ms)
{
	struct timespec deadline;

	(void)clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += ms / 1000;
	deadline.tv_nsec += ms % 1000 * 1000000;
	if (deadline.tv_nsec >= NS_PER_SECOND) {
		deadline.tv_sec++;
		deadline.tv_nsec -= NS_PER_SECOND;
	}
	return deadline;
}

int64_t clock_backoff_ms(unsigned int failures, int64_t first_ms, int64_t max_ms)
{
	for (; failures > 0 && first_ms < max_ms; failures--)
		first_ms *= 2;
	return MIN(first_ms, max_ms);
}

void clock_format_utc(int64_t ns, char ret_text[CLOCK_TEXT_MAX])
{
	int64_t seconds = ns / NS_PER_SECOND, rest = ns % NS_PER_SECOND;
	struct tm parts;
	size_t length;

	if (ns == 0) {
		memcpy(ret_text, zero_time, sizeof(zero_time));
		return;
	}
	if (rest < 0) {
		rest += NS_PER_SECOND;
		seconds--;
	}
	(void)gmtime_r(&(time_t){ seconds }, &parts); /* int64_t nanoseconds end in 2262 */
	length = strftime(ret_text, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
	(void)snprintf(ret_text + length, CLOCK_TEXT_MAX - length, ".%09ldZ", (long)rest);
}

/* A fraction's digits as nanoseconds; digits beyond the ninth count for nothing. */
static const char *parse_fraction(const char *at, int64_t *ret_ns)
{
	int64_t unit = NS_PER_SECOND / 10, ns = 0;

	for (; *at >= '0' && *at <= '9'; at++) {
		ns += (*at - '0') * unit;
		unit /= 10;
	}
	*ret_ns = ns;
	return at;
}

/* "Z" or "+hh:mm" or "-hh:mm", to the end of the text, as seconds to subtract. */
static int parse_offset(const char *at, int64_t *ret_seconds)
{
	uint64_t hours, minutes;
	int sign = *at == '-' ? -1 : 1;

	if ((*at == 'Z' || *at == 'z') && at[1] == '\0') {
		*ret_seconds = 0;
		return 0;
	}
	if ((*at != '+' && *at != '-') || strlen(at) != 6 || at[3] != ':')
		return -EINVAL;
	if (str_to_u64((struct str){ at + 1, 2 }, 23, &hours) < 0 ||
	    str_to_u64((struct str){ at + 4, 2 }, 59, &minutes) < 0)
		return -EINVAL;
	*ret_seconds = sign * (int64_t)(hours * 3600 + minutes * 60);
	return 0;
}

int clock_parse(const char *text, int64_t *ret_ns)
{
	struct tm parts = { 0 };
	int64_t fraction = 0, offset = 0, ns;
	const char *at;

	if (strcmp(text, zero_time) == 0) {
		*ret_ns = 0;
		return 0;
	}
	at = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
	if (!at)
		return -EINVAL;
	if (*at == '.')
		at = parse_fraction(at + 1, &fraction);
	if (parse_offset(at, &offset) < 0)
		return -EINVAL;
	if (__builtin_mul_overflow((int64_t)timegm(&parts) - offset, NS_PER_SECOND, &ns) ||
	    __builtin_add_overflow(ns, fraction, &ns))
		return -EINVAL;
	*ret_ns = ns;
	return 0;
}
