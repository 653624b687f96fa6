/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of an OCI configuration, in docker's order: the default ones, but
 * for those that the client has replaced; then the client's own and the files
 * that name resolution reads, those with fewer parts in their path first, so
 * that none covers another.
 */
#include "daemon/spec.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"

#include <inttypes.h>

void spec_mounts_add_bind(struct spec_mounts *mounts, char *guest_source, const char *target,
			  bool read_only)
{
	mounts->items = xreallocarray(mounts->items, mounts->count + 1, sizeof(*mounts->items));
	mounts->items[mounts->count++] = (struct spec_mount){
		.source = guest_source,
		.target = xstrdup(target),
		.read_only = read_only,
	};
}

void spec_mounts_done(struct spec_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		free(mounts->items[i].source);
		free(mounts->items[i].target);
	}
	free(mounts->items);
	*mounts = (struct spec_mounts){ 0 };
}

/* What the client asked for, to see what it replaces. */
struct wishes {
	const struct request *request;
	const struct spec_mounts *mounts;
};

static bool names(const struct wishes *wishes, const char *target)
{
	for (size_t i = 0; i < wishes->request->tmpfs_count; i++)
		if (strcmp(wishes->request->tmpfs[i].target, target) == 0)
			return true;
	for (size_t i = 0; i < wishes->mounts->count; i++)
		if (strcmp(wishes->mounts->items[i].target, target) == 0)
			return true;
	return false;
}

/* A /dev of the client's own comes without ours below it. */
static bool is_replaced(const struct wishes *wishes, const char *target)
{
	return names(wishes, target) || (starts_with(target, "/dev/") && names(wishes, "/dev"));
}

static json_t *make_mount(const char *type, const char *source, const char *target, json_t *options)
{
	return json_pack("{s:s, s:s, s:s, s:o}", "destination", target, "type", type, "source",
			 source, "options", options);
}

/* `options` is a comma-separated list. */
static void add_mount(json_t *mounts, const struct wishes *wishes, const char *type,
		      const char *source, const char *target, const char *options)
{
	json_t *list;
	struct str rest = str_from(options);

	if (is_replaced(wishes, target))
		return;
	list = json_array();
	while (rest.length > 0) {
		struct str option = str_split(rest, ',', &rest);

		(void)json_array_append_new(list, json_stringn(option.data, option.length));
	}
	(void)json_array_append_new(mounts, make_mount(type, source, target, list));
}

static void add_defaults(json_t *mounts, const struct wishes *wishes)
{
	const struct request *request = wishes->request;
	_cleanup_free_ char *sysfs =
		xasprintf("nosuid,noexec,nodev,%s", request->privileged ? "rw" : "ro");
	_cleanup_free_ char *shm =
		xasprintf("nosuid,noexec,nodev,mode=1777,size=%" PRId64, request->shm_size);

	add_mount(mounts, wishes, "proc", "proc", "/proc", "nosuid,noexec,nodev");
	add_mount(mounts, wishes, "tmpfs", "tmpfs", "/dev",
		  "nosuid,strictatime,mode=755,size=65536k");
	add_mount(mounts, wishes, "devpts", "devpts", "/dev/pts",
		  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	add_mount(mounts, wishes, "sysfs", "sysfs", "/sys", sysfs);
	add_mount(mounts, wishes, "cgroup", "cgroup", "/sys/fs/cgroup", sysfs);
	add_mount(mounts, wishes, "mqueue", "mqueue", "/dev/mqueue", "nosuid,noexec,nodev");
	if (!request->no_shm)
		add_mount(mounts, wishes, "tmpfs", "shm", "/dev/shm", shm);
}

static void add_file(json_t *mounts, const struct wishes *wishes, const char *id, const char *name,
		     const char *target)
{
	_cleanup_free_ char *source = spec_guest_path(id, name);

	add_mount(mounts, wishes, "bind", source, target,
		  wishes->request->read_only_root ? "bind,ro" : "bind");
}

static void add_own(json_t *mounts, const struct wishes *wishes)
{
	for (size_t i = 0; i < wishes->request->tmpfs_count; i++) {
		const struct request_tmpfs *tmpfs = &wishes->request->tmpfs[i];

		(void)json_array_append_new(mounts,
					    make_mount("tmpfs", "tmpfs", tmpfs->target,
						       json_from_strv(&tmpfs->options)));
	}
	for (size_t i = 0; i < wishes->mounts->count; i++) {
		const struct spec_mount *mount = &wishes->mounts->items[i];

		(void)json_array_append_new(mounts,
					    make_mount("bind", mount->source, mount->target,
						       json_pack("[s, s, s]", "rbind", "rprivate",
								 mount->read_only ? "ro" : "rw")));
	}
}

static size_t depth_of(const json_t *mount)
{
	const char *target = json_string_value(json_object_get(mount, "destination"));
	size_t depth = 0;

	for (const char *at = target; *at; at++)
		depth += *at == '/' && at[1] != '\0' && at[1] != '/';
	return depth;
}

struct place {
	size_t depth, index;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *one = a, *two = b;

	if (one->depth != two->depth)
		return one->depth < two->depth ? -1 : 1;
	return one->index < two->index ? -1 : one->index > two->index;
}

/* Those of one depth stay in their order. */
static void append_by_depth(json_t *mounts, const json_t *own)
{
	size_t count = json_array_size(own);
	_cleanup_free_ struct place *places = xcalloc(count + 1, sizeof(*places));

	for (size_t i = 0; i < count; i++)
		places[i] = (struct place){ depth_of(json_array_get(own, i)), i };
	qsort(places, count, sizeof(*places), compare_places);
	for (size_t i = 0; i < count; i++)
		(void)json_array_append(mounts, json_array_get(own, places[i].index));
}

json_t *spec_mounts_to_json(const struct request *request, const char *id,
			    const struct spec_mounts *mounts)
{
	const struct wishes wishes = { request, mounts };
	json_t *all = json_array();
	_cleanup_json_ json_t *own = json_array();

	add_defaults(all, &wishes);
	add_file(own, &wishes, id, "resolv.conf", "/etc/resolv.conf");
	add_file(own, &wishes, id, "hostname", "/etc/hostname");
	add_file(own, &wishes, id, "hosts", "/etc/hosts");
	add_own(own, &wishes);
	append_by_depth(all, own);
	return all;
}
