/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives that lie: about digests, sizes, names, each other. Each is refused with an error that
 * says why, and nothing of it stays.
 */
#include "image-store.h"

#define TYPE  "\"mediaType\":\"" MEDIA_OCI_MANIFEST "\""
#define OTHER "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void assert_empty(const char *root, const char *folder)
{
	_cleanup_free_ char *path = path_join(root, folder);
	DIR *directory = opendir(path);
	struct dirent *entry;

	assert_non_null(directory);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "tmp") != 0)
			fail_msg("%s is left in %s", entry->d_name, path);
	(void)closedir(directory);
}

static void assert_refused(struct fixture *fixture, const struct buf *archive, const char *why)
{
	static const char *const folders[] = { "content/blobs/sha256", "layers", "images",
					       "images/tmp" };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };
	struct image **images;
	size_t count;

	if (archive_load(fixture->store, archive, &loaded, &err) == 0)
		fail_msg("\"%s\" was loaded", why);
	assert_says(&err, why);
	assert_int_equal(loaded.count, 0);
	assert_ok(image_store_list(fixture->store, &images, &count, &err));
	free(images);
	assert_int_equal(count, 0);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		assert_empty(fixture->root, folders[i]);
}

/* A layout whose one manifest is this text; %L, %C are its good layer and configuration. */
static void make_layout(struct buf *archive, const char *manifest, const char *config,
			const char *descriptor)
{
	_cleanup_buf_ struct buf layer = { 0 }, text = { 0 }, top = { 0 };
	char layer_digest[DIGEST_SIZE], config_digest[DIGEST_SIZE], digest[DIGEST_SIZE];

	tar_script(&layer, "f:a=1");
	archive_blob(archive, layer.data, layer.length, layer_digest);
	buf_puts(&text, config);
	if (text.length == 0)
		buf_printf(&text,
			   "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":["
			   "\"%s\"]}}",
			   layer_digest);
	archive_blob(archive, text.data, text.length, config_digest);
	for (const char *at = manifest; *at; at++) {
		if (at[0] == '%' && at[1] == 'L')
			archive_descriptor(&top, "t", layer_digest, layer.length, "");
		else if (at[0] == '%' && at[1] == 'C')
			archive_descriptor(&top, "t", config_digest, text.length, "");
		else if (at[0] == '%' && at[1] == 'l')
			buf_puts(&top, layer_digest);
		else
			buf_putc(&top, *at);
		at += at[0] == '%';
	}
	archive_blob(archive, top.data, top.length, digest);
	buf_clear(&text);
	for (const char *at = descriptor; *at; at++) {
		if (at[0] == '%' && at[1] == 'D')
			buf_puts(&text, digest);
		else if (at[0] == '%' && at[1] == 'S')
			buf_printf(&text, "%zu", top.length);
		else
			buf_putc(&text, *at);
		at += at[0] == '%';
	}
	archive_end(archive, buf_text(&text));
}

#define GOOD_MANIFEST "{\"config\":%C,\"layers\":[%L]}"
#define GOOD          "{" TYPE ",\"digest\":\"%D\",\"size\":%S}"

static void test_the_good_one(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf archive = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	make_layout(&archive, GOOD_MANIFEST, "", GOOD);
	assert_ok(archive_load(fixture->store, &archive, &loaded, &err));
	assert_int_equal(loaded.count, 1);
}

static void test_layouts(void **state)
{
	static const struct {
		const char *manifest, *config, *descriptor, *why;
	} cases[] = {
		/* descriptors of the manifest */
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"" OTHER "\",\"size\":%S}",
		  "is missing" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"%D\",\"size\":1}", "another size" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"%D\",\"size\":-1}", "size" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"%D\",\"size\":9223372036854775807}",
		  "size" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"%D\",\"size\":99999999999999999999}",
		  "too big" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"%D\",\"size\":\"%S\"}", "size" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"%D\",\"size\":5000000}",
		  "larger than" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"sha256:../../x\",\"size\":1}",
		  "digest" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"sha512:%D\",\"size\":1}", "digest" },
		{ GOOD_MANIFEST, "", "{" TYPE ",\"digest\":\"\",\"size\":1}", "digest" },
		{ GOOD_MANIFEST, "",
		  "{\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"digest\":\"%D\",\"size\":%S}",
		  "media type" },
		{ GOOD_MANIFEST, "", "{\"mediaType\":\"text/html\",\"digest\":\"%D\",\"size\":%S}",
		  "not supported" },
		{ GOOD_MANIFEST, "",
		  "{" TYPE ",\"digest\":\"%D\",\"size\":%S,\"annotations\":{\"" ANNOTATION_REF_NAME
		  "\":\"../UP\"}}",
		  "reference" },
		{ GOOD_MANIFEST, "", "", "no image" },
		/* manifests */
		{ "{\"config\":%C,\"layers\":[%L],\"manifests\":[]}", "", GOOD, "both" },
		{ "{\"manifests\":[]}", "", GOOD, "media type" },
		{ "{\"config\":%C,\"layers\":[]}",
		  "{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[]}}", GOOD, "no layers" },
		{ "{\"layers\":[%L]}", "", GOOD, "no config" },
		{ "{\"config\":%C,\"layers\":[%L,%L]}", "", GOOD, "its manifest 2" },
		{ "{\"config\":%C,\"layers\":[{\"digest\":\"%l\",\"size\":1}]}", "", GOOD,
		  "missing" },
		{ "{\"config\":%C,\"layers\":[{\"digest\":\"%l\",\"size\":-5}]}", "", GOOD,
		  "size" },
		{ "{\"config\":%C,\"layers\":[{\"digest\":\"" OTHER "\",\"size\":1}]}", "", GOOD,
		  "missing" },
		{ "{\"config\":{\"digest\":\"%l\",\"size\":2048},\"layers\":[%L]}", "", GOOD, "" },
		{ "{\"config\":{\"digest\":\"%l\",\"size\":1},\"layers\":[%L]}", "", GOOD,
		  "another size" },
		{ "{\"schemaVersion\":1,\"config\":%C,\"layers\":[%L]}", "", GOOD,
		  "schema version" },
		{ "[]", "", GOOD, "object" },
		{ "{\"config\":%C,\"layers\":[%L]", "", GOOD, "manifest" },
		/* configurations */
		{ GOOD_MANIFEST, "{}", GOOD, "not a container image" },
		{ GOOD_MANIFEST, "[]", GOOD, "not an object" },
		{ GOOD_MANIFEST, "{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"" OTHER "\"]}}",
		  GOOD, "decompressed it is" },
		{ GOOD_MANIFEST, "{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"sha256:../x\"]}}",
		  GOOD, "diff id" },
		{ GOOD_MANIFEST, "{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[]}}", GOOD,
		  "0 layers" },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf archive = { 0 };

		make_layout(&archive, cases[i].manifest, cases[i].config, cases[i].descriptor);
		assert_refused(fixture, &archive, cases[i].why);
	}
}

