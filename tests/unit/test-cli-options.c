/* SPDX-License-Identifier: Apache-2.0 */
/* The option parser, and the command table it is used with. */
#include "test.h"

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/commands.h"

#include <errno.h>

static const struct option table[] = {
	{ 'i', OPTION_FLAG, "interactive", NULL, NULL, "" },
	{ 't', OPTION_FLAG, "tty", NULL, NULL, "" },
	{ 'e', OPTION_LIST, "env", "X", NULL, "" },
	{ 'n', OPTION_NUMBER, "number", "X", NULL, "" },
	{ 0, OPTION_TEXT, "name", "X", NULL, "" },
	{ 0, OPTION_TEXT, "pull", "X", "always never", "" },
	{ 0, OPTION_WORDS, "subnet", "X", NULL, "" },
	{ 0, OPTION_SAME, "environment", "env", NULL, NULL },
	{ 0, OPTION_SAME, "terminal", "tty", NULL, NULL },
	{ 0 },
};

struct parsed {
	struct options *options;
	const char **operands;
	size_t count;
	bool help;
	struct cay_error err;
	int r;
};

static void parsed_done(struct parsed *parsed)
{
	options_free(parsed->options);
	free(parsed->operands);
}
#define _cleanup_parsed_ _cleanup_(parsed_done)

/* Words separated by blanks; "" for an empty one can't be written. */
static struct parsed parse(const char *line, bool interleaved)
{
	_cleanup_strv_ struct strv words = { 0 };
	struct parsed parsed = { 0 };
	struct str rest = str_from(line);
	static struct strv kept; /* operands point into it */

	while (rest.length > 0)
		strv_take(&words, str_dup(str_split(rest, ' ', &rest)));
	strv_done(&kept);
	strv_copy(&kept, &words);
	parsed.r = options_parse(table, (int)kept.count, kept.items, interleaved, &parsed.options,
				 &parsed.operands, &parsed.count, &parsed.help, &parsed.err);
	return parsed;
}

static void test_clusters_and_values(void **state)
{
	static const char *const lines[] = { "-it -e A=1 -n5 --name=x image -e no",
					     "-ti -eA=1 -n=5 --name x image -e no",
					     "-iteA=1 --number 5 --name=x -- image -e no" };

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_parsed_ struct parsed parsed = parse(lines[i], false);

		assert_int_equal(parsed.r, 0);
		assert_true(option_flag(parsed.options, "interactive"));
		assert_true(option_flag(parsed.options, "tty"));
		assert_int_equal(option_list(parsed.options, "env")->count, 1);
		assert_string_equal(option_list(parsed.options, "env")->items[0], "A=1");
		assert_int_equal(option_number(parsed.options, "number", 0), 5);
		assert_string_equal(option_text(parsed.options, "name"), "x");
		assert_int_equal(parsed.count, 3);
		assert_string_equal(parsed.operands[0], "image");
		assert_string_equal(parsed.operands[1], "-e");
		assert_null(parsed.operands[3]);
	}
}

static void test_interleaved(void **state)
{
	_cleanup_parsed_ struct parsed parsed = parse("web -i db --name=n - -- -t", true);

	assert_int_equal(parsed.r, 0);
	assert_true(option_flag(parsed.options, "interactive"));
	assert_false(option_flag(parsed.options, "tty"));
	assert_int_equal(parsed.count, 4);
	assert_string_equal(parsed.operands[2], "-");
	assert_string_equal(parsed.operands[3], "-t");
}

static void test_flags_with_values(void **state)
{
	_cleanup_parsed_ struct parsed off = parse("-t --tty=false -i=true", true);

	assert_int_equal(off.r, 0);
	assert_true(option_given(off.options, "tty"));
	assert_false(option_flag(off.options, "tty"));
	assert_true(option_flag(off.options, "interactive"));
}

static void test_numbers(void **state)
{
	_cleanup_parsed_ struct parsed negative = parse("-n -1", true);
	_cleanup_parsed_ struct parsed bad = parse("-n 5x", true);

	assert_true(option_number(negative.options, "number", 0) == -1);
	assert_int_equal(bad.r, -EINVAL);
	assert_string_equal(bad.err.message, "--number: \"5x\" is not a whole number");
}

static void test_lists(void **state)
{
	_cleanup_parsed_ struct parsed parsed = parse(
		"--subnet a,b --subnet=\"c,d\" -e A,B --environment C --terminal=false", true);
	const struct strv *subnets = option_list(parsed.options, "subnet");
	const struct strv *variables = option_list(parsed.options, "env");

	assert_int_equal(subnets->count, 3);
	assert_string_equal(subnets->items[1], "b");
	assert_string_equal(subnets->items[2], "c,d");
	assert_int_equal(variables->count, 2);
	assert_string_equal(variables->items[0], "A,B");
	assert_string_equal(variables->items[1], "C");
	assert_true(option_given(parsed.options, "tty"));
}

