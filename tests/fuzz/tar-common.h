/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of tar archives share: headers made right. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Gives every block that looks like a tar header its checksum, which no mutation would hit. */
static inline void fix_checksums(uint8_t *data, size_t size)
{
	for (size_t at = 0; at + 512 <= size; at += 512) {
		unsigned int sum = 8 * ' ';
		char text[8];

		if (memcmp(data + at + 257, "ustar", 5) != 0)
			continue;
		for (size_t i = 0; i < 512; i++)
			sum += i >= 148 && i < 156 ? 0 : data[at + i];
		(void)snprintf(text, sizeof(text), "%06o", sum & 0777777);
		memcpy(data + at + 148, text, sizeof(text));
	}
}
