/* SPDX-License-Identifier: Apache-2.0 */
/* The blocks of a tar archive as they stand in it. */
#pragma once

#include "base/macros.h"

enum { TAR_BLOCK = 512 };

/* The block every entry starts with; the last field differs between ustar and GNU. */
struct tar_raw_header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8];
	char type;
	char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8];
	union {
		struct {
			char prefix[155], pad[12];
		} ustar;
		struct {
			char prefix[131], atime[12], ctime[12], pad[8], trailer[4];
		} star;
		struct {
			char atime[12], ctime[12], offset[12], longnames[4], unused;
			char sparse[4][24];
			char is_extended, real_size[12], pad[17];
		} gnu;
	} tail;
};
static_assert(sizeof(struct tar_raw_header) == TAR_BLOCK, "one block");

/* The blocks that continue the map of an old GNU sparse file. */
struct tar_raw_sparse {
	char sparse[21][24];
	char is_extended, pad[7];
};
static_assert(sizeof(struct tar_raw_sparse) == TAR_BLOCK, "one block");
