/* SPDX-License-Identifier: Apache-2.0 */
/* A log file of any bytes, read whole and by its tail. */
#include "base/file.h"
#include "daemon/log-reader.h"

#include <fcntl.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_log(const char *path, int64_t tail)
{
	const struct log_selection selection = { .out = true, .err = true, .tail = tail };
	struct log_reader *reader = NULL;
	struct cay_error err = { 0 };
	struct log_entry entry;
	size_t count = 0;

	if (log_reader_open(path, &selection, &reader, &err) < 0)
		abort();
	while (log_reader_next(reader, &entry, &err) > 0) {
		if (entry.text[entry.length] != '\0')
			abort();
		count++;
	}
	log_reader_close(reader);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_with("log", data, size);
	char path[64];
	size_t all;

	if (fd < 0)
		abort();
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	all = read_log(path, -1);
	if (read_log(path, 3) > MIN(all, 3) || read_log(path, 0) != 0)
		abort();
	return 0;
}
