/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of disks; the words for text that is none are those of docker's parser. */
#include "daemon/disk-size.h"

#include "base/buf.h"
#include "image/ext4.h"

#include <errno.h>

int disk_size_parse(const char *what, const char *text, uint64_t *ret_bytes, struct cay_error *err)
{
	uint64_t bytes;

	if (parse_size(text, &bytes) < 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "%s: invalid size: '%.64s'", what,
				     text);
	if (bytes < EXT4_SIZE_MIN || bytes > EXT4_DISK_SIZE)
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "%s: size %.64s: it must be between %llu MiB and %llu GiB",
				     what, text, (unsigned long long)(EXT4_SIZE_MIN / MIB),
				     (unsigned long long)(EXT4_DISK_SIZE / GIB));
	*ret_bytes = bytes;
	return 0;
}
