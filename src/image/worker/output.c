/* SPDX-License-Identifier: Apache-2.0 */
/* Writing or comparing. A conversion gives the same bytes each time: that is what a check is. */
#include "image/worker/output.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int differs(const char *what, struct cay_error *err)
{
	return cay_error_set(err, CAY_CORRUPT, EBADMSG, "%s is not what its blob gives", what);
}

static int compare(const struct output *output, const char *data, size_t size, uint64_t offset,
		   const char *what, struct cay_error *err)
{
	char stored[16384];

	while (size > 0) {
		const size_t wanted = MIN(size, sizeof(stored));
		ssize_t n = pread_full(output->fd, stored, wanted, (off_t)offset);

		if (n < 0)
			return cay_error_errno(err, (int)n, "reading %s", what);
		if ((size_t)n != wanted || memcmp(stored, data, wanted) != 0)
			return differs(what, err);
		data += wanted;
		size -= wanted;
		offset += wanted;
	}
	return 0;
}

int output_put(const struct output *output, const void *data, size_t size, uint64_t offset,
	       const char *what, struct cay_error *err)
{
	int r;

	if (output->check)
		return compare(output, data, size, offset, what, err);
	r = pwrite_full(output->fd, data, size, (off_t)offset);
	return r < 0 ? cay_error_errno(err, r, "writing %s", what) : 0;
}

int output_finish(const struct output *output, uint64_t size, const char *what,
		  struct cay_error *err)
{
	off_t end;

	if (!output->check)
		return ftruncate(output->fd, (off_t)size) < 0
			? cay_error_errno(err, errno, "writing %s", what)
			: 0;
	end = lseek(output->fd, 0, SEEK_END); /* and not fstat(), which the sandbox forbids */
	if (end < 0)
		return cay_error_errno(err, errno, "reading %s", what);
	return (uint64_t)end == size ? 0 : differs(what, err);
}
