/* SPDX-License-Identifier: Apache-2.0 */
/* Dockerfile instructions as commit and import take them, and the header that tells of a path. */
#include "test.h"

#include "base/base64.h"
#include "base/json.h"
#include "daemon/changes.h"
#include "daemon/copy.h"
#include "daemon/request.h"

#include <sys/stat.h>

/* Applies lines to a configuration and compares, as JSON. */
static void expect(const char *config, const char *changes, const char *wanted)
{
	_cleanup_json_ json_t *object = json_loads(config, 0, NULL);
	_cleanup_json_ json_t *result = json_loads(wanted, 0, NULL);
	_cleanup_strv_ struct strv list = { 0 };
	_cleanup_free_ char *text = NULL;
	struct cay_error err = { 0 };

	strv_add(&list, changes);
	if (changes_apply(object, &list, &err) < 0)
		fail_msg("%s: %s", changes, err.message);
	text = json_print(object);
	if (!json_equal(object, result))
		fail_msg("%s gave %s and not %s", changes, text, wanted);
}

static void refuse(const char *changes, const char *words)
{
	_cleanup_json_ json_t *object = json_object();
	_cleanup_strv_ struct strv list = { 0 };
	struct cay_error err = { 0 };

	strv_add(&list, changes);
	assert_true(changes_apply(object, &list, &err) < 0);
	if (!strstr(err.message, words))
		fail_msg("%s: \"%s\" has no \"%s\"", changes, err.message, words);
}

static void test_commands(void **state)
{
	expect("{}", "CMD [\"a\", \"b c\"]", "{\"Cmd\": [\"a\", \"b c\"]}");
	expect("{}", "cmd echo  $HOME", "{\"Cmd\": [\"/bin/sh\", \"-c\", \"echo  $HOME\"]}");
	expect("{\"Shell\": [\"/bin/ash\", \"-ec\"]}", "CMD [1]",
	       "{\"Shell\": [\"/bin/ash\", \"-ec\"], \"Cmd\": [\"/bin/ash\", \"-ec\", \"[1]\"]}");
	expect("{\"Cmd\": [\"old\"]}", "ENTRYPOINT [\"e\"]",
	       "{\"Cmd\": null, \"Entrypoint\": [\"e\"]}");
	expect("{\"Cmd\": [\"old\"]}", "CMD [\"new\"]\nENTRYPOINT [\"e\"]",
	       "{\"Cmd\": [\"new\"], \"Entrypoint\": [\"e\"]}");
	expect("{}", "# a comment\n\nCMD [ \"a\", \\\n# another\n \"b\" ]",
	       "{\"Cmd\": [\"a\", \"b\"]}");
}

static void test_pairs(void **state)
{
	expect("{\"Env\": [\"A=1\", \"B=2\"]}", "ENV A=3 C=\"x y\" D='$A' E=\\ z",
	       "{\"Env\": [\"A=3\", \"B=2\", \"C=x y\", \"D=$A\", \"E= z\"]}");
	expect("{}", "ENV KEY  some words", "{\"Env\": [\"KEY=some words\"]}");
	/* Each sees what was before the instruction. */
	expect("{\"Env\": [\"A=1\"]}", "ENV A=2 B=$A\nENV C=$A",
	       "{\"Env\": [\"A=2\", \"B=1\", \"C=2\"]}");
	expect("{\"Env\": [\"A=1\"]}",
	       "ENV X=${A}b Y=${N:-no$A} Z=${A:+yes} W=${N:+yes} V=\"${A}\" U=$",
	       "{\"Env\": [\"A=1\", \"X=1b\", \"Y=no1\", \"Z=yes\", \"W=\", \"V=1\", \"U=$\"]}");
	expect("{}", "LABEL a.b=c \"d e\"=f", "{\"Labels\": {\"a.b\": \"c\", \"d e\": \"f\"}}");
	refuse("ENV A=1 B", "can't find = in \"B\"");
	refuse("ENV A", "must have two arguments");
	refuse("ENV =x", "can not be blank");
	refuse("ENV A=\"x", "syntax error");
	refuse("ENV A=${x", "syntax error");
	refuse("ENV A=${x:?y}", "unsupported modifier");
	refuse("LABEL", "requires at least one argument");
}

