/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines, content types, messages and statuses as header fields have them. */
#include "test.h"

#include "rpc/metadata.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>

static void test_timeouts(void **state)
{
	static const struct {
		const char *text;
		int64_t ms; /* -1: malformed */
	} rows[] = {
		{ "1H", 3600000 },
		{ "2M", 120000 },
		{ "3S", 3000 },
		{ "40m", 40 },
		{ "1u", 1 },
		{ "1001u", 2 },
		{ "1n", 1 },
		{ "1000001n", 2 },
		{ "0m", 0 },
		{ "99999999m", 99999999 },
		{ "99999999H", 359999996400000 },
		{ "100000000m", -1 },
		{ "", -1 },
		{ "m", -1 },
		{ "5", -1 },
		{ "5s", -1 },
		{ "-5m", -1 },
		{ "5 m", -1 },
		{ "5mm", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t ms = -1;
		int r = metadata_parse_timeout(str_from(rows[i].text), &ms);

		assert_int_equal(r, rows[i].ms < 0 ? -EINVAL : 0);
		assert_int_equal(ms, rows[i].ms);
	}
}

static void test_timeout_there_and_back(void **state)
{
	static const int64_t times[] = { 1, 999, 99999999, 100000000, 100000999999, INT64_MAX };
	char text[METADATA_TIMEOUT_MAX];
	int64_t ms;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		metadata_format_timeout(times[i], text);
		assert_int_equal(metadata_parse_timeout(str_from(text), &ms), 0);
		assert_true(ms <= times[i]);
		/* At most a unit is lost, and nothing below a day; the largest are cut. */
		assert_true(ms == times[i] || ms > times[i] - 60000 || times[i] == INT64_MAX);
	}
	metadata_format_timeout(-7, text);
	assert_string_equal(text, "1m");
}

