/* SPDX-License-Identifier: Apache-2.0 */
/* What a forked child of vminitd keeps of its descriptors. */
#include "guest/descriptors.h"

#include <unistd.h>

void descriptors_close_others(const int *keep, size_t count)
{
	unsigned int from = STDERR_FILENO + 1;

	for (;;) {
		unsigned int next = ~0U;

		for (size_t i = 0; i < count; i++)
			if (keep[i] >= (int)from && (unsigned int)keep[i] < next)
				next = (unsigned int)keep[i];
		if (next > from)
			(void)close_range(from, next == ~0U ? next : next - 1, 0); /* Linux 5.9 */
		if (next == ~0U)
			return;
		from = next + 1;
	}
}
