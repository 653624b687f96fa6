/* SPDX-License-Identifier: Apache-2.0 */
/* The list of images: one row for each name, as docker has it. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/human.h"
#include "cli/image-name.h"

#include <errno.h>

const struct option images_options[] = {
	{ 'a', OPTION_FLAG, "all", NULL, NULL, "Intermediate images too" },
	{ 0, OPTION_FLAG, "digests", NULL, NULL, "Show digests" },
	{ 'f', OPTION_LIST, "filter", "KEY=VALUE", NULL,
	  "Only those that match, such as dangling=true, label=KEY, before=IMAGE, "
	  "since=IMAGE, reference=PATTERN, until=TIME" },
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Repository}}" },
	{ 0, OPTION_FLAG, "no-trunc", NULL, NULL, "Don't shorten ids" },
	{ 'q', OPTION_FLAG, "quiet", NULL, NULL, "Only the ids" },
	{ 0 },
};

const struct column image_columns[] = {
	{ "Repository", "REPOSITORY" },
	{ "Tag", "TAG" },
	{ "Digest", "DIGEST" },
	{ "ID", "IMAGE ID" },
	{ "CreatedSince", "CREATED" },
	{ "CreatedAt", "CREATED AT" },
	{ "Size", "SIZE" },
	{ "SharedSize", "SHARED SIZE" },
	{ "UniqueSize", "UNIQUE SIZE" },
	{ "VirtualSize", "VIRTUAL SIZE" },
	{ "Containers", "CONTAINERS" },
	{ 0 },
};

#define NS_PER_SECOND INT64_C(1000000000)
#define NONE          "<none>"

/* Negative sizes and counts say that the daemon did not work them out. */
static void set_size(json_t *row, const char *field, int64_t size, bool precise)
{
	char text[HUMAN_MAX] = "N/A";

	if (size >= 0)
		human_size((double)size, precise, text);
	row_set(row, field, text);
}

json_t *image_row(const json_t *image, const char *repository, const char *tag, const char *digest,
		  bool whole)
{
	int64_t created = json_int_at(image, "Created", NULL) * NS_PER_SECOND;
	int64_t size = json_int_at(image, "Size", NULL);
	int64_t shared = json_int_at(image, "SharedSize", NULL);
	int64_t containers = json_int_at(image, "Containers", NULL);
	json_t *row = json_object();
	char text[HUMAN_MAX], id[80];

	row_set(row, "Repository", repository);
	row_set(row, "Tag", tag);
	row_set(row, "Digest", digest);
	short_id(json_text_at(image, "Id", NULL), whole, id);
	row_set(row, "ID", id);
	human_ago(created, clock_now_ns(), text);
	row_set(row, "CreatedSince", text);
	human_date(created, text);
	row_set(row, "CreatedAt", text);
	set_size(row, "Size", size, false);
	set_size(row, "VirtualSize", size, true);
	set_size(row, "SharedSize", shared, true);
	set_size(row, "UniqueSize", size < 0 || shared < 0 ? -1 : MAX(size - shared, 0), true);
	(void)snprintf(text, sizeof(text), "%lld", (long long)containers);
	row_set(row, "Containers", containers < 0 ? "N/A" : text);
	return row;
}

/* What a list is printed with. */
struct listing {
	struct table *table;
	bool whole;
	bool digests; /* --digests */
	bool named;   /* --format names them: shown, but there are no more rows for them */
};

static int add_row(const struct listing *listing, const json_t *image, const char *repository,
		   const char *tag, const char *digest, struct cay_error *err)
{
	_cleanup_json_ json_t *row = image_row(image, repository, tag, digest, listing->whole);

	return table_add(listing->table, row, err);
}

/* A name with its tag: a row for each digest it is known by, if those are shown. */
static int add_tag(const struct listing *listing, const json_t *image,
		   const struct image_name *name, struct cay_error *err)
{
	const json_t *item;
	bool any = false;
	size_t index;
	int r = 0;

	json_array_foreach(json_object_get(image, "RepoDigests"), index, item) {
		_cleanup_image_name_ struct image_name known = { 0 };

		if (!(listing->digests || listing->named) || !json_is_string(item) || r < 0)
			continue;
		image_name_split(json_string_value(item), &known);
		if (strcmp(known.name, name->name) != 0 || !known.digest)
			continue;
		any = true;
		r = add_row(listing, image, name->name, name->tag, known.digest, err);
	}
	return any || r < 0 ? r : add_row(listing, image, name->name, name->tag, NONE, err);
}

