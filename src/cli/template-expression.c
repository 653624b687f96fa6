/* SPDX-License-Identifier: Apache-2.0 */
/* The inner half of the template parser: what stands between "{{" and "}}", as expressions. */
#include "cli/template-internal.h"

#include "base/alloc.h"

#include <ctype.h>
#include <errno.h>

int template_fail(struct scan *scan, const char *what)
{
	return cay_error_set(scan->err, CAY_INVALID, EINVAL, "template: %s at \"%.20s\"", what,
			     scan->at);
}

int template_enter(struct scan *scan)
{
	if (++scan->depth > TEMPLATE_DEPTH_MAX)
		return template_fail(scan, "too many levels");
	return 0;
}

void expression_free(struct expression *expression)
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

void template_skip_blanks(struct scan *scan)
{
	while (*scan->at && strchr(" \t\r\n", *scan->at))
		scan->at++;
}

static bool is_name_character(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

struct str template_take_name(struct scan *scan)
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
	template_skip_blanks(scan);
	return starts_with(scan->at, "}}") || starts_with(scan->at, "-}}");
}

int template_take_action_end(struct scan *scan)
{
	if (!at_action_end(scan))
		return template_fail(scan, *scan->at ? "unexpected text" : "missing }}");
	scan->trim_next = *scan->at == '-';
	scan->at += scan->trim_next ? 3 : 2;
	return 0;
}

/* ".A.B" behind a base; the fields that follow without a blank. */
static void parse_fields(struct scan *scan, struct expression *path)
{
	while (scan->at[0] == '.' && is_name_character(scan->at[1])) {
		scan->at++;
		strv_take(&path->fields, str_dup(template_take_name(scan)));
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
				return template_fail(scan, "unsupported escape");
			c = meanings[letter - letters];
			scan->at++;
		}
		buf_putc(&text, c);
	}
	if (*scan->at != quote)
		return template_fail(scan, "string without an end");
	scan->at++;
	*ret_value = json_string(buf_text(&text));
	return *ret_value ? 0 : template_fail(scan, "string that is not UTF-8");
}

static int parse_number(struct scan *scan, json_t **ret_value)
{
	bool negative = *scan->at == '-';
	struct str digits = { scan->at + negative, 0 };
	uint64_t number;

	digits.length = strspn(digits.data, "0123456789");
	if (str_to_u64(digits, INT64_MAX, &number) < 0)
		return template_fail(scan, "unsupported number");
	scan->at = digits.data + digits.length;
	*ret_value = json_integer(negative ? -(json_int_t)number : (json_int_t)number);
	return 0;
}

bool template_at_word(const struct scan *scan, const char *word)
{
	return starts_with(scan->at, word) && !is_name_character(scan->at[strlen(word)]);
}

/* A term that stands by itself: a path, a constant, a pipeline in parentheses. */
static int parse_term(struct scan *scan, struct expression **ret_expression)
{
	_cleanup_(expression_free_p) struct expression *term = xcalloc(1, sizeof(*term));
	int r = 0;

	if (*scan->at == '(') {
		r = template_enter(scan);
		if (r < 0)
			return r;
		scan->at++;
		r = template_parse_pipeline(scan, &term->base);
		if (r < 0)
			return r;
		template_skip_blanks(scan);
		if (*scan->at != ')')
			return template_fail(scan, "missing )");
		scan->at++;
		scan->depth--;
		parse_fields(scan, term);
	} else if (*scan->at == '$') {
		const char *start = scan->at++;

		(void)template_take_name(scan);
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
	} else if (template_at_word(scan, "true") || template_at_word(scan, "false")) {
		term->kind = EXPRESSION_CONSTANT;
		term->constant = json_boolean(*scan->at == 't');
		(void)template_take_name(scan);
	} else {
		return template_fail(scan, "expected a value");
	}
	if (r < 0)
		return r;
	*ret_expression = TAKE_PTR(term);
	return 0;
}

/* A term, or `.Label "key"`. */
static int parse_value(struct scan *scan, struct expression **ret_expression)
{
	_cleanup_(expression_free_p) struct expression *term = NULL;
	int r = parse_term(scan, &term);

	if (r < 0)
		return r;
	template_skip_blanks(scan);
	if (term->kind == EXPRESSION_PATH && term->fields.count > 0 &&
	    (*scan->at == '"' || *scan->at == '`')) {
		r = parse_string(scan, &term->constant);
		if (r < 0)
			return r;
		term->kind = EXPRESSION_METHOD;
	}
	*ret_expression = TAKE_PTR(term);
	return 0;
}

/* A function and its arguments, or a single term. */
static int parse_command(struct scan *scan, struct expression **ret_expression)
{
	_cleanup_(expression_free_p) struct expression *call = NULL;
	struct str name;

	template_skip_blanks(scan);
	if (!isalpha((unsigned char)*scan->at) || template_at_word(scan, "true") ||
	    template_at_word(scan, "false"))
		return parse_value(scan, ret_expression);
	call = xcalloc(1, sizeof(*call));
	call->kind = EXPRESSION_CALL;
	name = template_take_name(scan);
	call->function = template_function_find(name);
	if (!call->function) {
		(void)cay_error_set(scan->err, CAY_UNSUPPORTED, EINVAL,
				    "template: unknown function \"%.*s\"",
				    (int)MIN(name.length, 40), name.data);
		return -EINVAL;
	}
	for (;;) {
		int r;

		template_skip_blanks(scan);
		if (!*scan->at || strchr("|)", *scan->at) || at_action_end(scan))
			break;
		if (call->argument_count == TEMPLATE_ARGUMENTS_MAX - 1)
			return template_fail(scan, "too many arguments");
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
int template_parse_pipeline(struct scan *scan, struct expression **ret_expression)
{
	_cleanup_(expression_free_p) struct expression *value = NULL;
	unsigned int links = 0;
	int r = parse_command(scan, &value);

	for (;;) {
		struct expression *next = NULL;

		template_skip_blanks(scan);
		if (r < 0 || *scan->at != '|')
			break;
		scan->at++;
		/* Each link nests the tree one deeper, which the interpreter recurses into. */
		if (++links > TEMPLATE_DEPTH_MAX)
			return template_fail(scan, "too many levels");
		assert(value);
		r = check_arguments(scan, value);
		if (r >= 0)
			r = parse_command(scan, &next);
		if (r < 0)
			break;
		assert(value && next);
		if (next->kind != EXPRESSION_CALL) {
			expression_free(next);
			return template_fail(scan, "only a function can follow |");
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
