/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities by name and as sets. */
#include "guest/capability.h"

#include "base/capability.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int capability_from_name(const char *name)
{
	if (strncmp(name, "CAP_", 4) != 0)
		return -EINVAL;
	for (int i = 0; i < CAPABILITY_COUNT; i++)
		if (strcmp(name + 4, capability_names[i]) == 0)
			return i;
	return -EINVAL;
}

int capability_last(int proc_fd)
{
	_cleanup_close_ int fd = openat(proc_fd, "sys/kernel/cap_last_cap", O_RDONLY | O_CLOEXEC);
	char text[16];
	ssize_t n;
	int last = 0;

	if (fd < 0)
		return CAP_LAST_CAP;
	n = read(fd, text, sizeof(text));
	for (ssize_t i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		last = last * 10 + (text[i] - '0');
	return last > 0 && last < 64 ? last : CAP_LAST_CAP;
}

int capability_bound(uint64_t keep, int last, struct cay_error *err)
{
	for (int i = 0; i <= last; i++)
		if (!(keep & (UINT64_C(1) << i)) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
			return cay_error_errno(err, errno, "dropping capability %d", i);
	return 0;
}

int capability_apply(uint64_t effective, uint64_t permitted, uint64_t inheritable, uint64_t ambient,
		     struct cay_error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(effective >> (32 * i));
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return cay_error_errno(err, errno, "setting capabilities");
	ambient &= permitted & inheritable;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return cay_error_errno(err, errno, "clearing ambient capabilities");
	for (int i = 0; i < 64; i++)
		if ((ambient & (UINT64_C(1) << i)) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) < 0)
			return cay_error_errno(err, errno, "raising ambient capability %d", i);
	return 0;
}
