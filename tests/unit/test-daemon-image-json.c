/* SPDX-License-Identifier: Apache-2.0 */
/* Images in docker's JSON, for several versions of the API, and the bars of a pull. */
#include "test.h"

#include "base/alloc.h"
#include "base/json.h"
#include "daemon/api/image-json.h"
#include "daemon/api/progress.h"

static json_t *parse(const char *text)
{
	struct cay_error err = {};
	json_t *value = NULL;

	assert_ok(json_parse(text, strlen(text), "test", &value, &err));
	return value;
}

static const char config[] =
	"{\"created\":\"2024-01-02T03:04:05Z\",\"author\":\"me\","
	"\"config\":{\"Env\":[\"A=1\"],\"Labels\":{\"l\":\"1\"}},"
	"\"history\":["
	"{\"created\":\"2024-01-01T00:00:00Z\",\"created_by\":\"base\"},"
	"{\"created_by\":\"ENV A=1\",\"empty_layer\":true},"
	"{\"created\":\"nonsense\",\"created_by\":\"RUN x\",\"comment\":\"last\"}]}";

static struct image *make_image(const char *text)
{
	struct image *image = xcalloc(1, sizeof(*image));

	image->id = xstrdup("sha256:0123");
	image->manifest_digest = xstrdup("sha256:4567");
	image->created_ns = 1704164645000000000;
	image->os = xstrdup("linux");
	image->architecture = xstrdup("amd64");
	image->size = 5000;
	image->layer_count = 2;
	strv_add(&image->diff_ids, "sha256:aa");
	strv_add(&image->diff_ids, "sha256:bb");
	image->config = parse(text);
	return image;
}

/* The member at a path of keys, as JSON text. */
static char *member(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	return value ? json_print(value) : xstrdup("(absent)");
}

static void assert_member(json_t *object, const char *key, const char *wanted)
{
	_cleanup_free_ char *text = member(object, key);

	if (strcmp(text, wanted) != 0)
		fail_msg("%s is %s, not %s", key, text, wanted);
}

static void test_summary(void **state)
{
	_cleanup_(image_free_p) struct image *image = make_image(config);
	_cleanup_json_ json_t *new = NULL, *old = NULL, *named = NULL;

	new = image_to_summary(image, 47);
	assert_member(new, "Id", "\"sha256:0123\"");
	assert_member(new, "Created", "1704164645");
	assert_member(new, "RepoTags", "[]");
	assert_member(new, "Labels", "{\"l\":\"1\"}");
	assert_member(new, "VirtualSize", "(absent)");
	old = image_to_summary(image, 41);
	assert_member(old, "RepoTags", "[\"<none>:<none>\"]");
	assert_member(old, "RepoDigests", "[\"<none>@<none>\"]");
	assert_member(old, "VirtualSize", "5000");
	strv_add(&image->names, "docker.io/library/debian:12");
	strv_add(&image->names, "host:5000/a/b:c");
	named = image_to_summary(image, 41);
	assert_member(named, "RepoTags", "[\"debian:12\",\"host:5000/a/b:c\"]");
}

static void test_details(void **state)
{
	_cleanup_(image_free_p) struct image *image = make_image(config);
	_cleanup_(image_free_p) struct image *bare = make_image("{\"config\":[]}");
	_cleanup_json_ json_t *details = image_to_details(image, 47);
	_cleanup_json_ json_t *old = image_to_details(image, 41);
	_cleanup_json_ json_t *empty = image_to_details(bare, 47);
	json_t *inner = json_object_get(details, "Config");

	assert_member(details, "Created", "\"2024-01-02T03:04:05Z\"");
	assert_member(details, "Comment", "\"last\"");
	assert_member(details, "Author", "\"me\"");
	assert_member(details, "RootFS",
		      "{\"Type\":\"layers\",\"Layers\":[\"sha256:aa\",\"sha256:bb\"]}");
	assert_member(inner, "Env", "[\"A=1\"]");
	assert_member(inner, "Cmd", "null");
	assert_member(inner, "User", "\"\"");
	assert_member(details, "Container", "(absent)");
	assert_member(old, "Container", "\"\"");
	/* What an image says of itself may be anything. */
	assert_member(empty, "Created", "\"2024-01-02T03:04:05.000000000Z\"");
	assert_member(json_object_get(empty, "Config"), "Env", "null");
	assert_member(empty, "Comment", "\"\"");
}

static void assert_row(const json_t *rows, size_t n, const char *by, int64_t size)
{
	json_t *row = json_array_get(rows, n);

	assert_string_equal(json_string_value(json_object_get(row, "CreatedBy")), by);
	assert_int_equal(json_integer_value(json_object_get(row, "Size")), size);
}

static void test_history(void **state)
{
	static const uint64_t sizes[] = { 100, 200, 300 };
	_cleanup_(image_free_p) struct image *image = make_image(config);
	_cleanup_(image_free_p) struct image *bare = make_image("{}");
	_cleanup_json_ json_t *rows = NULL, *more = NULL, *none = NULL;

	strv_add(&image->names, "docker.io/library/debian:12");
	rows = image_to_history(image, sizes, 2);
	assert_int_equal(json_array_size(rows), 3);
	assert_row(rows, 0, "RUN x", 200);
	assert_row(rows, 1, "ENV A=1", 0);
	assert_row(rows, 2, "base", 100);
	assert_member(json_array_get(rows, 0), "Id", "\"sha256:0123\"");
	assert_member(json_array_get(rows, 0), "Tags", "[\"debian:12\"]");
	assert_member(json_array_get(rows, 0), "Created", "0");
	assert_member(json_array_get(rows, 2), "Id", "\"<missing>\"");
	assert_member(json_array_get(rows, 2), "Created", "1704067200");
	/* Layers that the history does not tell of are the lowest. */
	more = image_to_history(image, sizes, 3);
	assert_int_equal(json_array_size(more), 4);
	assert_row(more, 0, "RUN x", 300);
	assert_row(more, 3, "", 100);
	none = image_to_history(bare, sizes, 2);
	assert_int_equal(json_array_size(none), 2);
	assert_row(none, 0, "", 200);
}

static void test_attributes(void **state)
{
	_cleanup_(image_free_p) struct image *image = make_image(config);
	_cleanup_json_ json_t *attributes = image_attributes(image, "debian:12");

	assert_member(attributes, "l", "\"1\"");
	assert_member(attributes, "name", "\"debian:12\"");
	/* A copy: the image's own labels have no name. */
	assert_null(json_object_get(image_labels(image), "name"));
}

static void assert_bar(uint64_t current, uint64_t total, const char *wanted)
{
	_cleanup_buf_ struct buf bar = {};

	api_progress_bar(current, total, &bar);
	assert_string_equal(buf_text(&bar), wanted);
}

static void test_bar(void **state)
{
	assert_bar(0, 100, "[>                                                  ]       0B/100B");
	assert_bar(50000, 100000,
		   "[=========================>                         ]     50kB/100kB");
	assert_bar(1234567, 1234567,
		   "[==================================================>]  1.235MB/1.235MB");
	/* More than was announced. */
	assert_bar(7, 5, "[==================================================>]       7B/5B");
	assert_bar(12345, 0, " 12.35kB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_summary), cmocka_unit_test(test_details),
		cmocka_unit_test(test_history), cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_bar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
