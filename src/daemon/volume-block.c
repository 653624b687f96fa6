/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and measures the disks of block volumes; launch-block.c gives them to VMs. */
#include "daemon/volume-block.h"

#include "base/file.h"
#include "base/json.h"
#include "daemon/disk-size.h"
#include "image/ext4.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

int volume_block_check(const json_t *options, uint64_t *ret_size, struct cay_error *err)
{
	json_t *value;
	const char *key;

	*ret_size = VOLUME_BLOCK_SIZE_DEFAULT;
	json_object_foreach((json_t *)options, key, value) {
		const char *text = json_string_value(value);
		int r;

		if (strcmp(key, "type") == 0)
			continue;
		if (strcmp(key, "size") != 0 || !text)
			return cay_error_set(err, CAY_INVALID, EINVAL,
					     "invalid option: \"%.64s\": a volume with type=block "
					     "has a size=<bytes> and nothing else",
					     key);
		r = disk_size_parse("volume", text, ret_size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int volume_block_make(const char *path, uint64_t size, struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "creating %s", path);
	r = ext4_make(path, EXT4_VOLUME, size, err);
	if (r == 0 && fsync(fd) < 0)
		return cay_error_errno(err, errno, "writing %s", path);
	return r;
}

json_t *volume_block_options_of(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	json_t *options = json_pack("{s:s}", "type", VOLUME_BLOCK_TYPE);
	uint64_t size;

	/* One that holds no such file system is shown as if it had the usual size. */
	if (fd >= 0 && ext4_read_size(fd, &size) == 0 && size >= EXT4_SIZE_MIN)
		json_set(options, "size", json_sprintf("%" PRIu64, size));
	return options;
}

int64_t volume_block_usage(const struct volume *volume)
{
	struct stat status;

	return stat(volume->mountpoint, &status) == 0 ? (int64_t)status.st_blocks * 512 : 0;
}

json_t *volume_block_status(const struct volume *volume)
{
	return json_pack("{s:I, s:I}", "Size", (json_int_t)volume->size, "Used",
			 (json_int_t)volume_block_usage(volume));
}