static void test_content_types(void **state)
{
	static const char *const good[] = { "application/grpc", "application/grpc+proto",
					    "application/grpc; charset=utf-8",
					    "application/grpc+proto ;x" };
	static const char *const bad[] = { "",
					   "text/html",
					   "application/grpc-web",
					   "application/grpc+json",
					   "application/grpcx",
					   "application/json;application/grpc" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(metadata_is_grpc(str_from(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(metadata_is_grpc(str_from(bad[i])));
}

static void test_messages_there_and_back(void **state)
{
	static const char text[] = "100% of \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xb3, a~b\t!";
	char encoded[METADATA_MESSAGE_MAX], decoded[CAY_ERROR_MESSAGE_MAX];

	metadata_encode_message(text, encoded);
	assert_string_equal(encoded, "100%25 of %C3%A9%E2%82%AC%F0%9F%90%B3, a~b%09!");
	metadata_decode_message(str_from(encoded), decoded);
	assert_string_equal(decoded, text);
}

/* A name at a message's end may end with a space, and the field must not. */
static void test_spaces_around_messages(void **state)
{
	static const struct {
		const char *text, *wire;
	} rows[] = {
		{ " ", "%20" },   { "a ", "a%20" },   { " a", "%20a" },
		{ "a b", "a b" }, { "  ", "%20%20" }, { "a  ", "a %20" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char encoded[METADATA_MESSAGE_MAX], decoded[CAY_ERROR_MESSAGE_MAX];

		metadata_encode_message(rows[i].text, encoded);
		assert_string_equal(encoded, rows[i].wire);
		metadata_decode_message(str_from(encoded), decoded);
		assert_string_equal(decoded, rows[i].text);
	}
}

static void test_messages_of_strangers(void **state)
{
	static const struct {
		const char *wire, *text;
	} rows[] = {
		{ "%", "%" },
		{ "%4", "%4" },
		{ "%zz%41", "%zzA" },
		{ "%1b[31mred%07", "?[31mred?" }, /* terminals are not driven */
		{ "%c2%9b31m", "??31m" },         /* nor by C1 controls */
		{ "line%0asecond", "line?second" },
		{ "%ff%fe", "??" },
		{ "%c3", "?" },             /* cut within a character */
		{ "%ed%a0%80", "???" },     /* a surrogate */
		{ "%f4%90%80%80", "????" }, /* beyond the last character */
		{ "%c0%af", "??" },         /* overlong */
		{ "%00x", "?x" },
	};
	char decoded[CAY_ERROR_MESSAGE_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		metadata_decode_message(str_from(rows[i].wire), decoded);
		assert_string_equal(decoded, rows[i].text);
	}
}

static void test_long_messages_are_cut(void **state)
{
	char text[2 * CAY_ERROR_MESSAGE_MAX], decoded[CAY_ERROR_MESSAGE_MAX];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	metadata_decode_message(str_from(text), decoded);
	assert_int_equal(strlen(decoded), CAY_ERROR_MESSAGE_MAX - 1);
}

static struct cay_error resolve(const char *grpc, const char *cay, const char *message)
{
	struct metadata_status status;
	struct cay_error result = { 0 };

	metadata_status_init(&status);
	metadata_status_add(&status, STR("x-other"), STR("7"));
	if (grpc)
		metadata_status_add(&status, STR("grpc-status"), str_from(grpc));
	if (cay)
		metadata_status_add(&status, STR("cay-code"), str_from(cay));
	if (message)
		metadata_status_add(&status, STR("grpc-message"), str_from(message));
	metadata_status_resolve(&status, &result);
	return result;
}

static void test_statuses(void **state)
{
	struct cay_error status;

	assert_int_equal(resolve("0", NULL, NULL).code, CAY_OK);
	status = resolve("5", NULL, "no such%20thing");
	assert_int_equal(status.code, CAY_NOT_FOUND);
	assert_string_equal(status.message, "no such thing");
	assert_true(status.err > 0);
	/* The exact code counts, known and in agreement about success. */
	assert_int_equal(resolve("5", "no-command", NULL).code, CAY_NO_COMMAND);
	assert_int_equal(resolve("5", "nonsense", NULL).code, CAY_NOT_FOUND);
	assert_int_equal(resolve("5", "ok", NULL).code, CAY_NOT_FOUND);
	assert_int_equal(resolve("0", "not-found", NULL).code, CAY_OK);
	assert_int_equal(resolve("2", NULL, NULL).code, CAY_INTERNAL);
	assert_int_equal(resolve("99", NULL, NULL).code, CAY_INTERNAL);
	assert_string_equal(resolve("14", NULL, NULL).message, cay_code_name(CAY_UNAVAILABLE));
	/* Without a readable status there is no success. */
	assert_int_equal(resolve(NULL, "ok", NULL).code, CAY_CORRUPT);
	assert_int_equal(resolve("zero", NULL, NULL).code, CAY_CORRUPT);
	assert_int_equal(resolve("-1", NULL, NULL).code, CAY_CORRUPT);
}

static void test_every_code_crosses(void **state)
{
	for (enum cay_code code = 0; code < CAY_CODE_COUNT; code++) {
		char number[16];

		(void)snprintf(number, sizeof(number), "%d", cay_code_grpc_status(code));
		assert_int_equal(resolve(number, cay_code_token(code), NULL).code, code);
	}
}

static void test_resets(void **state)
{
	assert_int_equal(metadata_code_of_reset(NGHTTP2_CANCEL), CAY_CANCELLED);
	assert_int_equal(metadata_code_of_reset(NGHTTP2_REFUSED_STREAM), CAY_UNAVAILABLE);
	assert_int_equal(metadata_code_of_reset(NGHTTP2_NO_ERROR), CAY_INTERNAL);
	assert_int_equal(metadata_code_of_reset(12345), CAY_INTERNAL);
	assert_int_equal(metadata_code_of_http(503), CAY_UNAVAILABLE);
	assert_int_equal(metadata_code_of_http(200), CAY_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_timeout_there_and_back),
		cmocka_unit_test(test_content_types),
		cmocka_unit_test(test_messages_there_and_back),
		cmocka_unit_test(test_spaces_around_messages),
		cmocka_unit_test(test_messages_of_strangers),
		cmocka_unit_test(test_long_messages_are_cut),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_every_code_crosses),
		cmocka_unit_test(test_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
