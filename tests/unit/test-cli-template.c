/* SPDX-License-Identifier: Apache-2.0 */
/* Templates and the lists made with them. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "cli/table.h"
#include "cli/template.h"

#include <errno.h>

static const char document[] =
	"{\"Id\":\"abc\",\"State\":{\"Running\":true,\"ExitCode\":0},\"Args\":[\"a\",\"b\"],"
	"\"Labels\":{\"x.y\":\"1\",\"b\":\"2\"},\"None\":null,\"Size\":12,\"Empty\":[],"
	"\"Ports\":{\"80/tcp\":[{\"HostPort\":\"8080\"}]}}";

static json_t *parse(const char *text)
{
	struct cay_error err = { 0 };
	json_t *value = NULL;

	assert_ok(json_parse(text, strlen(text), "test", &value, &err));
	return value;
}

/* The result, or the error's text. */
static char *run(const char *text, const json_t *value)
{
	_cleanup_(template_free_p) struct template *template = NULL;
	_cleanup_json_ json_t *methods =
		json_pack("{s:{s:s}, s:b}", "Label", "x.y", "one", "Head", true);
	struct cay_error err = { 0 };
	struct buf out = { 0 };

	if (template_parse(text, &template, &err) >= 0 &&
	    template_run(template, value, methods, &out, &err) >= 0)
		return buf_steal(&out);
	buf_done(&out);
	return xasprintf("error: %s", err.message);
}

static void test_results(void **state)
{
	static const struct {
		const char *template, *result;
	} cases[] = {
		{ "plain", "plain" },
		{ "{{.Id}} {{.ID}}", "abc abc" },
		{ "{{ .State.Running }}|{{.State.ExitCode}}", "true|0" },
		{ "{{json .State}}", "{\"Running\":true,\"ExitCode\":0}" },
		{ "{{.State | json}}", "{\"Running\":true,\"ExitCode\":0}" },
		{ "{{json .}}", document },
		{ "{{.Args}} {{.Labels}}", "[a b] map[x.y:1 b:2]" },
		{ "{{.None}}", "<no value>" },
		{ "{{index .Labels \"x.y\"}}{{index .Labels \"no\"}}", "1" },
		{ "{{.Label \"x.y\"}}|{{.Label `no`}}|{{(.Label \"x.y\") | upper}}|{{$.Label \"x.y\"}}",
		  "one||ONE|one" },
		{ "{{.Head \"a.b.my-long_name\"}} {{.Head \"x\"}}", "my long name x" },
		{ "{{if .Label \"no\"}}a{{else}}b{{end}}", "b" },
		{ "{{.Id \"x\"}}", "error: template: .Id takes no argument" },
		{ "{{.State.Label \"x\"}}", "error: template: .Label takes no argument" },
		{ "{{.Label \"x\" \"y\"}}", "error: template: unexpected text at \"\"y\"}}\"" },
		{ "{{index .Args 1}}", "b" },
		{ "{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080" },
		{ "{{join .Args \",\"}} {{.Id | upper}} {{len .Args}}", "a,b ABC 2" },
		{ "{{index (split \"a:b\" \":\") 1}} {{truncate .Id 2}} {{title .Id}}",
		  "b ab Abc" },
		{ "{{range .Args}}<{{.}}>{{end}}", "<a><b>" },
		{ "{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "b=2;x.y=1;" },
		{ "{{range $i, $a := .Args}}{{$i}}{{$a}}{{$.Id}} {{end}}", "0aabc 1babc " },
		{ "{{range $a := .Args}}{{$a}}{{end}}", "ab" },
		{ "{{range $.Args}}x{{end}}", "xx" },
		{ "{{range .Empty}}x{{else}}none{{end}}", "none" },
		{ "{{if .State.Running}}yes{{else}}no{{end}}", "yes" },
		{ "{{if .Missing}}yes{{else if .None}}null{{else}}no{{end}}", "no" },
		{ "{{if .State.Health}}{{.State.Health.Status}}{{end}}.", "." },
		{ "{{with .State}}{{.ExitCode}}{{end}}", "0" },
		{ "{{if eq .Id \"x\" \"abc\"}}eq{{end}}{{if ne .Size 12}}ne{{end}}", "eq" },
		{ "{{if and .Id (not .None)}}both{{end}} {{or .Missing \"else\"}}", "both else" },
		{ "a {{- .Id -}} b", "aabcb" },
		{ "{{/* nothing */}}x{{print .Size `y`}}{{println .Id}}", "x12yabc\n" },
	};
	_cleanup_json_ json_t *value = parse(document);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *result = run(cases[i].template, value);

		assert_string_equal(result, cases[i].result);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *template, *error;
	} cases[] = {
		{ "{{.Nosuch}}", "error: template: there is no field .Nosuch" },
		{ "{{.State.Nosuch}}", "error: template: there is no field .Nosuch" },
		{ "{{.Id.Sub}}", "error: template: .Sub: the value before it has no fields" },
		{ "{{json .Nosuch}}", "error: template: there is no field .Nosuch" },
		{ "{{nosuch .Id}}", "error: template: unknown function \"nosuch\"" },
		{ "{{.Id", "error: template: missing }} at \"\"" },
		{ "{{.Id .State}}", "error: template: unexpected text at \".State}}\"" },
		{ "{{if .Id}}x", "error: template: missing {{end}} at \"\"" },
		{ "{{end}}", "error: template: {{end}} without a block" },
		{ "{{index .Args 9}}", "error: template: index 9 of a list of 2" },
		{ "{{index .Args}}", "error: template: \"index\" does not take 1 arguments" },
		{ "{{range .Id}}{{end}}", "error: template: range over a value that is no list" },
		{ "{{$x}}", "error: template: no variable \"$x\"" },
		{ "{{\"a}}", "error: template: string without an end at \"\"" },
		{ "{{.Id | .Size}}", "error: template: only a function can follow | at \"}}\"" },
	};
	_cleanup_json_ json_t *value = parse(document);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *result = run(cases[i].template, value);

		assert_string_equal(result, cases[i].error);
	}
}

