/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser: one walk over the arguments, each looked up in the command's table. */
#include "cli/options.h"

#include "base/alloc.h"
#include "cli/words.h"

#include <errno.h>

struct option_value {
	bool given;
	bool flag;
	int64_t number;
	char *text;
	struct strv list;
};

struct options {
	const struct option *table;
	struct option_value *values; /* one a row */
};

/* Where the parser stands. */
struct walk {
	struct options *options;
	int argc;
	char *const *argv;
	int next; /* the argument after the one being read */
	bool help;
};

static const struct option no_options[] = { { 0 } };

static size_t count_rows(const struct option *table)
{
	size_t count = 0;

	while (table[count].name)
		count++;
	return count;
}

const struct option *option_find(const struct option *table, struct str name)
{
	for (const struct option *row = table; row->name; row++) {
		if (!str_equals(name, row->name))
			continue;
		return row->kind == OPTION_SAME ? option_find(table, str_from(row->value)) : row;
	}
	return NULL;
}

void options_free(struct options *options)
{
	size_t count;

	if (!options)
		return;
	count = count_rows(options->table);
	for (size_t i = 0; i < count; i++) {
		free(options->values[i].text);
		strv_done(&options->values[i].list);
	}
	free(options->values);
	free(options);
}

/* Levenshtein's distance over one row; names of options and verbs are short. */
unsigned int word_distance(const char *a, const char *b, unsigned int limit)
{
	unsigned int row[64];
	size_t width = strlen(b);

	if (width >= ARRAY_SIZE(row) || strlen(a) >= ARRAY_SIZE(row))
		return limit + 1;
	for (size_t j = 0; j <= width; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= width; j++) {
			unsigned int above = row[j];
			unsigned int change = diagonal + (a[i - 1] != b[j - 1]);

			row[j] = MIN(change, MIN(above, row[j - 1]) + 1);
			diagonal = above;
		}
	}
	return MIN(row[width], limit + 1);
}

static int unknown_option(const struct option *table, const char *dashes, const char *name,
			  struct cay_error *err)
{
	const struct option *best = NULL;
	unsigned int best_distance = 3;

	for (const struct option *row = table; row->name; row++) {
		unsigned int distance = word_distance(name, row->name, best_distance);

		if (row->kind == OPTION_SAME)
			continue;
		if (distance < best_distance ||
		    (strlen(name) > 3 && !best && starts_with(row->name, name))) {
			best = row;
			best_distance = MIN(best_distance, distance);
		}
	}
	if (best && strlen(name) > 1)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "unknown option: %s%s; did you mean --%s?", dashes, name,
				     best->name);
	return cay_error_set(err, CAY_INVALID, EINVAL, "unknown option: %s%s", dashes, name);
}

/* Whether the blank-separated words have this one among them. */
static bool has_word(const char *words, const char *word)
{
	struct str rest = str_from(words);

	while (rest.length > 0)
		if (str_equals(str_split(rest, ' ', &rest), word))
			return true;
	return false;
}

int flag_parse(const char *text, bool *ret_flag)
{
	if (has_word("1 t T true TRUE True", text))
		*ret_flag = true;
	else if (has_word("0 f F false FALSE False", text))
		*ret_flag = false;
	else
		return -EINVAL;
	return 0;
}

/* Stores a value (NULL: a flag without one). */
static int store(struct walk *walk, size_t row, const char *text, struct cay_error *err)
{
	const struct option *option = &walk->options->table[row];
	struct option_value *value = &walk->options->values[row];

	if (text && option->choices && !has_word(option->choices, text))
		return cay_error_set(err, CAY_INVALID, EINVAL, "--%s: \"%s\" is not one of: %s",
				     option->name, text, option->choices);
	assert(text || option->kind == OPTION_FLAG);
	value->given = true;
	switch (option->kind) {
	case OPTION_FLAG:
		value->flag = true;
		if (text && flag_parse(text, &value->flag) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--%s: \"%s\" is not true or false", option->name,
					     text);
		break;
	case OPTION_NUMBER:
		if (parse_i64(text, &value->number) < 0)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "--%s: \"%s\" is not a whole number", option->name,
					     text);
		break;
	case OPTION_LIST:
		strv_add(&value->list, text);
		break;
	case OPTION_WORDS:
		if (*text && words_split(text, &value->list, err) < 0)
			return cay_error_prefix(err, "--%s", option->name);
		break;
	case OPTION_SAME: /* option_find() has led to another row */
		break;
	case OPTION_TEXT:
	case OPTION_SECRET:
		replace_string(&value->text, text);
		break;
	}
	return 0;
}

