/* SPDX-License-Identifier: Apache-2.0 */
/* The template parser: text and actions into a tree, by recursive descent over the source. */
#include "cli/template-internal.h"

#include "base/alloc.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>

static int parse_nodes(struct scan *scan, struct node **ret_nodes, const char **ret_end);

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

/* "$key, $value :=" or "$value :=" in front of what is ranged over. */
static int parse_range_variables(struct scan *scan, struct node *node)
{
	const char *start = scan->at;
	_cleanup_free_ char *first = NULL, *second = NULL;

	if (*scan->at != '$')
		return 0;
	scan->at++;
	(void)template_take_name(scan);
	first = xstrndup(start, (size_t)(scan->at - start));
	template_skip_blanks(scan);
	if (*scan->at == ',') {
		scan->at++;
		template_skip_blanks(scan);
		start = scan->at;
		if (*scan->at != '$')
			return template_fail(scan, "expected a variable");
		scan->at++;
		(void)template_take_name(scan);
		second = xstrndup(start, (size_t)(scan->at - start));
		template_skip_blanks(scan);
	}
	if (!starts_with(scan->at, ":=")) {
		if (second)
			return template_fail(scan, "expected :=");
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
	int r = template_enter(scan);

	if (r >= 0)
		r = parse_nodes(scan, &node->body, &end);
	if (r >= 0 && strcmp(end, "else") == 0) {
		template_skip_blanks(scan);
		if (node->kind == NODE_IF && template_at_word(scan, "if")) {
			struct node *nested = xcalloc(1, sizeof(*nested));

			node->otherwise = nested;
			nested->kind = NODE_IF;
			scan->at += 2;
			r = template_parse_pipeline(scan, &nested->expression);
			if (r >= 0)
				r = template_take_action_end(scan);
			if (r >= 0)
				r = parse_block(scan, nested);
			scan->depth--;
			return r;
		}
		r = template_take_action_end(scan);
		if (r >= 0)
			r = parse_nodes(scan, &node->otherwise, &end);
		if (r >= 0 && strcmp(end, "else") == 0)
			return template_fail(scan, "second else");
	}
	if (r < 0)
		return r;
	if (strcmp(end, "end") != 0)
		return template_fail(scan, "missing {{end}}");
	scan->depth--;
	return template_take_action_end(scan);
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
		if (!template_at_word(scan, blocks[i].word))
			continue;
		node->kind = blocks[i].kind;
		scan->at += strlen(blocks[i].word);
		template_skip_blanks(scan);
	}
	if (node->kind == NODE_RANGE) {
		r = parse_range_variables(scan, node);
		if (r < 0)
			return r;
	}
	r = template_parse_pipeline(scan, &node->expression);
	if (r >= 0)
		r = template_take_action_end(scan);
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
		return template_fail(scan, "comment without an end");
	scan->at = end + 2;
	return template_take_action_end(scan);
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
		template_skip_blanks(scan);
		if (starts_with(scan->at, "/*")) {
			r = skip_comment(scan);
			if (r < 0)
				return r;
			continue;
		}
		if (template_at_word(scan, "end") || template_at_word(scan, "else")) {
			*ret_end = template_at_word(scan, "end") ? "end" : "else";
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
