/* SPDX-License-Identifier: Apache-2.0 */
/* system df: what images, containers, volumes and build caches take, in all or one by one. */
#include "cli/commands.h"

#include "base/alloc.h"
#include "cli/human.h"
#include "cli/image-name.h"
#include "cli/text.h"

const struct option disk_options[] = {
	{ 0, OPTION_TEXT, "format", "FORMAT", NULL,
	  "Print as table, json, or by a template such as {{.Size}}" },
	{ 'v', OPTION_FLAG, "verbose", NULL, NULL, "Every image, container and volume by itself" },
	{ 0 },
};

/* ---- in all ---- */

static const struct column columns[] = {
	{ "Type", "TYPE" }, { "TotalCount", "TOTAL" },        { "Active", "ACTIVE" },
	{ "Size", "SIZE" }, { "Reclaimable", "RECLAIMABLE" }, { 0 },
};

/* What one kind of object adds up to. */
struct sum {
	size_t count, active;
	int64_t size, reclaimable;
};

/* Layers are counted once, however many images share them: the daemon says how much that is. */
static void sum_images(const json_t *list, const json_t *answer, struct sum *sum)
{
	const json_t *image;
	size_t index;

	sum->size = sum->reclaimable = json_int_at(answer, "LayersSize", NULL);
	json_array_foreach(list, index, image) {
		int64_t size = json_int_at(image, "Size", NULL);
		int64_t shared = json_int_at(image, "SharedSize", NULL);

		if (json_int_at(image, "Containers", NULL) <= 0)
			continue;
		sum->active++;
		if (size >= 0 && shared >= 0)
			sum->reclaimable -= size - shared;
	}
	sum->reclaimable = MAX(sum->reclaimable, 0);
}

static void sum_containers(const json_t *list, const json_t *answer, struct sum *sum)
{
	const json_t *container;
	size_t index;

	json_array_foreach(list, index, container) {
		const char *state = json_text_at(container, "State", NULL);
		int64_t size = json_int_at(container, "SizeRw", NULL);

		sum->size += size;
		if (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0 ||
		    strcmp(state, "restarting") == 0)
			sum->active++;
		else
			sum->reclaimable += size;
	}
}

static void sum_volumes(const json_t *list, const json_t *answer, struct sum *sum)
{
	const json_t *volume;
	size_t index;

	json_array_foreach(list, index, volume) {
		int64_t size = MAX(json_int_at(volume, "UsageData", "Size"), 0);

		sum->size += size;
		if (json_int_at(volume, "UsageData", "RefCount") > 0)
			sum->active++;
		else
			sum->reclaimable += size;
	}
}

static void sum_caches(const json_t *list, const json_t *answer, struct sum *sum)
{
	const json_t *cache;
	size_t index;

	json_array_foreach(list, index, cache) {
		int64_t size = json_int_at(cache, "Size", NULL);

		sum->size += size;
		if (json_bool_at(cache, "InUse", NULL))
			sum->active++;
		else if (!json_bool_at(cache, "Shared", NULL))
			sum->reclaimable += size;
	}
}

/* Containers that run hold nothing of them: whatever goes is made again when it is missed. */
static void sum_templates(const json_t *list, const json_t *answer, struct sum *sum)
{
	const json_t *template;
	size_t index;

	sum->count = 0;
	json_array_foreach(list, index, template) {
		if (!json_bool_at(template, "Ready", NULL))
			continue;
		sum->count++;
		sum->active += json_int_at(template, "Starts", NULL) > 0;
		sum->size += json_int_at(template, "Size", NULL);
	}
	sum->reclaimable = sum->size;
}

static const struct kind {
	const char *type;
	const char *key; /* of the list in the answer, or in its member "Cay" */
	void (*sum)(const json_t *list, const json_t *answer, struct sum *sum);
	bool percent; /* of what is reclaimable */
} kinds[] = {
	{ "Images", "Images", sum_images, true },
	{ "Containers", "Containers", sum_containers, true },
	{ "Local Volumes", "Volumes", sum_volumes, true },
	{ "Build Cache", "BuildCache", sum_caches, false },
	{ "Templates", "Templates", sum_templates, true },
};

