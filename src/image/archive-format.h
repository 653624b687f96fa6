/* SPDX-License-Identifier: Apache-2.0 */
/* The frames in which cay-layer hands an image archive's files to the daemon, over a pipe. */
#pragma once

#include <stdint.h>

enum archive_kind {
	ARCHIVE_FILE = 1,
	ARCHIVE_LINK, /* to another file of the archive, by its path from the archive's root */
	ARCHIVE_END,
};

/* After it: the path, the link, then `size` bytes of contents. Paths are clean and relative. */
struct archive_frame {
	uint32_t kind;
	uint16_t path_length, link_length;
	uint64_t size;
};

enum { ARCHIVE_PATH_MAX = 1024, ARCHIVE_FILES_MAX = 20000 };
/* Of all that an archive holds, decompressed. */
#define ARCHIVE_SIZE_MAX ((uint64_t)256 << 30)
