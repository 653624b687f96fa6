/* SPDX-License-Identifier: Apache-2.0 */
/* Ports are found by their names in sysfs: their numbers depend on what else the machine has. */
#include "guest/port.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PORT_CLASS "/sys/class/virtio-ports"

enum { NAME_MAX_LENGTH = 32 };

static bool has_name(int class_fd, const char *entry, const char *wanted)
{
	char path[64], name[NAME_MAX_LENGTH + 2];
	_cleanup_close_ int fd = -1;
	const size_t length = strlen(wanted);
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/name", entry) >= (int)sizeof(path))
		return false;
	fd = openat(class_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read_full(fd, name, sizeof(name));
	return n >= (ssize_t)length && memcmp(name, wanted, length) == 0 &&
		(n == (ssize_t)length || name[length] == '\n');
}

int port_open(const char *name, int flags)
{
	DIR *directory = opendir(PORT_CLASS);
	struct dirent *entry;
	int fd = -ENOENT;

	if (!directory)
		return -errno;
	while (fd == -ENOENT && (entry = readdir(directory))) {
		char path[64];

		if (entry->d_name[0] == '.' || !has_name(dirfd(directory), entry->d_name, name))
			continue;
		if (snprintf(path, sizeof(path), "/dev/%s", entry->d_name) >= (int)sizeof(path))
			continue;
		fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			fd = -errno;
	}
	(void)closedir(directory);
	return fd;
}