static const json_t *find_list(const json_t *answer, const char *key)
{
	const json_t *list = json_object_get(answer, key);

	return list ? list : json_object_get(json_object_get(answer, "Cay"), key);
}

/* Docker's own daemon has no templates; the other kinds are always shown. */
static bool is_shown(const json_t *answer, const char *key)
{
	return strcmp(key, "Templates") != 0 || find_list(answer, key);
}

static int add_kind(struct table *table, const struct kind *kind, const json_t *answer,
		    struct cay_error *err)
{
	const json_t *list = find_list(answer, kind->key);
	struct sum sum = { .count = json_array_size(list) };
	_cleanup_json_ json_t *row = json_object();
	_cleanup_buf_ struct buf reclaimable = { 0 };
	char text[HUMAN_MAX];

	kind->sum(list, answer, &sum);
	row_set(row, "Type", kind->type);
	(void)snprintf(text, sizeof(text), "%zu", sum.count);
	row_set(row, "TotalCount", text);
	(void)snprintf(text, sizeof(text), "%zu", sum.active);
	row_set(row, "Active", text);
	human_size((double)sum.size, true, text);
	row_set(row, "Size", text);
	human_size((double)sum.reclaimable, true, text);
	buf_puts(&reclaimable, text);
	if (kind->percent && sum.size > 0)
		buf_printf(&reclaimable, " (%d%%)",
			   (int)((double)sum.reclaimable * 100 / (double)sum.size));
	row_set(row, "Reclaimable", buf_text(&reclaimable));
	return table_add(table, row, err);
}

static int print_sums(const char *format, const json_t *answer, struct cay_error *err)
{
	_cleanup_(table_free_p) struct table *table = NULL;
	int r = table_open(format,
			   "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t"
			   "{{.Reclaimable}}",
			   columns, &table, err);

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && r >= 0; i++)
		if (is_shown(answer, kinds[i].key))
			r = add_kind(table, &kinds[i], answer, err);
	return r < 0 ? r : table_print(table, err);
}

/* ---- one by one ---- */

static const struct column volume_columns[] = {
	{ "Name", "VOLUME NAME" }, { "Links", "LINKS" }, { "Size", "SIZE" }, { 0 }
};

static const struct column cache_columns[] = {
	{ "ID", "CACHE ID" },
	{ "CacheType", "CACHE TYPE" },
	{ "Size", "SIZE" },
	{ "CreatedSince", "CREATED" },
	{ "LastUsedSince", "LAST USED" },
	{ "UsageCount", "USAGE" },
	{ "Shared", "SHARED" },
	{ 0 },
};

static json_t *one_image(const json_t *image, bool whole)
{
	const json_t *tags = json_object_get(image, "RepoTags");
	const char *first = json_string_value(json_array_get(tags, 0));
	_cleanup_image_name_ struct image_name name = { 0 };

	image_name_split(first ? first : "<none>:<none>", &name);
	return image_row(image, name.name, name.tag ? name.tag : "<none>", "", whole);
}

/* Its own size only: that of its image is among the images. */
static json_t *one_container(const json_t *container, bool whole)
{
	_cleanup_json_ json_t *copy = json_copy((json_t *)(uintptr_t)container);

	json_set_int(copy, "SizeRootFs", 0);
	return container_row(copy, whole);
}

static json_t *one_volume(const json_t *volume, bool whole)
{
	int64_t size = json_int_at(volume, "UsageData", "Size");
	char text[HUMAN_MAX] = "N/A";
	json_t *row = json_object();

	row_set(row, "Name", json_text_at(volume, "Name", NULL));
	row_set(row, "Driver", json_text_at(volume, "Driver", NULL));
	row_set(row, "Mountpoint", json_text_at(volume, "Mountpoint", NULL));
	if (size >= 0)
		human_size((double)size, true, text);
	row_set(row, "Size", text);
	(void)snprintf(text, sizeof(text), "%lld",
		       (long long)json_int_at(volume, "UsageData", "RefCount"));
	row_set(row, "Links", text);
	return row;
}

