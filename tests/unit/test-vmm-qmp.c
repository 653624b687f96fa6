/* SPDX-License-Identifier: Apache-2.0 */
/* QMP: the parser on pieces of every size, the client against a socket that plays QEMU. */
#include "test.h"

#include "vmm/qmp.h"

#include "base/alloc.h"
#include "base/json.h"

#include <string.h>
#include <sys/socket.h>

static bool collect(json_t *object, void *user)
{
	json_print_to(object, user);
	return true;
}

static void test_pieces(void **state)
{
	static const char text[] = "{\"QMP\": {}}\r\n\n{\"return\": [1],\n\"id\": 1}\r\n";
	static const char whole[] = "{\"a\": 1}\r\n \r\n{\"b\":\"}{\\n\"}\n";
	struct cay_error err = { 0 };

	for (size_t piece = 1; piece <= sizeof(whole); piece++) {
		struct qmp_parser parser = { 0 };
		_cleanup_buf_ struct buf out = { 0 };

		for (size_t at = 0; at < sizeof(whole) - 1; at += piece)
			assert_ok(qmp_parser_feed(&parser, whole + at,
						  MIN(piece, sizeof(whole) - 1 - at), collect, &out,
						  &err));
		assert_string_equal(buf_text(&out), "{\"a\":1}{\"b\":\"}{\\n\"}");
		qmp_parser_done(&parser);
	}
	{
		struct qmp_parser parser = { 0 };
		_cleanup_buf_ struct buf out = { 0 };

		/* One object a line: an object over two lines is none. */
		assert_true(qmp_parser_feed(&parser, text, sizeof(text) - 1, collect, &out, &err) <
			    0);
		assert_string_equal(buf_text(&out), "{\"QMP\":{}}");
		qmp_parser_done(&parser);
	}
}

static void test_long_line(void **state)
{
	_cleanup_free_ char *spaces = xmalloc(QMP_LINE_MAX);
	struct qmp_parser parser = { 0 };
	struct cay_error err = { 0 };

	memset(spaces, ' ', QMP_LINE_MAX);
	assert_ok(qmp_parser_feed(&parser, spaces, QMP_LINE_MAX, collect, NULL, &err));
	assert_true(qmp_parser_feed(&parser, " ", 1, collect, NULL, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
	qmp_parser_done(&parser);
}

struct heard {
	struct qmp *qmp;
	struct buf text;
	int peer;
};

static void on_event(struct qmp *qmp, const char *name, json_t *data, void *user)
{
	struct heard *heard = user;

	buf_printf(&heard->text, "event %s %s\n", name,
		   json_string_value(json_object_get(data, "reason")));
}

static void on_close(struct qmp *qmp, const struct cay_error *why, void *user)
{
	struct heard *heard = user;

	buf_printf(&heard->text, "closed %d\n", why->code);
}

static void on_done(json_t *result, const struct cay_error *err, void *user)
{
	struct heard *heard = user;

	if (result)
		buf_printf(&heard->text, "result %s\n",
			   json_string_value(json_object_get(result, "status")));
	else
		buf_printf(&heard->text, "failed %d %s\n", err->code, err->message);
}

static void say(const struct heard *heard, const char *text)
{
	assert_int_equal(write_full(heard->peer, text, strlen(text)), 0);
}

static void test_client(void **state)
{
	static const struct qmp_events events = { .on_event = on_event, .on_close = on_close };
	struct heard heard = { 0 };
	char sent[1024];
	ssize_t n;
	int pair[2];
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	heard.peer = pair[1];
	heard.qmp = qmp_new(&loop, pair[0], &events, &heard);
	qmp_command(heard.qmp, "query-status", NULL, on_done, &heard);
	qmp_command(heard.qmp, "nonsense", json_pack("{s:i}", "a", 1), on_done, &heard);
	qmp_command(heard.qmp, "quit", NULL, on_done, &heard);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	n = read(pair[1], sent, sizeof(sent) - 1);
	assert_true(n > 0);
	sent[n] = '\0';
	assert_string_equal(sent,
			    "{\"execute\":\"qmp_capabilities\",\"id\":1}\n"
			    "{\"execute\":\"query-status\",\"id\":2}\n"
			    "{\"execute\":\"nonsense\",\"arguments\":{\"a\":1},\"id\":3}\n"
			    "{\"execute\":\"quit\",\"id\":4}\n");
	say(&heard,
	    "{\"QMP\":{}}\r\n{\"return\":{},\"id\":1}\r\n{\"id\":3,\"error\":{\"desc\":"
	    "\"no\"}}\r\n{\"return\":{\"status\":\"running\"},\"id\":2}\r\n"
	    "{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-reset\"}}\r\n"
	    "{\"return\":{},\"id\":99}\r\n");
	(void)close(pair[1]);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	assert_string_equal(buf_text(&heard.text),
			    "failed 17 QEMU: no\nresult running\nevent SHUTDOWN guest-reset\n"
			    "failed 12 QEMU closed QMP\nclosed 12\n");
	assert_int_equal(uv_loop_close(&loop), 0);
	buf_done(&heard.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
