/* SPDX-License-Identifier: Apache-2.0 */
/* The ports' column of ps; what is expected was printed by docker 28 for the same lists. */
#include "test.h"

#include "cli/port.h"

static const struct {
	const char *ports, *expected; /* each port "IP,PUBLIC,PRIVATE,TYPE" */
} cases[] = {
	{ "", "" },
	{ ",0,443,tcp", "443/tcp" },
	{ "0.0.0.0,8080,80,tcp ::,8080,80,tcp", "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp" },
	{ "0.0.0.0,81,81,tcp 0.0.0.0,80,80,tcp 0.0.0.0,82,82,tcp", "0.0.0.0:80-82->80-82/tcp" },
	{ "0.0.0.0,80,80,tcp 0.0.0.0,81,81,udp", "0.0.0.0:80->80/tcp, 0.0.0.0:81->81/udp" },
	{ ",0,80,tcp ,0,81,tcp ,0,83,tcp 0.0.0.0,82,82,tcp",
	  "80-81/tcp, 83/tcp, 0.0.0.0:82->82/tcp" },
	{ "0.0.0.0,8000,80,tcp 0.0.0.0,8001,81,tcp ,0,9,udp",
	  "9/udp, 0.0.0.0:8000->80/tcp, 0.0.0.0:8001->81/tcp" },
	{ "::,80,80,tcp 0.0.0.0,80,80,tcp ::,81,81,tcp 0.0.0.0,81,81,tcp",
	  "0.0.0.0:80-81->80-81/tcp, [::]:80-81->80-81/tcp" },
};

static json_t *parse(const char *text)
{
	struct str rest = str_from(text);
	json_t *ports = json_array();

	while (rest.length > 0) {
		struct str word = str_split(rest, ' ', &rest),
			   address = str_split(word, ',', &word);
		struct str public = str_split(word, ',', &word),
			   private = str_split(word, ',', &word);
		json_t *port = json_object();
		uint64_t number;

		if (address.length > 0)
			json_set(port, "IP", json_stringn(address.data, address.length));
		assert_int_equal(str_to_u64(public, 65535, &number), 0);
		if (number > 0)
			json_set_int(port, "PublicPort", (int64_t)number);
		assert_int_equal(str_to_u64(private, 65535, &number), 0);
		json_set_int(port, "PrivatePort", (int64_t)number);
		json_set(port, "Type", json_stringn(word.data, word.length));
		(void)json_array_append_new(ports, port);
	}
	return ports;
}

static void test_ports(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_json_ json_t *ports = parse(cases[i].ports);
		_cleanup_buf_ struct buf out = { 0 };

		ports_format(ports, &out);
		assert_string_equal(buf_text(&out), cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_ports) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
