/* SPDX-License-Identifier: Apache-2.0 */
/* The template parser: text and actions into a tree, by recursive descent over the source. */
#include "cli/template-internal.h"

#include "base/alloc.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>

/* The parser's place: in text, or within an action up to its "}}". */
struct scan {
	const char *at;
	unsigned int depth;
	bool trim_next; /* the last action ended with "-}}" */
	struct cay_error *err;
};

static int parse_nodes(struct scan *scan, struct node **ret_nodes, const char **ret_end);
static int parse_pipeline(struct scan *scan, struct expression **ret_expression);

static int fail(struct scan *scan, const char *what)
{
	return cay_error_set(scan->err, CAY_INVALID, EINVAL, "template: %s at \"%.20s\"", what,
			     scan->at);
}

static int enter(struct scan *scan)
{
	if (++scan->depth > TEMPLATE_DEPTH_MAX)
		return fail(scan, "too many levels");
	return 0;
}

static void expression_free(struct expression *expression)
{
	if (!expression)
		return;
	expression_free(expression->base);
	free(expression->variable);
	strv_done(&expression->fields);
	json_decref(expression->constant);
	for (size_t i = 0; i < expression->argument_count; i++)
		expression_free(expression->arguments[i]);
	free(expression);
}
DEFINE_CLEANUP(struct expression *, expression_free);

static void node_free(struct node *node)
{
	while (node) {
		struct node *next = node->next;

		free(node->text);
		expression_free(node->expression);
		free(node->key);
		free(node->value);
		node_free(node->body);
		node_free(node->otherwise);
		free(node);
		node = next;
	}
}
DEFINE_CLEANUP(struct node *, node_free);

void template_free(struct template *template)
{
	if (!template)
		return;
	node_free(template->nodes);
	free(template->source);
	free(template);
}

static void skip_blanks(struct scan *scan)
{
	while (*scan->at && strchr(" \t\r\n", *scan->at))
		scan->at++;
}

