/* SPDX-License-Identifier: Apache-2.0 */
/* The network's kernel settings under /proc/sys/net, of the calling thread's namespace. */
#include "net/sysctl.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>

enum { VALUE_SIZE = 32 };

static char *setting_path(const char *directory, const char *link, const char *file)
{
	return xasprintf("/proc/sys/net/%s/%s/%s", directory, link, file);
}

int sysctl_read(const char *directory, const char *link, const char *file, int *ret_value,
		struct cay_error *err)
{
	_cleanup_free_ char *path = setting_path(directory, link, file);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[VALUE_SIZE] = "", *end;
	ssize_t n;
	long value;

	if (fd < 0)
		return cay_error_errno(err, errno, "can't open %s", path);
	n = read_full(fd, text, sizeof(text) - 1);
	if (n < 0)
		return cay_error_errno(err, (int)n, "can't read %s", path);
	value = strtol(text, &end, 10);
	if (end == text || value < INT_MIN || value > INT_MAX)
		return cay_error_set(err, CAY_INTERNAL, EBADMSG, "%s holds no number", path);
	*ret_value = (int)value;
	return 0;
}

int sysctl_write(const char *directory, const char *link, const char *file, int value,
		 struct cay_error *err)
{
	_cleanup_free_ char *path = setting_path(directory, link, file);
	_cleanup_close_ int fd = -1;
	char text[VALUE_SIZE];
	int r, old;

	r = sysctl_read(directory, link, file, &old, err);
	if (r < 0 || old == value)
		return r;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return cay_error_errno(err, errno, "can't open %s", path);
	r = write_full(fd, text, (size_t)snprintf(text, sizeof(text), "%d\n", value));
	if (r < 0)
		return cay_error_errno(err, r, "can't write %d to %s", value, path);
	return 0;
}
