/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: a table of rows, parsed as docker's own client does. Short options
 * cluster ("-it"), values follow joined or apart ("-p80", "-p=80", "-p 80",
 * "--name=x", "--name x"), flags take "=true" and "=false", and "--" ends them.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

#include <stdbool.h>

enum option_kind {
	OPTION_FLAG,   /* true when given */
	OPTION_TEXT,   /* a value; the last one counts */
	OPTION_LIST,   /* a value each time it is given */
	OPTION_NUMBER, /* a whole number, perhaps negative */
	OPTION_SECRET, /* as TEXT, and overwritten in argv, which other users can read */
	OPTION_WORDS,  /* as LIST, and each value may be several with commas between them */
	/* Another spelling of the row that `value` names; not in help, man page or completion. */
	OPTION_SAME,
};

struct option {
	char letter; /* '\0': none */
	enum option_kind kind;
	const char *name;    /* without the dashes; NULL ends a table */
	const char *value;   /* the value's name in help: "SIZE"; see OPTION_SAME */
	const char *choices; /* the values it may have, separated by blanks; NULL: any */
	const char *help;    /* one line, no full stop; NULL for OPTION_SAME */
};

struct options;

/*
 * Parses arguments up to the first that is neither an option nor an option's value; with
 * `interleaved` options may also stand between operands. *ret_operands (an array that ends with
 * NULL, to be freed; its strings stay argv's) gets the operands. Errors are CAY_INVALID and name
 * the option; an unknown one comes with the nearest that exists. "--help" (and "-h" where the table
 * has no such letter) ends parsing with *ret_help set.
 */
int options_parse(const struct option *table, int argc, char *const *argv, bool interleaved,
		  struct options **ret_options, const char ***ret_operands, size_t *ret_count,
		  bool *ret_help, struct cay_error *err);
void options_free(struct options *options);
DEFINE_CLEANUP(struct options *, options_free);

/* The values. The option must be in the table and of that kind: anything else aborts. */
bool option_given(const struct options *options, const char *name);
bool option_flag(const struct options *options, const char *name);
/* The value of a TEXT or a SECRET, or NULL when the option was not given. */
const char *option_text(const struct options *options, const char *name);
/* Of a LIST or of WORDS. */
const struct strv *option_list(const struct options *options, const char *name);
int64_t option_number(const struct options *options, const char *name, int64_t otherwise);

/* The row of that name, or that another spelling stands for; NULL when there is none. */
const struct option *option_find(const struct option *table, struct str name);

/* "true", "0", "F" and the other words that Go's strconv.ParseBool knows; -EINVAL for the rest. */
int flag_parse(const char *text, bool *ret_flag);

/* Letters that must change to get from one word to the other, at most `limit` + 1. */
unsigned int word_distance(const char *a, const char *b, unsigned int limit);
