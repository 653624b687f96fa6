/* SPDX-License-Identifier: Apache-2.0 */
/* The template interpreter: walks the parsed tree over a JSON value. */
#include "cli/template-internal.h"

#include "base/alloc.h"
#include "base/json.h"

#include <errno.h>
#include <strings.h>

/* A variable in scope; the innermost comes first. */
struct variable {
	const struct variable *outer;
	const char *name;
	json_t *value;
};

struct run {
	json_t *root;
	const json_t *methods; /* NULL: none */
	struct buf *out;
	size_t steps;
	struct cay_error *err;
};

static int run_nodes(struct run *run, const struct node *node, json_t *dot,
		     const struct variable *variables);
static int evaluate(struct run *run, const struct expression *expression, json_t *dot,
		    const struct variable *variables, json_t **ret_value);

static int count_step(struct run *run)
{
	if (++run->steps > TEMPLATE_STEPS_MAX || run->out->length > TEMPLATE_OUTPUT_MAX)
		return cay_error_set(run->err, CAY_TOO_LARGE, E2BIG,
				     "template: the result is too large");
	return 0;
}

/*
 * The member of that name, in any case where the exact one is missing: docker's templates name Go's
 * fields (.ID), which differ from the JSON's (Id) in no other way.
 */
static json_t *find_member(json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name), *item;
	const char *key;

	if (value)
		return value;
	json_object_foreach(object, key, item) {
		if (strcasecmp(key, name) == 0)
			return item;
	}
	return NULL;
}

static int find_variable(struct run *run, const char *name, const struct variable *variables,
			 json_t **ret_value)
{
	*ret_value = run->root;
	if (strcmp(name, "$") == 0)
		return 0;
	for (; variables; variables = variables->outer) {
		if (strcmp(variables->name, name) != 0)
			continue;
		*ret_value = variables->value;
		return 0;
	}
	return cay_error_set(run->err, CAY_INVALID, EINVAL, "template: no variable \"%s\"", name);
}

/* The first `count` fields only. */
static int evaluate_path(struct run *run, const struct expression *path, size_t count, json_t *dot,
			 const struct variable *variables, json_t **ret_value)
{
	_cleanup_json_ json_t *base = NULL;
	json_t *value = dot;
	int r = 0;

	if (path->base) {
		r = evaluate(run, path->base, dot, variables, &base);
		value = base;
	} else if (path->variable) {
		r = find_variable(run, path->variable, variables, &value);
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < count && value; i++) {
		if (!json_is_object(value) && !json_is_null(value))
			return cay_error_set(run->err, CAY_INVALID, EINVAL,
					     "template: .%s: the value before it has no fields",
					     path->fields.items[i]);
		value = find_member(value, path->fields.items[i]);
	}
	*ret_value = json_incref(value);
	return 0;
}

static int missing(struct run *run, const struct expression *expression)
{
	const struct strv *fields = &expression->fields;

	return cay_error_set(run->err, CAY_INVALID, ENOENT, "template: there is no field .%s",
			     expression->kind == EXPRESSION_PATH && fields->count > 0
				     ? fields->items[fields->count - 1]
				     : "");
}

/* "com.example.my-key" heads its column as "my key". */
static json_t *make_heading(const char *key)
{
	const char *dot = strrchr(key, '.');
	_cleanup_free_ char *text = xstrdup(dot ? dot + 1 : key);

	for (char *at = text; *at; at++)
		if (*at == '-' || *at == '_')
			*at = ' ';
	return json_string(text);
}

static int evaluate_method(struct run *run, const struct expression *method, json_t *dot,
			   const struct variable *variables, json_t **ret_value)
{
	const char *key = json_string_value(method->constant), *text;
	const char *name = method->fields.items[method->fields.count - 1];
	const json_t *map = json_object_get(run->methods, name);
	_cleanup_json_ json_t *base = NULL;
	int r = evaluate_path(run, method, method->fields.count - 1, dot, variables, &base);

	if (r < 0)
		return r;
	if (!map || base != run->root)
		return cay_error_set(run->err, CAY_INVALID, EINVAL,
				     "template: .%s takes no argument", name);
	text = json_string_value(json_object_get(map, key));
	*ret_value = json_is_true(map) ? make_heading(key) : json_string(text ? text : "");
	return 0;
}