static bool is_name_character(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static struct str take_name(struct scan *scan)
{
	struct str name = { scan->at, 0 };

	while (is_name_character(scan->at[0])) {
		scan->at++;
		name.length++;
	}
	return name;
}

static bool at_action_end(struct scan *scan)
{
	skip_blanks(scan);
	return starts_with(scan->at, "}}") || starts_with(scan->at, "-}}");
}

static int take_action_end(struct scan *scan)
{
	if (!at_action_end(scan))
		return fail(scan, *scan->at ? "unexpected text" : "missing }}");
	scan->trim_next = *scan->at == '-';
	scan->at += scan->trim_next ? 3 : 2;
	return 0;
}

/* ".A.B" behind a base; the fields that follow without a blank. */
static void parse_fields(struct scan *scan, struct expression *path)
{
	while (scan->at[0] == '.' && is_name_character(scan->at[1])) {
		scan->at++;
		strv_take(&path->fields, str_dup(take_name(scan)));
	}
}

static int parse_string(struct scan *scan, json_t **ret_value)
{
	_cleanup_buf_ struct buf text = { 0 };
	char quote = *scan->at++;

	for (; *scan->at && *scan->at != quote; scan->at++) {
		char c = *scan->at;

		if (quote == '"' && c == '\\') {
			static const char letters[] = "nt\"\\", meanings[] = "\n\t\"\\";
			const char *letter = scan->at[1] ? strchr(letters, scan->at[1]) : NULL;

			if (!letter)
				return fail(scan, "unsupported escape");
			c = meanings[letter - letters];
			scan->at++;
		}
		buf_putc(&text, c);
	}
	if (*scan->at != quote)
		return fail(scan, "string without an end");
	scan->at++;
	*ret_value = json_string(buf_text(&text));
	return *ret_value ? 0 : fail(scan, "string that is not UTF-8");
}

static int parse_number(struct scan *scan, json_t **ret_value)
{
	bool negative = *scan->at == '-';
	struct str digits = { scan->at + negative, 0 };
	uint64_t number;

	digits.length = strspn(digits.data, "0123456789");
	if (str_to_u64(digits, INT64_MAX, &number) < 0)
		return fail(scan, "unsupported number");
	scan->at = digits.data + digits.length;
	*ret_value = json_integer(negative ? -(json_int_t)number : (json_int_t)number);
	return 0;
}

static bool at_word(const struct scan *scan, const char *word)
{
	return starts_with(scan->at, word) && !is_name_character(scan->at[strlen(word)]);
}

/* A term that stands by itself: a path, a constant, a pipeline in parentheses. */
static int parse_term(struct scan *scan, struct expression **ret_expression)
{
	_cleanup_(expression_free_p) struct expression *term = xcalloc(1, sizeof(*term));
	int r = 0;

	if (*scan->at == '(') {
		r = enter(scan);
		if (r < 0)
			return r;
		scan->at++;
		r = parse_pipeline(scan, &term->base);
		if (r < 0)
			return r;
		skip_blanks(scan);
		if (*scan->at != ')')
			return fail(scan, "missing )");
		scan->at++;
		scan->depth--;
		parse_fields(scan, term);
	} else if (*scan->at == '$') {
		const char *start = scan->at++;

		(void)take_name(scan);
		term->variable = xstrndup(start, (size_t)(scan->at - start));
		parse_fields(scan, term);
	} else if (*scan->at == '.') {
		if (is_name_character(scan->at[1]))
			parse_fields(scan, term);
		else
			scan->at++;
	} else if (*scan->at == '"' || *scan->at == '`') {
		term->kind = EXPRESSION_CONSTANT;
		r = parse_string(scan, &term->constant);
	} else if (isdigit((unsigned char)*scan->at) || *scan->at == '-') {
		term->kind = EXPRESSION_CONSTANT;
		r = parse_number(scan, &term->constant);
	} else if (at_word(scan, "true") || at_word(scan, "false")) {
		term->kind = EXPRESSION_CONSTANT;
		term->constant = json_boolean(*scan->at == 't');
		(void)take_name(scan);
	} else {
		return fail(scan, "expected a value");
	}
	if (r < 0)
		return r;
	*ret_expression = TAKE_PTR(term);
	return 0;
}

/* A function and its arguments, or a single term. */
static int parse_command(struct scan *scan, struct expression **ret_expression)
{
	_cleanup_(expression_free_p) struct expression *call = NULL;
	struct str name;

	skip_blanks(scan);
	if (!isalpha((unsigned char)*scan->at) || at_word(scan, "true") || at_word(scan, "false"))
		return parse_term(scan, ret_expression);
	call = xcalloc(1, sizeof(*call));
	call->kind = EXPRESSION_CALL;
	name = take_name(scan);
	call->function = template_function_find(name);
	if (!call->function) {
		(void)cay_error_set(scan->err, CAY_UNSUPPORTED, EINVAL,
				    "template: unknown function \"%.*s\"",
				    (int)MIN(name.length, 40), name.data);
		return -EINVAL;
	}
	for (;;) {
		int r;

		skip_blanks(scan);
		if (!*scan->at || strchr("|)", *scan->at) || at_action_end(scan))
			break;
		if (call->argument_count == TEMPLATE_ARGUMENTS_MAX - 1)
			return fail(scan, "too many arguments");
		r = parse_term(scan, &call->arguments[call->argument_count]);
		if (r < 0)
			return r;
		call->argument_count++;
	}
	*ret_expression = TAKE_PTR(call);
	return 0;
}

static int check_arguments(struct scan *scan, const struct expression *call)
{
	if (call->kind != EXPRESSION_CALL)
		return 0;
	if (call->argument_count >= call->function->min &&
	    call->argument_count <= call->function->max)
		return 0;
	return cay_error_set(scan->err, CAY_INVALID, EINVAL,
			     "template: \"%s\" does not take %zu arguments", call->function->name,
			     call->argument_count);
}

/* "a | f x": the value becomes the last argument of what follows. */
static int parse_pipeline(struct scan *scan, struct expression **ret_expression)
{
	_cleanup_(expression_free_p) struct expression *value = NULL;
	unsigned int links = 0;
	int r = parse_command(scan, &value);

	for (;;) {
		struct expression *next = NULL;

		skip_blanks(scan);
		if (r < 0 || *scan->at != '|')
			break;
		scan->at++;
		/* Each link nests the tree one deeper, which the interpreter recurses into. */
		if (++links > TEMPLATE_DEPTH_MAX)
			return fail(scan, "too many levels");
		assert(value);
		r = check_arguments(scan, value);
		if (r >= 0)
			r = parse_command(scan, &next);
		if (r < 0)
			break;
		assert(value && next);
		if (next->kind != EXPRESSION_CALL) {
			expression_free(next);
			return fail(scan, "only a function can follow |");
		}
		next->arguments[next->argument_count++] = value;
		value = next;
	}
	if (r < 0)
		return r;
	assert(value);
	r = check_arguments(scan, value);
	if (r < 0)
		return r;
	*ret_expression = TAKE_PTR(value);
	return 0;
}

/* "$key, $value :=" or "$value :=" in front of what is ranged over. */
static int parse_range_variables(struct scan *scan, struct node *node)
{
	const char *start = scan->at;
	_cleanup_free_ char *first = NULL, *second = NULL;

	if (*scan->at != '$')
		return 0;
	scan->at++;
	(void)take_name(scan);
	first = xstrndup(start, (size_t)(scan->at - start));
	skip_blanks(scan);
	if (*scan->at == ',') {
		scan->at++;
		skip_blanks(scan);
		start = scan->at;
		if (*scan->at != '$')
			return fail(scan, "expected a variable");
		scan->at++;
		(void)take_name(scan);
		second = xstrndup(start, (size_t)(scan->at - start));
		skip_blanks(scan);
	}
	if (!starts_with(scan->at, ":=")) {
		if (second)
			return fail(scan, "expected :=");
		scan->at = start; /* a variable that is ranged over */
		return 0;
	}
	scan->at += 2;
	if (second) {
		node->key = TAKE_PTR(first);
		node->value = TAKE_PTR(second);
	} else {
		node->value = TAKE_PTR(first);
	}
	return 0;
}

/* The body of if, with or range, up to its end. */
static int parse_block(struct scan *scan, struct node *node)
{
	const char *end = NULL;
	int r = enter(scan);

	if (r >= 0)
		r = parse_nodes(scan, &node->body, &end);
	if (r >= 0 && strcmp(end, "else") == 0) {
		skip_blanks(scan);
		if (node->kind == NODE_IF && at_word(scan, "if")) {
			struct node *nested = xcalloc(1, sizeof(*nested));

			node->otherwise = nested;
			nested->kind = NODE_IF;
			scan->at += 2;
			r = parse_pipeline(scan, &nested->expression);
			if (r >= 0)
				r = take_action_end(scan);
			if (r >= 0)
				r = parse_block(scan, nested);
			scan->depth--;
			return r;
		}
		r = take_action_end(scan);
		if (r >= 0)
			r = parse_nodes(scan, &node->otherwise, &end);
		if (r >= 0 && strcmp(end, "else") == 0)
			return fail(scan, "second else");
	}
	if (r < 0)
		return r;
	if (strcmp(end, "end") != 0)
		return fail(scan, "missing {{end}}");
	scan->depth--;
	return take_action_end(scan);
}

/* What stands between "{{" and "}}". */
static int parse_action(struct scan *scan, struct node *node)
{
	static const struct {
		const char *word;
		enum node_kind kind;
	} blocks[] = { { "if", NODE_IF }, { "with", NODE_WITH }, { "range", NODE_RANGE } };
	int r;

	node->kind = NODE_PRINT;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		if (!at_word(scan, blocks[i].word))
			continue;
		node->kind = blocks[i].kind;
		scan->at += strlen(blocks[i].word);
		skip_blanks(scan);
	}
	if (node->kind == NODE_RANGE) {
		r = parse_range_variables(scan, node);
		if (r < 0)
			return r;
	}
	r = parse_pipeline(scan, &node->expression);
	if (r >= 0)
		r = take_action_end(scan);
	if (r >= 0 && node->kind != NODE_PRINT)
		r = parse_block(scan, node);
	return r;
}

