/* SPDX-License-Identifier: Apache-2.0 */
/* The words of mount options, and the kernel's flags for them. */
#include "base/mount-options.h"

#include <errno.h>
#include <linux/mount.h>
#include <sys/mount.h>

enum { DATA_MAX = 4096 - 64 }; /* the kernel takes a page of options */

static const struct {
	const char *name;
	unsigned long set, clear;
} flag_options[] = {
	{ "async", 0, MS_SYNCHRONOUS },
	{ "atime", 0, MS_NOATIME },
	{ "bind", MS_BIND, 0 },
	{ "defaults", 0, 0 },
	{ "dev", 0, MS_NODEV },
	{ "diratime", 0, MS_NODIRATIME },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "lazytime", MS_LAZYTIME, 0 },
	{ "noatime", MS_NOATIME, 0 },
	{ "nodev", MS_NODEV, 0 },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "noexec", MS_NOEXEC, 0 },
	{ "nolazytime", 0, MS_LAZYTIME },
	{ "norelatime", 0, MS_RELATIME },
	{ "nostrictatime", 0, MS_STRICTATIME },
	{ "nosuid", MS_NOSUID, 0 },
	{ "nosymfollow", MS_NOSYMFOLLOW, 0 },
	{ "rbind", MS_BIND | MS_REC, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "remount", MS_REMOUNT, 0 },
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "silent", MS_SILENT, 0 },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "suid", 0, MS_NOSUID },
	{ "symfollow", 0, MS_NOSYMFOLLOW },
	{ "sync", MS_SYNCHRONOUS, 0 },
};

static const struct {
	const char *name;
	unsigned long flag;
} propagation_options[] = {
	{ "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE | MS_REC },
	{ "shared", MS_SHARED },         { "rshared", MS_SHARED | MS_REC },
	{ "slave", MS_SLAVE },           { "rslave", MS_SLAVE | MS_REC },
	{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
};

static bool take_flag(const char *option, struct mount_options *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_options); i++) {
		if (strcmp(option, flag_options[i].name) != 0)
			continue;
		options->flags = (options->flags & ~flag_options[i].clear) | flag_options[i].set;
		return true;
	}
	return false;
}

static int take_propagation(const char *option, struct mount_options *options)
{
	for (size_t i = 0; i < ARRAY_SIZE(propagation_options); i++) {
		if (strcmp(option, propagation_options[i].name) != 0)
			continue;
		if (options->propagation_count == ARRAY_SIZE(options->propagation))
			return -E2BIG;
		options->propagation[options->propagation_count++] = propagation_options[i].flag;
		return 1;
	}
	return 0;
}

int mount_options_parse(const struct strv *list, struct mount_options *ret, struct cay_error *err)
{
	_cleanup_mount_options_ struct mount_options options = { 0 };

	for (size_t i = 0; i < list->count; i++) {
		const char *option = list->items[i];
		int r;

		if (option[0] == '\0' || take_flag(option, &options))
			continue;
		if (strcmp(option, "rro") == 0) {
			options.recursive_readonly = true;
			continue;
		}
		r = take_propagation(option, &options);
		if (r > 0)
			continue;
		if (r < 0 || options.data.length + strlen(option) >= DATA_MAX)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "too many mount options");
		if (options.data.length > 0)
			buf_putc(&options.data, ',');
		buf_puts(&options.data, option);
	}
	*ret = options;
	options = (struct mount_options){ 0 };
	return 0;
}

void mount_options_done(struct mount_options *options)
{
	buf_done(&options->data);
	*options = (struct mount_options){ 0 };
}
