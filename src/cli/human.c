/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes and times for people. */
#include "cli/human.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <time.h>

#define NS_PER_SECOND INT64_C(1000000000)

static void scaled(double value, double base, const char *const *units, size_t unit_count,
		   int digits, char ret_text[HUMAN_MAX])
{
	/* What would be rounded up to the base is the next unit's 1. */
	double limit = base - (digits == 3 ? 0.5 : 0.05);
	size_t unit = 0, length;

	while (value >= limit && unit + 1 < unit_count) {
		value /= base;
		unit++;
	}
	(void)snprintf(ret_text, HUMAN_MAX, "%.*g", digits, value);
	length = strlen(ret_text);
	(void)snprintf(ret_text + length, HUMAN_MAX - length, "%s", units[unit]);
}

void human_size(double bytes, bool precise, char ret_text[HUMAN_MAX])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };

	scaled(bytes, 1000, units, ARRAY_SIZE(units), precise ? 4 : 3, ret_text);
}

void human_binary_size(double bytes, char ret_text[HUMAN_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

	scaled(bytes, 1024, units, ARRAY_SIZE(units), 4, ret_text);
}

void human_duration(int64_t seconds, char ret_text[HUMAN_MAX])
{
	int64_t minutes = seconds / 60, hours = (seconds + 1800) / 3600;
	const char *unit;
	int64_t count;

	if (seconds < 1) {
		(void)snprintf(ret_text, HUMAN_MAX, "Less than a second");
		return;
	}
	if (minutes == 1 || (minutes >= 60 && hours == 1)) {
		(void)snprintf(ret_text, HUMAN_MAX, "About %s",
			       minutes == 1 ? "a minute" : "an hour");
		return;
	}
	if (seconds < 60) {
		count = seconds;
		unit = "second";
	} else if (minutes < 60) {
		count = minutes;
		unit = "minute";
	} else if (hours < 48) {
		count = hours;
		unit = "hour";
	} else if (hours < 24 * 7 * 2) {
		count = hours / 24;
		unit = "day";
	} else if (hours < 24 * 30 * 2) {
		count = hours / 24 / 7;
		unit = "week";
	} else if (hours < 24 * 365 * 2) {
		count = hours / 24 / 30;
		unit = "month";
	} else {
		count = seconds / 3600 / 24 / 365;
		unit = "year";
	}
	(void)snprintf(ret_text, HUMAN_MAX, "%lld %s%s", (long long)count, unit,
		       count == 1 ? "" : "s");
}

void human_ago(int64_t then_ns, int64_t now_ns, char ret_text[HUMAN_MAX])
{
	char span[HUMAN_MAX];

	if (then_ns == 0) {
		(void)snprintf(ret_text, HUMAN_MAX, "N/A");
		return;
	}
	human_duration((now_ns - then_ns) / NS_PER_SECOND, span);
	(void)snprintf(ret_text, HUMAN_MAX, "%.35s ago", span);
}

void human_date(int64_t ns, char ret_text[HUMAN_MAX])
{
	struct tm parts;

	if (!localtime_r(&(time_t){ ns / NS_PER_SECOND }, &parts) ||
	    strftime(ret_text, HUMAN_MAX, "%Y-%m-%d %H:%M:%S %z %Z", &parts) == 0)
		(void)snprintf(ret_text, HUMAN_MAX, "N/A");
}

void human_stamp(int64_t ns, char ret_text[HUMAN_MAX])
{
	struct tm parts;
	size_t length;

	if (!localtime_r(&(time_t){ ns / NS_PER_SECOND }, &parts)) {
		(void)snprintf(ret_text, HUMAN_MAX, "N/A");
		return;
	}
	length = strftime(ret_text, HUMAN_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
	if (parts.tm_gmtoff == 0)
		(void)snprintf(ret_text + length, HUMAN_MAX - length, "Z");
	else
		(void)snprintf(ret_text + length, HUMAN_MAX - length, "%c%02ld:%02ld",
			       parts.tm_gmtoff < 0 ? '-' : '+', labs(parts.tm_gmtoff) / 3600,
			       labs(parts.tm_gmtoff) / 60 % 60);
}
int parse_decimal(const char *text, uint64_t *ret_billionths)
{
	struct str fraction, whole = str_split(str_from(text), '.', &fraction);
	uint64_t value = 0, part = 0;
	int r;

	if (whole.length == 0 && fraction.length == 0)
		return -EINVAL;
	if (whole.length > 0) {
		r = str_to_u64(whole, INT64_MAX / NS_PER_SECOND - 1, &value);
		if (r < 0)
			return r;
	}
	if (fraction.length > 9)
		return -ERANGE;
	if (fraction.length > 0) {
		r = str_to_u64(fraction, UINT64_MAX, &part);
		if (r < 0)
			return r;
		for (size_t i = fraction.length; i < 9; i++)
			part *= 10;
	}
	*ret_billionths = value * (uint64_t)NS_PER_SECOND + part;
	return 0;
}

/* Go's durations: "1h30m", "1.5s", "300ms". */
static int parse_span(const char *text, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = { { "ns", 1 },
		      { "us", 1000 },
		      { "ms", 1000000 },
		      { "s", NS_PER_SECOND },
		      { "m", 60 * NS_PER_SECOND },
		      { "h", 3600 * NS_PER_SECOND } };
	int64_t total = 0;

	if (!*text)
		return -EINVAL;
	while (*text) {
		size_t digits = strspn(text, "0123456789."), letters;
		_cleanup_free_ char *number = xstrndup(text, digits);
		uint64_t billionths;
		size_t unit = 0;
		double ns;

		text += digits;
		letters = strspn(text, "hmnsu");
		while (unit < ARRAY_SIZE(units) &&
		       (strlen(units[unit].name) != letters ||
			strncmp(units[unit].name, text, letters) != 0))
			unit++;
		if (unit == ARRAY_SIZE(units) || parse_decimal(number, &billionths) < 0)
			return -EINVAL;
		ns = (double)billionths / 1e9 * (double)units[unit].ns + (double)total;
		if (ns > 9e18)
			return -ERANGE;
		total = (int64_t)ns;
		text += letters;
	}
	*ret_ns = total;
	return 0;
}

/* A date that may stop after any of its parts, in local time. */
static int parse_local_date(const char *text, int64_t *ret_ns)
{
	static const char *const formats[] = { "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d" };

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm parts = { .tm_isdst = -1 };
		const char *end = strptime(text, formats[i], &parts);
		uint64_t billionths = 0;

		if (!end || (*end && *end != '.'))
			continue;
		if (*end && (i > 0 || parse_decimal(end, &billionths) < 0))
			continue;
		*ret_ns = mktime(&parts) * NS_PER_SECOND + (int64_t)billionths;
		return 0;
	}
	return -EINVAL;
}

int parse_moment(const char *text, int64_t now_ns, char **ret_stamp, struct cay_error *err)
{
	uint64_t billionths;
	int64_t ns, span;

	if (parse_decimal(text, &billionths) == 0)
		ns = (int64_t)billionths;
	else if (parse_span(text, &span) == 0)
		ns = now_ns - span;
	else if (clock_parse(text, &ns) < 0 && parse_local_date(text, &ns) < 0)
		return cay_error_set(
			err, CAY_INVALID, EINVAL,
			"\"%s\" is not a time such as 2026-01-31T12:00:00Z, 1767225600 "
			"or 10m",
			text);
	if (ns < 0)
		ns = 0;
	*ret_stamp = xasprintf("%lld.%09lld", (long long)(ns / NS_PER_SECOND),
			       (long long)(ns % NS_PER_SECOND));
	return 0;
}