/* Text up to the next action, without the blanks that "-}}" and "{{-" take away. */
static char *take_text(struct scan *scan)
{
	const char *end = strstr(scan->at, "{{"), *start = scan->at;

	if (!end)
		end = scan->at + strlen(scan->at);
	scan->at = end;
	if (scan->trim_next)
		while (start < end && isspace((unsigned char)*start))
			start++;
	scan->trim_next = false;
	if (starts_with(end, "{{-"))
		while (end > start && isspace((unsigned char)end[-1]))
			end--;
	return end > start ? xstrndup(start, (size_t)(end - start)) : NULL;
}

static int skip_comment(struct scan *scan)
{
	const char *end = strstr(scan->at + 2, "*/");

	if (!end)
		return fail(scan, "comment without an end");
	scan->at = end + 2;
	return take_action_end(scan);
}

/*
 * Nodes up to the template's end (*ret_end is ""), or to {{end}} or {{else}} (*ret_end is the word,
 * and its action is read up to behind the word).
 */
static int parse_nodes(struct scan *scan, struct node **ret_nodes, const char **ret_end)
{
	_cleanup_(node_free_p) struct node *first = NULL;
	struct node **last = &first;

	*ret_end = "";
	while (*scan->at) {
		char *text = take_text(scan);
		int r;

		if (text) {
			*last = xcalloc(1, sizeof(**last));
			(*last)->text = text;
			last = &(*last)->next;
		}
		if (!*scan->at)
			break;
		scan->at += starts_with(scan->at, "{{-") ? 3 : 2;
		skip_blanks(scan);
		if (starts_with(scan->at, "/*")) {
			r = skip_comment(scan);
			if (r < 0)
				return r;
			continue;
		}
		if (at_word(scan, "end") || at_word(scan, "else")) {
			*ret_end = at_word(scan, "end") ? "end" : "else";
			scan->at += strlen(*ret_end);
			break;
		}
		*last = xcalloc(1, sizeof(**last));
		r = parse_action(scan, *last);
		if (r < 0)
			return r;
		last = &(*last)->next;
	}
	*ret_nodes = TAKE_PTR(first);
	return 0;
}

int template_parse(const char *text, struct template **ret_template, struct cay_error *err)
{
	_cleanup_(template_free_p) struct template *template = xcalloc(1, sizeof(*template));
	struct scan scan = { .err = err };
	const char *end;
	int r;

	if (strlen(text) > TEMPLATE_TEXT_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "template: over %d bytes",
				     TEMPLATE_TEXT_MAX);
	template->source = xstrdup(text);
	scan.at = template->source;
	r = parse_nodes(&scan, &template->nodes, &end);
	if (r < 0)
		return r;
	if (*end)
		return cay_error_set(err, CAY_INVALID, EINVAL, "template: {{%s}} without a block",
				     end);
	*ret_template = TAKE_PTR(template);
	return 0;
}
