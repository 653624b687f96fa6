/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for a parameter's name in a kernel image, where the kernel's own table has it. */
#include "vmm/kernel.h"

#include "base/macros.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

bool kernel_knows_lapic_khz(const char *path)
{
	/* With the NUL on each side: the name alone, as the table of early parameters has it. */
	static const char name[] = "\0lapic_khz";
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *image;
	bool found;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return false;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		return false;
	found = memmem(image, (size_t)st.st_size, name, sizeof(name)) != NULL;
	(void)munmap(image, (size_t)st.st_size);
	return found;
}
