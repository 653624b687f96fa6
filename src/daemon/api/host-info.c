/* SPDX-License-Identifier: Apache-2.0 */
/* What /info tells of the machine and of the programs that VMs are made with. */
#include "daemon/api/host-info.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/process.h"
#include "image/platform.h"

#include <fcntl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

enum {
	OS_RELEASE_MAX = 64 * 1024,
	QEMU_OUTPUT_MAX = 4096,
	KERNEL_MAX = 256 * 1024 * 1024, /* bytes of a kernel's image that are searched */
	PIECE = 256 * 1024,
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

/*
 * A compressed kernel has its version elsewhere and is not what cay boots. The file is read in
 * pieces, each after the end of the one before, and not mapped: its pages would count as ours.
 */
char *host_info_guest_kernel(const char *path)
{
	static const char prefix[] = "Linux version ";
	enum { OVERLAP = sizeof(prefix) + WORD_MAX };
	_cleanup_free_ char *piece = xmalloc(OVERLAP + PIECE);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t kept = 0;

	for (size_t done = 0; fd >= 0 && done < KERNEL_MAX; done += PIECE) {
		ssize_t n = read_full(fd, piece + kept, PIECE);
		size_t size = kept + (size_t)MAX(n, 0);
		const char *at = memmem(piece, size, prefix, strlen(prefix));

		if (n <= 0)
			break;
		/* One that the piece's end may have cut off is found again in the next. */
		if (at && (n < PIECE || piece + size - at >= OVERLAP))
			return word_after(at, (size_t)(piece + size - at), prefix);
		kept = MIN(size, (size_t)OVERLAP);
		memmove(piece, piece + size - kept, kept);
	}
	return xstrdup("");
}

char *host_info_architecture(void)
{
	_cleanup_platform_ struct platform platform = {};

	if (platform_parse(NULL, &platform, NULL) < 0)
		return xstrdup("");
	return TAKE_PTR(platform.architecture);
}

uint64_t host_info_memory(void)
{
	struct sysinfo info;

	return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : 0;
}