static int evaluate_call(struct run *run, const struct expression *call, json_t *dot,
			 const struct variable *variables, json_t **ret_value)
{
	json_t *arguments[TEMPLATE_ARGUMENTS_MAX] = { NULL };
	int r = 0;

	for (size_t i = 0; i < call->argument_count && r >= 0; i++) {
		r = evaluate(run, call->arguments[i], dot, variables, &arguments[i]);
		if (r >= 0 && !arguments[i] && !call->function->takes_missing)
			r = missing(run, call->arguments[i]);
	}
	if (r >= 0)
		r = call->function->call(arguments, call->argument_count, ret_value, run->err);
	for (size_t i = 0; i < call->argument_count; i++)
		json_decref(arguments[i]);
	return r;
}

/* *ret_value is a new reference, or NULL for a field that is not there. */
static int evaluate(struct run *run, const struct expression *expression, json_t *dot,
		    const struct variable *variables, json_t **ret_value)
{
	int r = count_step(run);

	if (r < 0)
		return r;
	switch (expression->kind) {
	case EXPRESSION_CONSTANT:
		*ret_value = json_incref(expression->constant);
		return 0;
	case EXPRESSION_CALL:
		return evaluate_call(run, expression, dot, variables, ret_value);
	case EXPRESSION_METHOD:
		return evaluate_method(run, expression, dot, variables, ret_value);
	case EXPRESSION_PATH:
		break;
	}
	return evaluate_path(run, expression, expression->fields.count, dot, variables, ret_value);
}

/* One turn of a range. */
static int run_item(struct run *run, const struct node *node, const char *key, size_t index,
		    json_t *item, const struct variable *variables)
{
	_cleanup_json_ json_t *key_value = key ? json_string(key) : json_integer((json_int_t)index);
	const struct variable first = { variables, node->key, key_value };
	const struct variable second = { node->key ? &first : variables, node->value, item };

	return run_nodes(run, node->body, item, node->value ? &second : variables);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Go goes through a map in the order of its keys. */
static int run_object(struct run *run, const struct node *node, json_t *object,
		      const struct variable *variables)
{
	size_t count = json_object_size(object), next = 0;
	_cleanup_free_ const char **keys = xcalloc(count, sizeof(*keys));
	const char *key;
	json_t *item;
	int r = 0;

	json_object_foreach(object, key, item) {
		keys[next++] = key;
	}
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < count && r >= 0; i++)
		r = run_item(run, node, keys[i], i, json_object_get(object, keys[i]), variables);
	return r;
}

static int run_range(struct run *run, const struct node *node, json_t *list, json_t *dot,
		     const struct variable *variables)
{
	json_t *item;
	size_t index;
	int r = 0;

	if (!template_is_true(list))
		return run_nodes(run, node->otherwise, dot, variables);
	if (json_is_object(list))
		return run_object(run, node, list, variables);
	if (!json_is_array(list))
		return cay_error_set(run->err, CAY_INVALID, EINVAL,
				     "template: range over a value that is no list");
	json_array_foreach(list, index, item) {
		r = run_item(run, node, NULL, index, item, variables);
		if (r < 0)
			break;
	}
	return r;
}

static int run_node(struct run *run, const struct node *node, json_t *dot,
		    const struct variable *variables)
{
	_cleanup_json_ json_t *value = NULL;
	int r = count_step(run);

	if (r >= 0 && node->kind == NODE_TEXT) {
		buf_puts(run->out, node->text);
		return 0;
	}
	if (r >= 0)
		r = evaluate(run, node->expression, dot, variables, &value);
	if (r < 0)
		return r;
	if (node->kind == NODE_RANGE)
		return run_range(run, node, value, dot, variables);
	if (node->kind == NODE_PRINT) {
		if (!value)
			return missing(run, node->expression);
		template_print(value, run->out);
		return 0;
	}
	if (!template_is_true(value))
		return run_nodes(run, node->otherwise, dot, variables);
	return run_nodes(run, node->body, node->kind == NODE_WITH ? value : dot, variables);
}

static int run_nodes(struct run *run, const struct node *node, json_t *dot,
		     const struct variable *variables)
{
	int r = 0;

	for (; node && r >= 0; node = node->next)
		r = run_node(run, node, dot, variables);
	return r;
}

int template_run(const struct template *template, const json_t *value, const json_t *methods,
		 struct buf *out, struct cay_error *err)
{
	/* json_incref() takes no const, and nothing here changes the value. */
	struct run run = {
		.root = (json_t *)(uintptr_t)value, .methods = methods, .out = out, .err = err
	};

	return run_nodes(&run, template->nodes, run.root, NULL);
}