static char *repeated(const char *front, const char *piece, size_t count, const char *back)
{
	struct buf text = { 0 };

	buf_puts(&text, front);
	for (size_t i = 0; i < count; i++)
		buf_puts(&text, piece);
	buf_puts(&text, back);
	return buf_steal(&text);
}

static void test_huge_ones(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_free_ char *padded = repeated("{\"config\":%C,\"layers\":[%L],\"x\":\"",
					       "0123456789abcdef", 300000, "\"}");
	_cleanup_free_ char *config = repeated("{\"x\":\"", "0123456789abcdef", 300000, "\"}");
	_cleanup_free_ char *layers = repeated("{\"config\":%C,\"layers\":[%L", ",%L", 500, "]}");
	_cleanup_free_ char *deep = repeated("", "[", 100000, "");
	_cleanup_free_ char *many = repeated(GOOD, "," GOOD, 1000, "");
	_cleanup_buf_ struct buf a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 }, e = { 0 };

	make_layout(&a, padded, "", GOOD);
	assert_refused(fixture, &a, "larger than");
	make_layout(&b, GOOD_MANIFEST, config, GOOD);
	assert_refused(fixture, &b, "larger than");
	make_layout(&c, layers, "", GOOD);
	assert_refused(fixture, &c, "more than 500");
	make_layout(&d, deep, "", GOOD);
	assert_refused(fixture, &d, "manifest");
	make_layout(&e, GOOD_MANIFEST, "", many);
	assert_refused(fixture, &e, "more than 1000");
}

