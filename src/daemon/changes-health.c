/* SPDX-License-Identifier: Apache-2.0 */
/* HEALTHCHECK [--interval=…] … CMD …, or NONE. */
#include "daemon/changes.h"

#include "base/alloc.h"
#include "base/json.h"

#include <errno.h>

enum { RETRIES_MAX = 1000000 };

/* "1m30s", "500ms", "1.5s": nanoseconds, as Go reads durations. */
static int parse_duration(struct str text, int64_t *ret_ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "ms", 1e6 },   { "us", 1e3 }, { "ns", 1 },
		      { "h", 3600e9 }, { "m", 60e9 }, { "s", 1e9 } };
	double sum = 0;

	if (text.length == 0)
		return -EINVAL;
	while (text.length > 0) {
		_cleanup_free_ char *number = str_dup(text);
		size_t digits = strspn(number, "0123456789."), unit = 0;
		double value;
		char *end;

		number[digits] = '\0';
		value = strtod(number, &end);
		if (digits == 0 || *end != '\0')
			return -EINVAL;
		text = (struct str){ text.data + digits, text.length - digits };
		while (unit < ARRAY_SIZE(units) && !str_starts(text, units[unit].name))
			unit++;
		if (unit == ARRAY_SIZE(units))
			return -EINVAL;
		text.data += strlen(units[unit].name);
		text.length -= strlen(units[unit].name);
		sum += value * units[unit].ns;
		if (sum > 9e18)
			return -EINVAL;
	}
	*ret_ns = (int64_t)sum;
	return 0;
}

/* "--interval=5s" and its like. */
static int read_flag(json_t *check, struct str flag, struct cay_error *err)
{
	static const char *const durations[][2] = {
		{ "--interval", "Interval" },
		{ "--timeout", "Timeout" },
		{ "--start-period", "StartPeriod" },
		{ "--start-interval", "StartInterval" },
	};
	struct str value, name = str_split(flag, '=', &value);
	uint64_t retries;
	int64_t ns;

	if (str_equals(name, "--retries")) {
		if (str_to_u64(value, RETRIES_MAX, &retries) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--retries must be a number that is not negative");
		json_set_int(check, "Retries", (int64_t)retries);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
		if (!str_equals(name, durations[i][0]))
			continue;
		if (parse_duration(value, &ns) < 0 || (ns > 0 && ns < 1000000))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid duration for %s: \"%.*s\" (at least 1ms)",
					     durations[i][0], (int)MIN(value.length, (size_t)64),
					     value.data);
		json_set_int(check, durations[i][1], ns);
		return 0;
	}
	return cay_error_set(err, CAY_INVALID, EINVAL, "unknown flag: %.*s",
			     (int)MIN(name.length, (size_t)64), name.data);
}

static struct str take_word(struct str *text)
{
	struct str word = { text->data, 0 };

	while (word.length < text->length && !strchr(" \t", text->data[word.length]))
		word.length++;
	*text = str_strip((struct str){ text->data + word.length, text->length - word.length },
			  " \t");
	return word;
}

static json_t *test_of(struct str text)
{
	json_t *list = changes_parse_list(text);
	_cleanup_free_ char *line = NULL;

	if (list) {
		(void)json_array_insert_new(list, 0, json_string("CMD"));
		return list;
	}
	line = str_dup(text);
	return json_pack("[ss]", "CMD-SHELL", line);
}

int changes_healthcheck(json_t *config, struct str text, struct cay_error *err)
{
	_cleanup_json_ json_t *check = json_object();
	struct str word = take_word(&text);

	while (str_starts(word, "--")) {
		int r = read_flag(check, word, err);

		if (r < 0)
			return r;
		word = take_word(&text);
	}
	if (str_equals_nocase(word, "NONE")) {
		if (text.length > 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "HEALTHCHECK NONE takes no arguments");
		json_set(check, "Test", json_pack("[s]", "NONE"));
	} else if (str_equals_nocase(word, "CMD")) {
		if (text.length == 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "missing command after HEALTHCHECK CMD");
		json_set(check, "Test", test_of(text));
	} else {
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "HEALTHCHECK needs NONE or CMD, not \"%.*s\"",
				     (int)MIN(word.length, (size_t)64), word.data);
	}
	json_set(config, "Healthcheck", json_incref(check));
	return 0;
}
