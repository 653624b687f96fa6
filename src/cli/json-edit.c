/* SPDX-License-Identifier: Apache-2.0 */
/* A scanner that knows where JSON values end, and text put in and taken out between them. */
#include "cli/json-edit.h"

#include "base/alloc.h"
#include "base/json.h"

#include <errno.h>
#include <strings.h>

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

/* Everything below moves `at` forward to `end`; NULL says that what stands there is no JSON. */

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && is_one_of(*at, " \t\r\n"))
		at++;
	return at;
}

static const char *skip_digits(const char *at, const char *end)
{
	const char *start = at;

	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at > start ? at : NULL;
}

static const char *skip_number(const char *at, const char *end)
{
	if (*at == '-')
		at++;
	if (at < end && *at == '0')
		at++;
	else
		at = skip_digits(at, end);
	if (at && at < end && *at == '.')
		at = skip_digits(at + 1, end);
	if (at && at < end && (*at == 'e' || *at == 'E')) {
		at++;
		if (at < end && (*at == '+' || *at == '-'))
			at++;
		at = skip_digits(at, end);
	}
	return at;
}

static const char *skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++) {
		if ((unsigned char)*at < 0x20)
			return NULL;
		if (*at != '\\')
			continue;
		if (++at == end || !is_one_of(*at, "\"\\/bfnrtu"))
			return NULL;
		if (*at != 'u')
			continue;
		for (int i = 0; i < 4; i++)
			if (++at >= end || !is_one_of(*at, "0123456789abcdefABCDEF"))
				return NULL;
	}
	return at < end ? at + 1 : NULL;
}

static const char *skip_word(const char *at, const char *end)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t length = strlen(words[i]);

		if ((size_t)(end - at) >= length && memcmp(at, words[i], length) == 0)
			return at + length;
	}
	return NULL;
}

static const char *skip_value(const char *at, const char *end, unsigned int depth);

/* From behind the key's quote to behind the colon and the blanks after it. */
static const char *skip_colon(const char *at, const char *end)
{
	at = skip_blanks(at, end);
	return at < end && *at == ':' ? skip_blanks(at + 1, end) : NULL;
}

/* An array, or an object, whose items have keys. */
static const char *skip_items(const char *at, const char *end, unsigned int depth)
{
	char close = *at == '{' ? '}' : ']';

	at = skip_blanks(at + 1, end);
	if (at < end && *at == close)
		return at + 1;
	while (at < end) {
		if (close == '}') {
			at = *at == '"' ? skip_string(at, end) : NULL;
			at = at ? skip_colon(at, end) : NULL;
		}
		at = at ? skip_value(at, end, depth) : NULL;
		if (!at)
			return NULL;
		at = skip_blanks(at, end);
		if (at < end && *at == close)
			return at + 1;
		if (at == end || *at != ',')
			return NULL;
		at = skip_blanks(at + 1, end);
	}
	return NULL;
}

static const char *skip_value(const char *at, const char *end, unsigned int depth)
{
	if (at >= end || depth == 0)
		return NULL;
	if (*at == '{' || *at == '[')
		return skip_items(at, end, depth - 1);
	if (*at == '"')
		return skip_string(at, end);
	if (*at == '-' || (*at >= '0' && *at <= '9'))
		return skip_number(at, end);
	return skip_word(at, end);
}

int json_edit_object(struct str text, struct str *ret_object)
{
	const char *end = text.data + text.length, *start = skip_blanks(text.data, end), *stop;

	if (start == end || *start != '{')
		return -EINVAL;
	stop = skip_value(start, end, JSON_EDIT_DEPTH_MAX);
	if (!stop)
		return -EINVAL;
	*ret_object = (struct str){ start, (size_t)(stop - start) };
	return 0;
}

bool json_edit_next(struct str object, size_t *place, struct json_member *ret_member)
{
	const char *end = object.data + object.length, *at = object.data + MAX(*place, 1);
	const char *key, *value;

	at = skip_blanks(at, end);
	if (*place > 0 && *at == ',')
		at = skip_blanks(at + 1, end);
	if (*at == '}')
		return false;
	key = at + 1;
	at = skip_string(at, end);
	assert(at);
	ret_member->key = (struct str){ key, (size_t)(at - 1 - key) };
	value = skip_colon(at, end);
	assert(value);
	at = skip_value(value, end, JSON_EDIT_DEPTH_MAX);
	assert(at);
	ret_member->value = (struct str){ value, (size_t)(at - value) };
	*place = (size_t)(at - object.data);
	return true;
}

bool json_member_is(const struct json_member *member, const char *name, bool fold)
{
	/* With its quotes it is a JSON string, whose escapes the parser resolves. */
	_cleanup_json_ json_t *key =
		json_loadb(member->key.data - 1, member->key.length + 2, JSON_DECODE_ANY, NULL);
	const char *text = json_string_value(key);

	return text && (fold ? strcasecmp(text, name) : strcmp(text, name)) == 0;
}