static json_t *one_cache(const json_t *cache, bool whole)
{
	char text[HUMAN_MAX];
	json_t *row = json_object();

	row_set(row, "ID", json_text_at(cache, "ID", NULL));
	row_set(row, "CacheType", json_text_at(cache, "Type", NULL));
	human_size((double)json_int_at(cache, "Size", NULL), true, text);
	row_set(row, "Size", text);
	row_set(row, "CreatedSince", json_text_at(cache, "CreatedAt", NULL));
	row_set(row, "LastUsedSince", json_text_at(cache, "LastUsedAt", NULL));
	(void)snprintf(text, sizeof(text), "%lld",
		       (long long)json_int_at(cache, "UsageCount", NULL));
	row_set(row, "UsageCount", text);
	row_set(row, "Shared", json_bool_at(cache, "Shared", NULL) ? "true" : "false");
	return row;
}

static const struct part {
	const char *key, *title, *standard;
	const struct column *columns;
	json_t *(*make_row)(const json_t *item, bool whole);
	void (*sum)(const json_t *list, const json_t *answer, struct sum *sum); /* NULL: no sum */
} parts[] = {
	{ "Images", "Images space usage:",
	  "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t"
	  "{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
	  image_columns, one_image, NULL },
	{ "Containers", "Containers space usage:",
	  "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t"
	  "{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
	  container_columns, one_container, NULL },
	{ "Volumes", "Local Volumes space usage:", "table {{.Name}}\t{{.Links}}\t{{.Size}}",
	  volume_columns, one_volume, NULL },
	{ "BuildCache", "Build cache usage: ",
	  "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t"
	  "{{.UsageCount}}\t{{.Shared}}",
	  cache_columns, one_cache, sum_caches },
	{ "Templates",
	  "Templates space usage: ", "table {{.Key}}\t{{.State}}\t{{.Size}}\t{{.LastUsedSince}}",
	  vm_template_columns, vm_template_row, sum_templates },
};

/* A title, an empty line, a table: as docker lays it out, where some titles hold the sum. */
static int print_part(const struct part *part, const json_t *answer, bool last,
		      struct cay_error *err)
{
	const json_t *list = find_list(answer, part->key), *item;
	_cleanup_(table_free_p) struct table *table = NULL;
	_cleanup_buf_ struct buf text = { 0 };
	char size[HUMAN_MAX] = "";
	struct sum sum = { 0 };
	size_t index;
	int r = table_open(NULL, part->standard, part->columns, &table, err);

	json_array_foreach(list, index, item) {
		_cleanup_json_ json_t *row = part->make_row(item, false);

		if (r >= 0)
			r = table_add(table, row, err);
	}
	if (r < 0)
		return r;
	if (part->sum) {
		part->sum(list, answer, &sum);
		human_size((double)sum.size, true, size);
	}
	buf_printf(&text, "%s%s\n\n", part->title, size);
	table_render(table, &text);
	if (!last)
		buf_putc(&text, '\n');
	return text_print(&text, err);
}

static int print_parts(const struct options *options, const json_t *answer, struct cay_error *err)
{
	_cleanup_json_ json_t *rows = json_object();
	const struct part *last = parts;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && is_shown(answer, parts[i].key); i++) {
		const json_t *item;
		json_t *list = json_array();
		size_t index;

		json_array_foreach(find_list(answer, parts[i].key), index, item) {
			(void)json_array_append_new(list, parts[i].make_row(item, true));
		}
		json_set(rows, parts[i].key, list);
		last = &parts[i];
	}
	if (print_formatted(options, rows, &r, err))
		return r;
	for (const struct part *part = parts; part <= last && r >= 0; part++)
		r = print_part(part, answer, part == last, err);
	return r;
}

int command_disk(const struct invocation *invocation, struct cay_error *err)
{
	const struct options *options = invocation->options;
	_cleanup_json_ json_t *answer = NULL;
	int r = client_call_named(invocation->client, "GET", "/system/df", "", &answer, err);

	if (r < 0)
		return r;
	return option_flag(options, "verbose")
		? print_parts(options, answer, err)
		: print_sums(option_text(options, "format"), answer, err);
}