/* The option's value, joined or from the next argument. */
static int take_value(struct walk *walk, size_t row, const char *joined, struct cay_error *err)
{
	const struct option *option = &walk->options->table[row];
	int r;

	if (!joined && option->kind != OPTION_FLAG) {
		if (walk->next >= walk->argc)
			return cay_error_set(err, CAY_INVALID, EINVAL, "--%s needs a value (%s)",
					     option->name, option->value);
		joined = walk->argv[walk->next++];
	}
	r = store(walk, row, joined, err);
	if (option->kind == OPTION_SECRET)
		memset((char *)(uintptr_t)joined, 'x', strlen(joined)); /* argv's, which is ours */
	return r;
}

static int parse_long(struct walk *walk, const char *text, struct cay_error *err)
{
	struct str rest, name = str_split(str_from(text), '=', &rest);
	const char *joined = text[name.length] == '=' ? rest.data : NULL;
	const struct option *table = walk->options->table, *row = option_find(table, name);
	_cleanup_free_ char *unknown = NULL;

	if (row)
		return take_value(walk, (size_t)(row - table), joined, err);
	if (str_equals(name, "help")) {
		walk->help = true;
		return 0;
	}
	unknown = str_dup(name);
	return unknown_option(table, "--", unknown, err);
}

/* "-it", "-p80", "-p=80", "-e NAME". */
static int parse_cluster(struct walk *walk, const char *text, struct cay_error *err)
{
	const struct option *table = walk->options->table;

	for (const char *at = text; *at; at++) {
		size_t row = 0;
		const char *joined = NULL;
		int r;

		while (table[row].name && table[row].letter != *at)
			row++;
		if (!table[row].name) {
			const char letter[] = { *at, '\0' };

			if (*at == 'h') {
				walk->help = true;
				return 0;
			}
			if (at == text && at[1])
				return unknown_option(table, "-", text, err);
			return unknown_option(table, "-", letter, err);
		}
		if (at[1] == '=')
			joined = at + 2;
		else if (at[1] && table[row].kind != OPTION_FLAG)
			joined = at + 1;
		r = take_value(walk, row, joined, err);
		if (r < 0 || joined)
			return r;
		if (table[row].kind != OPTION_FLAG)
			return 0;
	}
	return 0;
}

int options_parse(const struct option *table, int argc, char *const *argv, bool interleaved,
		  struct options **ret_options, const char ***ret_operands, size_t *ret_count,
		  bool *ret_help, struct cay_error *err)
{
	_cleanup_(options_free_p) struct options *options = xcalloc(1, sizeof(*options));
	_cleanup_free_ const char **operands = xcalloc((size_t)argc + 1, sizeof(*operands));
	struct walk walk = { .options = options, .argc = argc, .argv = argv };
	size_t count = 0;

	options->table = table ? table : no_options;
	options->values = xcalloc(count_rows(options->table) + 1, sizeof(*options->values));
	while (walk.next < argc && !walk.help) {
		const char *argument = argv[walk.next++];
		int r;

		if (argument[0] != '-' || argument[1] == '\0') {
			operands[count++] = argument;
			if (interleaved)
				continue;
			break;
		}
		if (strcmp(argument, "--") == 0)
			break;
		if (argument[1] == '-')
			r = parse_long(&walk, argument + 2, err);
		else
			r = parse_cluster(&walk, argument + 1, err);
		if (r < 0)
			return r;
	}
	while (walk.next < argc)
		operands[count++] = argv[walk.next++];
	*ret_help = walk.help;
	*ret_options = TAKE_PTR(options);
	*ret_operands = TAKE_PTR(operands);
	*ret_count = count;
	return 0;
}

static const struct option_value *find_value(const struct options *options, const char *name,
					     unsigned int kinds)
{
	for (size_t i = 0; options->table[i].name; i++) {
		if (strcmp(options->table[i].name, name) != 0)
			continue;
		if (!(kinds & (1u << options->table[i].kind)))
			break;
		return &options->values[i];
	}
	abort(); /* a name that the command's table does not have: a mistake in cay itself */
}

bool option_given(const struct options *options, const char *name)
{
	return find_value(options, name, ~0u)->given;
}

bool option_flag(const struct options *options, const char *name)
{
	return find_value(options, name, 1u << OPTION_FLAG)->flag;
}

const char *option_text(const struct options *options, const char *name)
{
	return find_value(options, name, 1u << OPTION_TEXT | 1u << OPTION_SECRET)->text;
}

const struct strv *option_list(const struct options *options, const char *name)
{
	return &find_value(options, name, 1u << OPTION_LIST | 1u << OPTION_WORDS)->list;
}

int64_t option_number(const struct options *options, const char *name, int64_t otherwise)
{
	const struct option_value *value = find_value(options, name, 1u << OPTION_NUMBER);

	return value->given ? value->number : otherwise;
}