/* The last one of that name: Go takes what comes last. */
static bool find_member(struct str object, const char *name, bool fold,
			struct json_member *ret_member)
{
	struct json_member member;
	bool found = false;

	for (size_t place = 0; json_edit_next(object, &place, &member);) {
		if (!json_member_is(&member, name, fold))
			continue;
		*ret_member = member;
		found = true;
	}
	return found;
}

/* Replaces the text between two places in `text`. */
static void replace(struct buf *text, const char *start, const char *stop, const char *by)
{
	size_t before = (size_t)(start - text->data), behind = (size_t)(stop - text->data);
	struct buf changed = { 0 };

	buf_append(&changed, text->data, before);
	buf_puts(&changed, by);
	buf_append(&changed, text->data + behind, text->length - behind);
	buf_done(text);
	*text = changed;
}

/* One more member at the end of an object that stands `level` levels deep, as docker lays it out.
 */
static void append_member(struct buf *text, struct str object, unsigned int level, const char *name,
			  const char *value)
{
	_cleanup_free_ char *key = json_edit_quote(name);
	_cleanup_buf_ struct buf member = { 0 };
	const char *behind = object.data + 1, *close = object.data + object.length - 1;
	struct json_member last;
	bool any = false;

	for (size_t place = 0; json_edit_next(object, &place, &last); any = true)
		behind = object.data + place;
	buf_puts(&member, any ? ",\n" : "\n");
	for (unsigned int i = 0; i < level; i++)
		buf_putc(&member, '\t');
	buf_printf(&member, "%s: %s", key, value);
	/* The blanks before the closing brace stay, but an empty object may have none. */
	if (!memchr(behind, '\n', (size_t)(close - behind))) {
		buf_putc(&member, '\n');
		for (unsigned int i = 1; i < level; i++)
			buf_putc(&member, '\t');
		behind = any ? behind : close;
	}
	replace(text, behind, behind, buf_text(&member));
}

int json_edit_set(struct buf *text, const char *outer, const char *inner, const char *value)
{
	struct str object, within;
	struct json_member member;

	if (json_edit_object((struct str){ buf_text(text), text->length }, &object) < 0)
		return -EINVAL;
	if (!find_member(object, outer, true, &member)) {
		append_member(text, object, 1, outer, inner ? "{}" : value);
		return inner ? json_edit_set(text, outer, inner, value) : 0;
	}
	if (!inner) {
		replace(text, member.value.data, member.value.data + member.value.length, value);
		return 0;
	}
	if (member.value.data[0] != '{') {
		replace(text, member.value.data, member.value.data + member.value.length, "{}");
		return json_edit_set(text, outer, inner, value);
	}
	within = member.value;
	if (find_member(within, inner, false, &member))
		replace(text, member.value.data, member.value.data + member.value.length, value);
	else
		append_member(text, within, 2, inner, value);
	return 0;
}

/* Takes the last member of that name out of an object, with one of the commas around it. */
static bool remove_from(struct buf *text, struct str object, const char *name)
{
	const char *behind = object.data + 1, *start = NULL, *stop = NULL;
	struct json_member member;
	const char *end = object.data + object.length;
	bool first = true;

	for (size_t place = 0; json_edit_next(object, &place, &member); first = false) {
		if (json_member_is(&member, name, false)) {
			start = behind;
			stop = object.data + place;
			if (first) { /* its comma is the one behind it */
				const char *comma = skip_blanks(stop, end);

				/* Of an object that becomes empty no blanks are left either. */
				stop = *comma == ',' ? comma + 1 : comma;
			}
		}
		behind = object.data + place;
	}
	if (start)
		replace(text, start, stop, "");
	return start;
}

int json_edit_remove(struct buf *text, const char *outer, const char *inner)
{
	int removed = 0;

	for (;;) {
		struct json_member member;
		struct str object;
		bool changed = false;

		if (json_edit_object((struct str){ buf_text(text), text->length }, &object) < 0)
			return -EINVAL;
		for (size_t place = 0; !changed && json_edit_next(object, &place, &member);)
			if (json_member_is(&member, outer, true) && member.value.data[0] == '{')
				changed = remove_from(text, member.value, inner);
		if (!changed)
			return removed;
		removed = 1;
	}
}

char *json_edit_quote(const char *text)
{
	_cleanup_json_ json_t *holder = json_object();
	char *quoted;

	json_set_string(holder, "text", text);
	quoted = json_dumps(json_object_get(holder, "text"), JSON_ENCODE_ANY);
	assert(quoted); /* a string that jansson holds can be printed */
	return quoted;
}
