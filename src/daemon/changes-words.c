/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a Dockerfile: split, unquoted, their variables replaced. */
#include "daemon/changes.h"

#include "base/buf.h"

#include <errno.h>

enum { EXPANSION_DEPTH_MAX = 8 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void changes_split(struct str text, struct strv *ret_words)
{
	struct buf word = { 0 };
	char quote = '\0';
	bool in_word = false;

	for (size_t i = 0; i < text.length; i++) {
		const char c = text.data[i];

		if (quote == '\0' && is_blank(c)) {
			if (in_word)
				strv_take(ret_words, buf_steal(&word));
			in_word = false;
			continue;
		}
		in_word = true;
		buf_putc(&word, c);
		if (c == '\\' && quote != '\'' && i + 1 < text.length)
			buf_putc(&word, text.data[++i]);
		else if (quote == c)
			quote = '\0';
		else if (quote == '\0' && (c == '\'' || c == '"'))
			quote = c;
	}
	if (in_word)
		strv_take(ret_words, buf_steal(&word));
	buf_done(&word);
}

/* ---- variables ---- */

struct expansion {
	struct str text;
	size_t at;
	const json_t *env;
	unsigned int depth;
};

static int expand_into(struct expansion *expansion, char until, struct buf *out,
		       struct cay_error *err);

static bool is_name(char c, bool first)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(!first && c >= '0' && c <= '9');
}

/* NULL where it is not set; the last one counts. */
static const char *find_variable(const json_t *env, struct str name)
{
	const char *found = NULL;
	json_t *item;
	size_t i;

	json_array_foreach(env, i, item) {
		const char *text = json_string_value(item);

		if (text && strncmp(text, name.data, name.length) == 0 && text[name.length] == '=')
			found = text + name.length + 1;
	}
	return found;
}

static struct str take_name(struct expansion *expansion)
{
	const size_t start = expansion->at;
	size_t length = 0;

	while (start + length < expansion->text.length &&
	       is_name(expansion->text.data[start + length], length == 0))
		length++;
	expansion->at += length;
	return (struct str){ expansion->text.data + start, length };
}

static int malformed(const struct expansion *expansion, struct cay_error *err)
{
	return cay_error_set(err, CAY_INVALID, EINVAL, "failed to process \"%.*s\": %s",
			     (int)MIN(expansion->text.length, (size_t)256), expansion->text.data,
			     "syntax error: a quote or ${ is not closed, or no name follows it");
}

/* Behind "${": up to the brace. */
static int expand_braces(struct expansion *expansion, struct buf *out, struct cay_error *err)
{
	const struct str name = take_name(expansion);
	const char *value = find_variable(expansion->env, name);
	_cleanup_buf_ struct buf word = { 0 };
	const struct str rest = { expansion->text.data + expansion->at,
				  expansion->text.length - expansion->at };
	int r;

	if (name.length == 0 || rest.length == 0)
		return malformed(expansion, err);
	if (rest.data[0] == '}') {
		expansion->at++;
		buf_puts(out, value ? value : "");
		return 0;
	}
	if (!str_starts(rest, ":-") && !str_starts(rest, ":+"))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "failed to process \"%.*s\": unsupported modifier in "
				     "substitution",
				     (int)MIN(expansion->text.length, (size_t)256),
				     expansion->text.data);
	expansion->at += 2;
	r = expand_into(expansion, '}', &word, err);
	if (r < 0)
		return r;
	if (rest.data[1] == '-')
		buf_puts(out, value && *value ? value : buf_text(&word));
	else
		buf_puts(out, value && *value ? buf_text(&word) : "");
	return 0;
}

/* Behind "$". */
static int expand_variable(struct expansion *expansion, struct buf *out, struct cay_error *err)
{
	struct str name;
	const char *value;

	if (expansion->at < expansion->text.length && expansion->text.data[expansion->at] == '{') {
		expansion->at++;
		return expand_braces(expansion, out, err);
	}
	name = take_name(expansion);
	if (name.length == 0) {
		buf_putc(out, '$');
		return 0;
	}
	value = find_variable(expansion->env, name);
	buf_puts(out, value ? value : "");
	return 0;
}

static int expand_single(struct expansion *expansion, struct buf *out, struct cay_error *err)
{
	while (expansion->at < expansion->text.length) {
		const char c = expansion->text.data[expansion->at++];

		if (c == '\'')
			return 0;
		buf_putc(out, c);
	}
	return malformed(expansion, err);
}

/* In double quotes a backslash stands before what would mean something else there. */
static int expand_double(struct expansion *expansion, struct buf *out, struct cay_error *err)
{
	const struct str text = expansion->text;
	int r = 0;

	while (r == 0 && expansion->at < text.length) {
		const char c = text.data[expansion->at++];

		if (c == '"')
			return 0;
		if (c == '$') {
			r = expand_variable(expansion, out, err);
		} else if (c == '\\' && expansion->at < text.length &&
			   strchr("\"$\\", text.data[expansion->at])) {
			buf_putc(out, text.data[expansion->at++]);
		} else {
			buf_putc(out, c);
		}
	}
	return r < 0 ? r : malformed(expansion, err);
}

/* Up to `until`, which is taken, or with '\0' to the end. */
static int expand_into(struct expansion *expansion, char until, struct buf *out,
		       struct cay_error *err)
{
	const struct str text = expansion->text;
	int r = ++expansion->depth > EXPANSION_DEPTH_MAX ? malformed(expansion, err) : 0;

	while (r == 0 && expansion->at < text.length) {
		const char c = text.data[expansion->at++];

		if (until != '\0' && c == until) {
			expansion->depth--;
			return 0;
		}
		if (c == '\'')
			r = expand_single(expansion, out, err);
		else if (c == '"')
			r = expand_double(expansion, out, err);
		else if (c == '$')
			r = expand_variable(expansion, out, err);
		else if (c == '\\' && expansion->at < text.length)
			buf_putc(out, text.data[expansion->at++]);
		else
			buf_putc(out, c);
	}
	expansion->depth--;
	return r == 0 && until != '\0' ? malformed(expansion, err) : r;
}

int changes_expand(struct str word, const json_t *env, char **ret_text, struct cay_error *err)
{
	struct expansion expansion = { .text = word, .env = env };
	_cleanup_buf_ struct buf out = { 0 };
	int r = expand_into(&expansion, '\0', &out, err);

	if (r == 0)
		*ret_text = buf_steal(&out);
	return r;
}