/* Whether a tag of that name has had its rows. */
static bool has_tag(const json_t *image, const char *name)
{
	const json_t *item;
	size_t index;

	json_array_foreach(json_object_get(image, "RepoTags"), index, item) {
		_cleanup_image_name_ struct image_name tagged = { 0 };

		image_name_split(json_is_string(item) ? json_string_value(item) : "", &tagged);
		if (strcmp(tagged.name, name) == 0)
			return true;
	}
	return false;
}

/* Names that are known by digest only; without digests shown one row for each name. */
static int add_digests(const struct listing *listing, const json_t *image, size_t *count,
		       struct cay_error *err)
{
	_cleanup_strv_ struct strv seen = { 0 };
	const json_t *item;
	size_t index;
	int r = 0;

	json_array_foreach(json_object_get(image, "RepoDigests"), index, item) {
		_cleanup_image_name_ struct image_name name = { 0 };

		image_name_split(json_is_string(item) ? json_string_value(item) : "", &name);
		if (r < 0 || !name.digest || strcmp(name.name, NONE) == 0 ||
		    has_tag(image, name.name) ||
		    (!listing->digests && strv_contains(&seen, name.name)))
			continue;
		strv_add(&seen, name.name);
		(*count)++;
		r = add_row(listing, image, name.name, NONE, listing->digests ? name.digest : "",
			    err);
	}
	return r;
}

static int add_image(const struct listing *listing, const json_t *image, struct cay_error *err)
{
	const json_t *item;
	size_t index, count = 0;
	int r = 0;

	json_array_foreach(json_object_get(image, "RepoTags"), index, item) {
		_cleanup_image_name_ struct image_name name = { 0 };

		image_name_split(json_is_string(item) ? json_string_value(item) : "", &name);
		if (r < 0 || !name.tag || strcmp(name.name, NONE) == 0)
			continue;
		count++;
		r = add_tag(listing, image, &name, err);
	}
	if (r >= 0)
		r = add_digests(listing, image, &count, err);
	return r < 0 || count > 0 ? r : add_row(listing, image, NONE, NONE, NONE, err);
}

static int set_target(const struct invocation *invocation, struct target *target,
		      struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_json_ json_t *filters = NULL;
	int r = filters_build(options, &filters, err);

	if (r < 0)
		return r;
	if (invocation->operand_count > 0) {
		if (!filters)
			filters = json_object();
		json_set(filters, "reference", json_pack("[s]", invocation->operands[0]));
	}
	target_set(target, "/images/json", NULL, NULL);
	if (option_flag(options, "all"))
		target_add(target, "all", "1");
	if (option_flag(options, "digests"))
		target_add(target, "digests", "1");
	if (filters)
		target_add_json(target, "filters", filters);
	return 0;
}

int command_images(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	const char *format = option_text(options, "format");
	bool digests = option_flag(options, "digests");
	const char *standard = option_flag(options, "quiet") ? "{{.ID}}"
		: digests
		? "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t"
		  "{{.CreatedSince}}\t{{.Size}}"
		: "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_target_ struct target target = { 0 };
	_cleanup_json_ json_t *images = NULL;
	struct listing listing = {
		.whole = option_flag(options, "no-trunc"),
		.digests = digests,
		.named = format && strstr(format, ".Digest"),
	};
	const json_t *image;
	size_t index;
	int r = table_open(format, standard, image_columns, &table, err);

	listing.table = table;
	if (r >= 0)
		r = set_target(invocation, &target, err);
	if (r >= 0)
		r = client_call(invocation->client, "GET", &target, NULL, &images, err);
	if (r < 0)
		return r;
	json_array_foreach(images, index, image) {
		r = add_image(&listing, image, err);
		if (r < 0)
			return r;
	}
	return table_print(table, err);
}