static void test_mistakes(void **state)
{
	static const struct {
		const char *line, *message;
	} cases[] = {
		{ "--nmae x", "unknown option: --nmae; did you mean --name?" },
		{ "--inter", "unknown option: --inter; did you mean --interactive?" },
		{ "--zzzzz=1", "unknown option: --zzzzz" },
		{ "-x", "unknown option: -x" },
		{ "-itx", "unknown option: -x" },
		{ "--name", "--name needs a value (X)" },
		{ "-e", "--env needs a value (X)" },
		{ "--environment", "--env needs a value (X)" },
		{ "--environmemt=A=1", "unknown option: --environmemt" },
		{ "--subnet \"a\"b",
		  "--subnet: parse error on line 1, column 3: extraneous or missing \" in quoted-field" },
		{ "--tty=maybe", "--tty: \"maybe\" is not true or false" },
		{ "--pull=often", "--pull: \"often\" is not one of: always never" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_parsed_ struct parsed parsed = parse(cases[i].line, true);

		assert_int_equal(parsed.r, -EINVAL);
		assert_string_equal(parsed.err.message, cases[i].message);
		assert_null(parsed.options);
	}
}

static void test_help(void **state)
{
	_cleanup_parsed_ struct parsed whole = parse("-i --help --nosuch", true);
	_cleanup_parsed_ struct parsed letter = parse("-h", true);
	_cleanup_parsed_ struct parsed behind = parse("image --help", false);

	assert_int_equal(whole.r, 0);
	assert_true(whole.help);
	assert_true(letter.help);
	assert_false(behind.help);
}

static void test_word_distance(void **state)
{
	assert_int_equal(word_distance("exec", "exec", 3), 0);
	assert_int_equal(word_distance("exce", "exec", 3), 2);
	assert_int_equal(word_distance("lgs", "logs", 3), 1);
	assert_int_equal(word_distance("start", "images", 3), 4);
}

/* ---- the table of commands ---- */

static void check_options(const struct option *options)
{
	for (const struct option *a = options; a && a->name; a++) {
		if (a->kind == OPTION_SAME) {
			assert_null(a->help);
			assert_int_equal(a->letter, 0);
			assert_non_null(option_find(options, str_from(a->name)));
			continue;
		}
		assert_true(*a->help && a->help[strlen(a->help) - 1] != '.');
		assert_true((a->kind == OPTION_FLAG) == (a->value == NULL));
		assert_string_not_equal(a->name, "help");
		for (const struct option *b = a + 1; b->name; b++) {
			assert_string_not_equal(a->name, b->name);
			assert_true(!a->letter || a->letter != b->letter);
		}
	}
}

static void check_command(const struct command *command)
{
	check_options(command->options);
	assert_true(*command->summary && command->summary[strlen(command->summary) - 1] != '.');
	assert_true((command->run != NULL) != (command->children != NULL));
	if (!(command->flags & COMMAND_HIDDEN))
		assert_true((command->max_operands > 0) == (command->operands != NULL));
	for (const struct command *child = command->children; child && child->name; child++) {
		check_command(child);
		assert_ptr_equal(command_find(command, child->name), child);
		for (const struct command *other = child + 1; other->name; other++)
			assert_string_not_equal(child->name, other->name);
	}
}

static void test_command_table(void **state)
{
	check_command(&cay_command);
	assert_ptr_equal(command_find(&cay_command, "ls"), command_find(&cay_command, "ps"));
	assert_ptr_equal(command_find(&cay_command, "delete"), command_find(&cay_command, "rm"));
	assert_null(command_find(&cay_command, "nosuch"));
	assert_string_equal(command_suggest(&cay_command, "exce")->name, "exec");
	assert_null(command_suggest(&cay_command, "zzzzzz"));
}

static char *completed(const char *line)
{
	_cleanup_strv_ struct strv words = { 0 };
	struct str rest = str_from(line);
	struct buf out = { 0 };

	while (rest.length > 0)
		strv_take(&words, str_dup(str_split(rest, ' ', &rest)));
	if (line[strlen(line) - 1] == ' ')
		strv_add(&words, "");
	complete(NULL, (const char *const *)words.items, words.count, &out);
	return buf_steal(&out);
}

static void test_secrets(void **state)
{
	static const struct option secret[] = {
		{ 'p', OPTION_SECRET, "password", "PASSWORD", NULL, "Said" },
		{ 0 },
	};
	char apart[] = "-p", first[] = "first", joined[] = "--password=second",
	     letter[] = "-pthird";
	char *argv[] = { apart, first, joined, letter };
	_cleanup_(options_free_p) struct options *options = NULL;
	_cleanup_free_ const char **operands = NULL;
	struct cay_error err = { 0 };
	size_t count;
	bool help;

	assert_ok(options_parse(secret, 4, argv, true, &options, &operands, &count, &help, &err));
	assert_string_equal(option_text(options, "password"), "third");
	assert_string_equal(first, "xxxxx");
	assert_string_equal(joined, "--password=xxxxxx");
	assert_string_equal(letter, "-pxxxxx");
}

static void test_completion(void **state)
{
	static const struct {
		const char *line, *found;
	} cases[] = {
		{ "im", "images\nimport\nimage\n" },
		{ "image p", "pull\npush\nprune\n" },
		{ "run --read", "--read-only\n" },
		{ "run --pull ", "always\nmissing\nnever\n" },
		{ "run --name --re", "" },
		{ "run -it image --re", "" },
		{ "registry l", "login\nlogout\nls\n" },
		{ "completion f", "fish\n" },
		{ "network c", "create\nconnect\n" },
		{ "volume ", "create\nls\ninspect\nrm\nprune\n" },
		{ "cp --fo", "--follow-link\n" },
		{ "run --volume", "--volume\n--volume-driver\n--volumes-from\n" },
		{ "network create --ip-", "--ip-range\n" },
		{ "run --net n --re", "--read-only\n--restart\n" },
		{ "run --ne", "--network\n--network-alias\n" },
		{ "stop --ti", "--timeout\n" },
		{ "__", "" },
		{ "nosuch ", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *found = completed(cases[i].line);

		assert_string_equal(found, cases[i].found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clusters_and_values),
		cmocka_unit_test(test_interleaved),
		cmocka_unit_test(test_flags_with_values),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_word_distance),
		cmocka_unit_test(test_command_table),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
