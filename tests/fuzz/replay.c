/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzzer's entry point over every file of its corpus, for builds
 * without libFuzzer: what a fuzzer once found stays fixed on every compiler.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024 * 1024 };

int main(int argc, char **argv)
{
	unsigned int count = 0;
	DIR *directory;
	struct dirent *entry;

	log_init("replay", LOG_LEVEL_INFO);
	if (argc != 2)
		die("usage: replay CORPUS-DIRECTORY");
	directory = opendir(argv[1]);
	if (!directory)
		die("opening %s: %s", argv[1], errno_text(errno));
	while ((entry = readdir(directory))) {
		_cleanup_free_ char *path = path_join(argv[1], entry->d_name);
		_cleanup_buf_ struct buf data = { 0 };
		struct cay_error err = { 0 };

		if (entry->d_name[0] == '.')
			continue;
		if (file_read(path, INPUT_MAX, &data, &err) < 0)
			die("%s", err.message);
		/* An exact copy, so that a read past the end is seen by the sanitizer. */
		_cleanup_free_ uint8_t *exact = xmemdup(data.data, data.length);
		(void)LLVMFuzzerTestOneInput(exact, data.length);
		count++;
	}
	(void)closedir(directory);
	if (count == 0)
		die("no inputs in %s", argv[1]);
	printf("%u inputs\n", count);
	return 0;
}
