/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes and configurations: what is refused, and which member is chosen. */
#include "test.h"

#include "base/alloc.h"
#include "image/manifest.h"

#include <string.h>

#define HEX_A           "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B           "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DESCRIPTOR(hex) "{\"mediaType\":\"t\",\"digest\":\"sha256:" hex "\",\"size\":7}"
#define CONFIG          "\"config\":" DESCRIPTOR(HEX_A)
#define LAYERS          "\"layers\":[" DESCRIPTOR(HEX_B) "]"

static int parse(const char *text, const char *type, struct manifest *manifest,
		 struct cay_error *err)
{
	*err = (struct cay_error){ 0 };
	return manifest_parse(text, strlen(text), type, manifest, err);
}

static void test_good(void **state)
{
	_cleanup_manifest_ struct manifest manifest = { 0 };
	struct cay_error err;

	assert_ok(parse("{\"schemaVersion\":2," CONFIG "," LAYERS "}", MEDIA_DOCKER_MANIFEST,
			&manifest, &err));
	assert_false(manifest.is_index);
	assert_int_equal(manifest.item_count, 1);
	assert_int_equal(manifest.items[0].size, 7);
	assert_string_equal(manifest.items[0].digest, "sha256:" HEX_B);
	assert_string_equal(manifest.media_type, MEDIA_DOCKER_MANIFEST);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *type;
	} rows[] = {
		{ "", NULL },
		{ "[]", NULL },
		{ "{}", NULL },
		{ "{" CONFIG "," LAYERS "} x", NULL },
		{ "{" CONFIG "}", NULL },
		{ "{" LAYERS "}", NULL },
		{ "{" CONFIG "," LAYERS ",\"manifests\":[]}", NULL },
		{ "{\"manifests\":[]," CONFIG "}", NULL },
		{ "{\"schemaVersion\":1," CONFIG "," LAYERS "}", NULL },
		{ "{" CONFIG "," LAYERS "}", MEDIA_OCI_INDEX },
		{ "{\"manifests\":[]}", MEDIA_OCI_MANIFEST },
		{ "{" CONFIG "," LAYERS "}", "text/html" },
		{ "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"," CONFIG "," LAYERS "}",
		  MEDIA_DOCKER_MANIFEST },
		{ "{\"mediaType\":\"" MEDIA_OCI_INDEX "\"," CONFIG "," LAYERS "}", NULL },
		{ "{" CONFIG ",\"layers\":[{\"digest\":\"sha256:../../x\",\"size\":1}]}", NULL },
		{ "{" CONFIG ",\"layers\":[{\"digest\":\"md5:" HEX_A "\",\"size\":1}]}", NULL },
		{ "{" CONFIG ",\"layers\":[{\"digest\":\"sha256:" HEX_A "\"}]}", NULL },
		{ "{" CONFIG ",\"layers\":[{\"digest\":\"sha256:" HEX_A "\",\"size\":-1}]}", NULL },
		{ "{" CONFIG ",\"layers\":[{\"digest\":\"sha256:" HEX_A
		  "\",\"size\":99999999999999999999}]}",
		  NULL },
		{ "{" CONFIG ",\"layers\":[{\"digest\":\"sha256:" HEX_A
		  "\",\"size\":9223372036854775807}]}",
		  NULL },
		{ "{" CONFIG ",\"layers\":[7]}", NULL },
		{ "{" CONFIG ",\"layers\":{}}", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct manifest manifest = { 0 };
		struct cay_error err;

		if (parse(rows[i].text, rows[i].type, &manifest, &err) >= 0)
			fail_msg("row %zu was taken: %s", i, rows[i].text);
		assert_true(err.code != CAY_OK && err.message[0] != '\0');
		assert_null(manifest.items);
	}
}

static void test_too_large(void **state)
{
	_cleanup_free_ char *text = xmalloc(DOCUMENT_MAX + 2);
	struct manifest manifest = { 0 };
	struct cay_error err = { 0 };

	memset(text, ' ', DOCUMENT_MAX + 1);
	text[DOCUMENT_MAX + 1] = '\0';
	assert_true(parse(text, NULL, &manifest, &err) < 0);
	assert_int_equal(err.code, CAY_TOO_LARGE);
}

#define MEMBER(hex, os, arch) \
	"{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"sha256:" hex \
	"\",\"size\":7,\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}}"

static void test_selection(void **state)
{
	_cleanup_manifest_ struct manifest index = { 0 };
	_cleanup_platform_ struct platform arm = { 0 }, riscv = { 0 };
	const struct descriptor *member;
	struct cay_error err;

	assert_ok(
		parse("{\"manifests\":[" MEMBER(HEX_A, "linux", "amd64") "," MEMBER(
			      HEX_B, "linux", "arm64") "," MEMBER(HEX_A, "unknown", "unknown") "]}",
		      NULL, &index, &err));
	assert_ok(platform_parse("linux/arm64", &arm, &err));
	assert_ok(platform_parse("linux/riscv64", &riscv, &err));
	assert_ok(manifest_select(&index, &arm, &member, &err));
	assert_string_equal(member->digest, "sha256:" HEX_B);
	assert_true(manifest_select(&index, &riscv, &member, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	assert_non_null(strstr(err.message, "linux/amd64"));
}

static void test_config(void **state)
{
	static const char good[] = "{\"os\":\"linux\",\"architecture\":\"amd64\",\"created\":"
				   "\"2026-01-01T00:00:00Z\",\"rootfs\":{\"type\":\"layers\","
				   "\"diff_ids\":[\"sha256:" HEX_A "\"]}}";
	static const char *const bad[] = {
		"{}",
		"[]",
		"{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[]}}",
		"{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"sha256:../x\"]}}",
		"{\"os\":\"linux\",\"rootfs\":[]}",
		"{\"os\":7,\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_A "\"]}}",
		"{\"os\":\"linux\",\"config\":[],\"rootfs\":{\"diff_ids\":[\"sha256:" HEX_A "\"]}}",
	};
	_cleanup_image_config_ struct image_config config = { 0 };
	struct cay_error err = { 0 };

	assert_ok(image_config_parse(good, strlen(good), 1, &config, &err));
	assert_int_equal(config.created_ns, INT64_C(1767225600) * 1000000000);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct image_config none = { 0 };

		if (image_config_parse(bad[i], strlen(bad[i]), 1, &none, &err) >= 0)
			fail_msg("taken: %s", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),      cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_too_large), cmocka_unit_test(test_selection),
		cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
