/* SPDX-License-Identifier: Apache-2.0 */
/* The parsed form of a template, shared by its parser and its interpreter. */
#pragma once

#include "cli/template.h"

#include "base/strv.h"

enum {
	TEMPLATE_TEXT_MAX = 64 * 1024,
	TEMPLATE_DEPTH_MAX = 32,      /* blocks and parentheses within each other */
	TEMPLATE_STEPS_MAX = 1000000, /* nodes evaluated in one run */
	TEMPLATE_OUTPUT_MAX = 64 << 20,
	TEMPLATE_ARGUMENTS_MAX = 16,
};

enum expression_kind {
	EXPRESSION_PATH, /* fields of the base: dot, a variable or another expression */
	EXPRESSION_CONSTANT,
	EXPRESSION_CALL,
	EXPRESSION_METHOD, /* a PATH with an argument behind its last field */
};

struct expression {
	enum expression_kind kind;
	/* PATH */
	struct expression *base; /* NULL: dot, or the variable */
	char *variable;          /* "$" or "$name"; NULL: dot */
	struct strv fields;
	/* CONSTANT, and the argument of a METHOD */
	json_t *constant;
	/* CALL */
	const struct template_function *function;
	struct expression *arguments[TEMPLATE_ARGUMENTS_MAX];
	size_t argument_count;
};

enum node_kind { NODE_TEXT, NODE_PRINT, NODE_IF, NODE_WITH, NODE_RANGE };

struct node {
	struct node *next;
	enum node_kind kind;
	char *text;                    /* TEXT */
	struct expression *expression; /* all others */
	char *key, *value;             /* RANGE: its variables, or NULL */
	struct node *body, *otherwise; /* IF, WITH, RANGE */
};

struct template
{
	char *source;
	struct node *nodes;
};

/*
 * A function gets its arguments, of which NULL stands for a missing field, and gives a new
 * reference.
 */
struct template_function {
	const char *name;
	unsigned int min, max; /* arguments */
	bool takes_missing;    /* else a missing argument is an error before the call */
	int (*call)(json_t *const *arguments, size_t count, json_t **ret_value,
		    struct cay_error *err);
};

const struct template_function *template_function_find(struct str name);
/* As Go's templates test values. A missing one (NULL) is false. */
bool template_is_true(const json_t *value);

/* The parser's place: in text, or within an action up to its "}}". */
struct scan {
	const char *at;
	unsigned int depth;
	bool trim_next; /* the last action ended with "-}}" */
	struct cay_error *err;
};

/* What both halves of the parser use: errors, nesting, and the words of an action. */
int template_fail(struct scan *scan, const char *what);
int template_enter(struct scan *scan);
void template_skip_blanks(struct scan *scan);
struct str template_take_name(struct scan *scan);
bool template_at_word(const struct scan *scan, const char *word);
/* Reads the "}}" that ends an action. */
int template_take_action_end(struct scan *scan);
/* "a | f x", up to what does not belong to it. */
int template_parse_pipeline(struct scan *scan, struct expression **ret_expression);
void expression_free(struct expression *expression);
DEFINE_CLEANUP(struct expression *, expression_free);
