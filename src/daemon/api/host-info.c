/* SPDX-License-Identifier: Apache-2.0 */
/* What /info tells of the machine and of the programs that VMs are made with. */
#include "daemon/api/host-info.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

enum {
	OS_RELEASE_MAX = 64 * 1024,
	QEMU_OUTPUT_MAX = 4096,
	KERNEL_MAX = 256 * 1024 * 1024, /* bytes of a kernel's image that are searched */
	WORD_MAX = 128,
};

/* The value of a line NAME=value, without the quotes around it. */
static char *os_release(const char *name)
{
	_cleanup_buf_ struct buf text = {};
	struct cay_error err;
	struct str rest;

	if (file_read("/etc/os-release", OS_RELEASE_MAX, &text, &err) < 0)
		return xstrdup("");
	rest = (struct str){ buf_text(&text), text.length };
	while (rest.length > 0) {
		struct str value, key = str_split(str_split(rest, '\n', &rest), '=', &value);

		if (!str_equals(key, name))
			continue;
		if (value.length >= 2 && value.data[0] == '"')
			value = (struct str){ value.data + 1, value.length - 2 };
		return str_dup(value);
	}
	return xstrdup("");
}

char *host_info_system(void)
{
	return os_release("PRETTY_NAME");
}

char *host_info_system_version(void)
{
	return os_release("VERSION_ID");
}

char *host_info_kernel(void)
{
	struct utsname names;

	return xstrdup(uname(&names) == 0 ? names.release : "");
}

/* The word behind `prefix`, which the text holds somewhere. */
static char *word_after(const char *text, size_t size, const char *prefix)
{
	const char *at = memmem(text, size, prefix, strlen(prefix));
	const char *end = text + size, *word_end;

	if (!at)
		return xstrdup("");
	at += strlen(prefix);
	word_end = at;
	while (word_end < end && word_end - at<WORD_MAX && * word_end> ' ' && *word_end < 0x7f)
		word_end++;
	return str_dup((struct str){ at, (size_t)(word_end - at) });
}

char *host_info_qemu(const char *program)
{
	_cleanup_strv_ struct strv argv = {};
	_cleanup_buf_ struct buf output = {};
	struct cay_error err;

	strv_add(&argv, program);
	strv_add(&argv, "--version");
	if (process_run(&argv, QEMU_OUTPUT_MAX, &output, &err) != 0)
		return xstrdup("");
	return word_after(buf_text(&output), output.length, "version ");
}

/* A compressed kernel has its version elsewhere and is not what cay boots. */
char *host_info_guest_kernel(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	size_t size;
	char *word;
	void *image;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size <= 0)
		return xstrdup("");
	size = (size_t)MIN(status.st_size, (off_t)KERNEL_MAX);
	image = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (image == MAP_FAILED)
		return xstrdup("");
	word = word_after(image, size, "Linux version ");
	munmap(image, size);
	return word;
}

const char *host_info_architecture(void)
{
#if defined(__x86_64__)
	return "amd64";
#elif defined(__aarch64__)
	return "arm64";
#else
#error "cay has no VM for this architecture"
#endif
}

uint64_t host_info_memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}
