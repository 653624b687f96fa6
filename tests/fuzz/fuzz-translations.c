/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings, which a process wrote that runs a guest: two halves of the input, merged and opened.
 */
#include "vmm/translations-format.h"
#include "vmm/translations.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HALF_MAX = 1024 * 1024 };

/* A head that is right, and a sum at the first block that is: the fuzzer would never find one. */
static void write_recording(const char *path, const uint8_t *data, size_t size)
{
	static unsigned char file[sizeof(struct translations_head) + HALF_MAX];
	struct translations_head head = { .magic = RECORDING_MAGIC, .format = TRANSLATIONS_FORMAT };
	struct translation first;
	struct cay_error err;

	memcpy(file, &head, sizeof(head));
	memcpy(file + sizeof(head), data, size);
	if (size >= sizeof(first)) {
		memcpy(&first, data, sizeof(first));
		if (first.size >= sizeof(first) && first.size <= size && first.size % 8 == 0) {
			first.sum = translation_sum(file + sizeof(head) + sizeof(first.sum),
						    first.size - sizeof(first.sum));
			memcpy(file + sizeof(head), &first, sizeof(first));
		}
	}
	if (file_write_volatile(path, file, sizeof(head) + size, 0600, &err) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char directory[] = "/tmp/cay-fuzz-XXXXXX", first[64], second[64], output[64];
	const size_t half = size / 2 > HALF_MAX ? HALF_MAX : size / 2;
	struct translations_counts counts;
	struct cay_error err = { 0 };
	int fd;

	if (!mkdtemp(directory))
		abort();
	(void)snprintf(first, sizeof(first), "%s/first", directory);
	(void)snprintf(second, sizeof(second), "%s/second", directory);
	(void)snprintf(output, sizeof(output), "%s/output", directory);
	write_recording(first, data, half);
	write_recording(second, data + half, half);
	if (translations_merge(first, second, output, &counts, &err) == 0) {
		fd = translations_open(output, &err);
		if (fd < 0 || counts.kept == 0)
			abort();
		(void)close(fd);
	} else if (err.message[0] == '\0' || file_exists(output)) {
		abort();
	}
	if (remove_tree(directory, &err) < 0)
		abort();
	return 0;
}