static void test_others(void **state)
{
	expect("{\"Env\": [\"P=90\"]}", "EXPOSE 80 53/UDP 8000-8001/tcp $P",
	       "{\"Env\": [\"P=90\"], \"ExposedPorts\": {\"80/tcp\": {}, \"53/udp\": {}, \"8000/tcp\": {}, "
	       "\"8001/tcp\": {}, \"90/tcp\": {}}}");
	expect("{}", "VOLUME /a /b", "{\"Volumes\": {\"/a\": {}, \"/b\": {}}}");
	expect("{}", "VOLUME [\"/a b\"]", "{\"Volumes\": {\"/a b\": {}}}");
	expect("{}", "USER 1000:1000", "{\"User\": \"1000:1000\"}");
	expect("{\"WorkingDir\": \"/a\"}", "WORKDIR b/../c", "{\"WorkingDir\": \"/a/c\"}");
	expect("{}", "WORKDIR /x/../../y/./z/", "{\"WorkingDir\": \"/y/z\"}");
	expect("{}", "WORKDIR ../..", "{\"WorkingDir\": \"/\"}");
	expect("{}", "STOPSIGNAL SIGQUIT", "{\"StopSignal\": \"SIGQUIT\"}");
	expect("{}", "ONBUILD RUN make $X", "{\"OnBuild\": [\"RUN make $X\"]}");
	expect("{}", "HEALTHCHECK NONE", "{\"Healthcheck\": {\"Test\": [\"NONE\"]}}");
	expect("{}", "HEALTHCHECK --interval=1m30s --retries=3 --timeout=1.5s CMD curl -f x",
	       "{\"Healthcheck\": {\"Interval\": 90000000000, \"Retries\": 3, \"Timeout\": "
	       "1500000000, \"Test\": [\"CMD-SHELL\", \"curl -f x\"]}}");
	expect("{}", "HEALTHCHECK CMD [\"a\"]", "{\"Healthcheck\": {\"Test\": [\"CMD\", \"a\"]}}");
	refuse("RUN true", "RUN is not a valid change command");
	refuse("FROM x", "FROM is not a valid change command");
	refuse("EXPOSE 70000", "invalid containerPort: 70000");
	refuse("EXPOSE 1/icmp", "invalid proto: icmp");
	refuse("EXPOSE 9-1", "invalid containerPort");
	refuse("STOPSIGNAL NOPE", "invalid signal");
	refuse("ONBUILD ONBUILD RUN x", "isn't allowed");
	refuse("HEALTHCHECK --interval=x CMD a", "invalid duration");
	refuse("HEALTHCHECK --wrong=1 CMD a", "unknown flag");
	refuse("HEALTHCHECK a", "needs NONE or CMD");
	refuse("VOLUME /\xb9", "not UTF-8");
	refuse("VOLUME [\"\"]", "can not be an empty string");
}

/* What neither a client nor a change says is the container's. */
static void test_commit_config(void **state)
{
	_cleanup_json_ json_t *container = json_loads(
		"{\"Hostname\": \"h\", \"Env\": [\"A=1\"], \"Cmd\": [\"run\"], \"WorkingDir\": "
		"\"/w\", \"Labels\": {\"l\": \"1\"}, \"Tty\": true}",
		0, NULL);
	_cleanup_json_ json_t *body = json_loads("{\"Env\": [\"A=2\"], \"User\": \"u\"}", 0, NULL);
	_cleanup_json_ json_t *plain = NULL, *changed = NULL, *wanted = NULL;
	_cleanup_strv_ struct strv changes = { 0 };
	struct cay_error err = { 0 };

	assert_int_equal(request_commit_config(NULL, container, &changes, &plain, &err), 0);
	wanted = json_loads("{\"Env\": [\"A=1\"], \"Cmd\": [\"run\"], \"WorkingDir\": \"/w\", "
			    "\"Labels\": {\"l\": \"1\"}}",
			    0, NULL);
	assert_true(json_equal(plain, wanted));
	strv_add(&changes, "LABEL m=2");
	assert_int_equal(request_commit_config(body, container, &changes, &changed, &err), 0);
	json_decref(wanted);
	wanted = json_loads("{\"User\": \"u\", \"Env\": [\"A=2\"], \"Cmd\": [\"run\"], "
			    "\"WorkingDir\": \"/w\", \"Labels\": {\"l\": \"1\", \"m\": \"2\"}}",
			    0, NULL);
	assert_true(json_equal(changed, wanted));
}

static void test_stat_header(void **state)
{
	struct copy_stat stat = { .name = (char *)"link",
				  .size = 7,
				  .mode = S_IFLNK | 0777,
				  .mtime_ns = INT64_C(1700000000123456789),
				  .link_target = (char *)"/etc/passwd" };
	_cleanup_free_ char *header = copy_stat_header(&stat);
	_cleanup_buf_ struct buf text = { 0 };

	assert_int_equal(base64_decode(str_from(header), &text), 0);
	assert_string_equal(buf_text(&text),
			    "{\"name\":\"link\",\"size\":7,\"mode\":134218239,\"mtime\":"
			    "\"2023-11-14T22:13:20.123456789Z\",\"linkTarget\":\"/etc/passwd\"}");
	/* Package os of Go: ModeDir, ModeDevice | ModeCharDevice, ModeSetuid, ModeSticky … */
	assert_int_equal(copy_go_mode(S_IFREG | 0644), 0644);
	assert_true(copy_go_mode(S_IFDIR | S_ISVTX | 0777) ==
		    (UINT32_C(0x80000000) | 0x100000 | 0777));
	assert_true(copy_go_mode(S_IFCHR | 0600) == (UINT32_C(0x4000000) | 0x200000 | 0600));
	assert_true(copy_go_mode(S_IFBLK | 0600) == (UINT32_C(0x4000000) | 0600));
	assert_true(copy_go_mode(S_IFIFO | 0600) == (UINT32_C(0x2000000) | 0600));
	assert_true(copy_go_mode(S_IFSOCK | 0600) == (UINT32_C(0x1000000) | 0600));
	assert_true(copy_go_mode(S_IFREG | S_ISUID | S_ISGID | 0755) ==
		    (0x800000 | 0x400000 | 0755));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),    cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_others),      cmocka_unit_test(test_commit_config),
		cmocka_unit_test(test_stat_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