static void test_limits(void **state)
{
	_cleanup_json_ json_t *value = json_array();
	_cleanup_buf_ struct buf nested = { 0 }, ranges = { 0 };
	_cleanup_free_ char *deep = NULL, *wide = NULL;

	for (int i = 0; i < 100; i++)
		buf_puts(&nested, "{{if .}}");
	deep = run(nested.data, value);
	assert_non_null(strstr(deep, "too many levels"));
	for (int i = 0; i < 100; i++)
		(void)json_array_append_new(value, json_integer(i));
	/* A hundred to the fifth turns would take hours. */
	for (int i = 0; i < 5; i++)
		buf_puts(&ranges, "{{range $}}");
	buf_puts(&ranges, "x");
	for (int i = 0; i < 5; i++)
		buf_puts(&ranges, "{{end}}");
	wide = run(ranges.data, value);
	assert_string_equal(wide, "error: template: the result is too large");
}

static const struct column columns[] = { { "ID", "CONTAINER ID" }, { "Name", "NAME" }, { 0 } };

static char *list(const char *format)
{
	_cleanup_(table_free_p) struct table *table = NULL;
	struct cay_error err = { 0 };
	struct buf out = { 0 };

	assert_ok(table_open(format, "table {{.ID}}\t{{.Name}}", columns, &table, &err));
	for (int i = 0; i < 2; i++) {
		_cleanup_json_ json_t *row = json_object();

		row_set(row, "ID", i ? "2" : "0123456789abcdef");
		row_set(row, "Name", i ? "b\033[31m" : "caf\xc3\xa9");
		assert_ok(table_add(table, row, &err));
	}
	table_render(table, &out);
	return buf_steal(&out);
}

static void test_lists(void **state)
{
	_cleanup_free_ char *standard = list(NULL), *swapped = list("table {{.Name}}\\t{{.ID}}");
	_cleanup_free_ char *lines = list("{{.ID}}\\n-{{.Name}}"), *json = list("json");

	assert_string_equal(standard,
			    "CONTAINER ID       NAME\n"
			    "0123456789abcdef   caf\xc3\xa9\n"
			    "2                  b?[31m\n");
	assert_string_equal(swapped,
			    "NAME      CONTAINER ID\n"
			    "caf\xc3\xa9      0123456789abcdef\n"
			    "b?[31m    2\n");
	assert_string_equal(lines, "0123456789abcdef\n-caf\xc3\xa9\n2\n-b?[31m\n");
	assert_string_equal(json,
			    "{\"ID\":\"0123456789abcdef\",\"Name\":\"caf\xc3\xa9\"}\n"
			    "{\"ID\":\"2\",\"Name\":\"b?[31m\"}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