/* The bytes of a blob are what counts, whatever its file is called; the last of a name is it. */
static void test_files_that_lie(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf archive = { 0 }, twice = { 0 };
	_cleanup_strv_ struct strv loaded = { 0 };
	struct cay_error err = { 0 };

	archive_file(
		&archive,
		"blobs/sha256/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"{}", 2);
	archive_end(&archive, "{" TYPE ",\"digest\":\"" OTHER "\",\"size\":2}");
	assert_refused(fixture, &archive, "is missing");

	archive_file(&twice, "index.json", "{}", 2);
	make_layout(&twice, GOOD_MANIFEST, "", GOOD);
	assert_ok(archive_load(fixture->store, &twice, &loaded, &err));
}

static void test_docker_archives(void **state)
{
	static const struct {
		const char *manifest, *why;
	} cases[] = {
		{ "{}", "not a list" },
		{ "[]", "not a list" },
		{ "[7]", "not a list" },
		{ "[{}]", "no Config" },
		{ "[{\"Config\":7}]", "Config" },
		{ "[{\"Config\":\"../../etc/passwd\",\"Layers\":[\"layer.tar\"]}]", "is missing" },
		{ "[{\"Config\":\"/etc/passwd\",\"Layers\":[\"layer.tar\"]}]", "is missing" },
		{ "[{\"Config\":\"config.json\",\"Layers\":[\"nosuch\"]}]", "is missing" },
		{ "[{\"Config\":\"config.json\",\"Layers\":[\"loop\"]}]", "is missing" },
		{ "[{\"Config\":\"config.json\",\"Layers\":[]}]", "no layers" },
		{ "[{\"Config\":\"config.json\",\"Layers\":[\"config.json\"]}]", "layer" },
		{ "[{\"Config\":\"config.json\",\"Layers\":[\"layer.tar\"],\"RepoTags\":[\"../x\"]}]",
		  "reference" },
		{ "[{\"Config\":\"config.json\",\"Layers\":[\"layer.tar\"],\"RepoTags\":\"x\"}]",
		  "RepoTags" },
		{ "[{\"Config\":\"layer.tar\",\"Layers\":[\"layer.tar\"]}]", "" },
		{ "nonsense", "manifest.json" },
	};
	struct fixture *fixture = *state;
	_cleanup_buf_ struct buf layer = { 0 }, config = { 0 };
	char digest[DIGEST_SIZE];

	tar_script(&layer, "f:a=1");
	digest_of(layer.data, layer.length, digest);
	buf_printf(&config, "{\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"%s\"]}}", digest);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct tar_item plain = { 0 };
		_cleanup_buf_ struct buf archive = { 0 };

		archive_file(&archive, "layer.tar", layer.data, layer.length);
		archive_file(&archive, "config.json", config.data, config.length);
		tar_header(&archive, '2', "loop", "pool", &plain, 0);
		tar_header(&archive, '2', "pool", "loop", &plain, 0);
		archive_file(&archive, "manifest.json", cases[i].manifest,
			     strlen(cases[i].manifest));
		tar_end(&archive);
		assert_refused(fixture, &archive, cases[i].why);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_good_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_layouts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_huge_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_files_that_lie, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_docker_archives, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
