/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a container sees as file systems: docker's HostConfig.Tmpfs and
 * the mounts of type tmpfs. Options and words are those of docker's daemon
 * (its mount.MergeTmpfsOptions and volume mounts' linuxParser).
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mount-options.h"
#include "daemon/request-internal.h"

#include <errno.h>
#include <inttypes.h>

#define SIZE_MAX_BYTES (INT64_C(1) << 46)

/* What is no flag must be one of these with a value. */
static bool is_known(struct str option)
{
	static const char *const keys[] = { "size",      "mode",      "uid", "gid",
					    "nr_inodes", "nr_blocks", "mpol" };
	struct str value, key = str_split(option, '=', &value);

	if (key.length == option.length)
		return false; /* no "=" */
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (str_equals(key, keys[i]))
			return true;
	return false;
}

static int check_options(const struct strv *list, struct cay_error *err)
{
	_cleanup_mount_options_ struct mount_options options = { 0 };
	struct str rest;
	int r = mount_options_parse(list, &options, err);

	if (r < 0)
		return r;
	rest = str_from(buf_text(&options.data));
	while (rest.length > 0) {
		struct str option = str_split(rest, ',', &rest);

		if (!is_known(option))
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid tmpfs option [\"%.*s\"]",
					     (int)MIN(option.length, 100), option.data);
	}
	return 0;
}

static int add_tmpfs(struct request *request, const char *target, const char *options,
		     struct cay_error *err)
{
	struct request_tmpfs *tmpfs;
	struct str rest = str_from(options);

	if (target[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid mount path: '%.200s' mount path must be absolute",
				     target);
	if (target[strspn(target, "/.")] == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "invalid specification: destination can't be '/'");
	request->tmpfs =
		xreallocarray(request->tmpfs, request->tmpfs_count + 1, sizeof(*request->tmpfs));
	tmpfs = &request->tmpfs[request->tmpfs_count++];
	*tmpfs = (struct request_tmpfs){ .target = xstrdup(target) };
	while (rest.length > 0) {
		struct str option = str_split(rest, ',', &rest);

		if (option.length > 0)
			strv_take(&tmpfs->options, str_dup(option));
	}
	/* docker's defaults, where the client does not say otherwise */
	if (!strv_contains(&tmpfs->options, "exec"))
		strv_add(&tmpfs->options, "noexec");
	if (!strv_contains(&tmpfs->options, "suid"))
		strv_add(&tmpfs->options, "nosuid");
	if (!strv_contains(&tmpfs->options, "dev"))
		strv_add(&tmpfs->options, "nodev");
	return check_options(&tmpfs->options, err);
}

/* ---- mounts ---- */

/* [["exec"], ["size", "1m"]]: docker's list of options, of which it lets two through. */
static int read_options(const json_t *tmpfs, struct buf *options, struct cay_error *err)
{
	json_t *list = NULL, *item;
	size_t i;
	int r = json_read_array(tmpfs, "Options", &list, err);

	if (r < 0)
		return r;
	json_array_foreach(list, i, item) {
		const char *word = json_string_value(json_array_get(item, 0));

		if (!word || json_array_size(item) != 1 ||
		    (strcmp(word, "exec") != 0 && strcmp(word, "noexec") != 0))
			return cay_error_set(err, CAY_INVALID, EINVAL, "invalid option: %.100s",
					     word ? word : "");
		buf_printf(options, "%s,", word);
	}
	return 0;
}

static int add_mount(struct request *request, const json_t *mount, struct cay_error *err)
{
	_cleanup_free_ char *target = xstrdup("");
	_cleanup_buf_ struct buf options = { 0 };
	int64_t size = 0, mode = 0;
	bool read_only = false;
	json_t *tmpfs = NULL;
	int r = json_read_string(mount, "Target", &target, err);

	if (r == 0)
		r = json_read_bool(mount, "ReadOnly", &read_only, err);
	if (r == 0)
		r = json_read_object(mount, "TmpfsOptions", &tmpfs, err);
	if (r == 0 && tmpfs)
		r = json_read_int(tmpfs, "SizeBytes", 0, SIZE_MAX_BYTES, &size, err);
	if (r == 0 && tmpfs)
		r = json_read_int(tmpfs, "Mode", 0, 07777, &mode, err);
	if (r == 0 && tmpfs)
		r = read_options(tmpfs, &options, err);
	if (r < 0)
		return r;
	if (size > 0)
		buf_printf(&options, "size=%" PRId64 ",", size);
	if (mode > 0)
		buf_printf(&options, "mode=%" PRIo64 ",", (uint64_t)mode);
	if (read_only)
		buf_puts(&options, "ro,");
	r = add_tmpfs(request, target, buf_text(&options), err);
	if (r == 0)
		request->tmpfs[request->tmpfs_count - 1].is_mount = true;
	return r;
}

int request_read_tmpfs(struct request *request, struct cay_error *err)
{
	json_t *map = NULL, *mounts = NULL, *value;
	const char *target;
	size_t i;
	int r = json_read_object(request->host_config, "Tmpfs", &map, err);

	if (r == 0)
		r = json_read_array(request->host_config, "Mounts", &mounts, err);
	if (r < 0)
		return r;
	json_object_foreach(map, target, value) {
		r = add_tmpfs(request, target, json_string_value(value), err);
		if (r < 0)
			return r;
	}
	json_array_foreach(mounts, i, value) {
		const char *type = json_string_value(json_object_get(value, "Type"));

		/* The other types are request-mounts.c's. */
		r = type && strcmp(type, "tmpfs") == 0 ? add_mount(request, value, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}
