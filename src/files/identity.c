/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identities of identity.h. Ids of the file system and capabilities are a
 * thread's own in Linux; the system calls are made directly, as the C
 * library's forms change all threads. With a uid other than root's the kernel
 * takes the capabilities over files from the effective set (capabilities(7)),
 * and gives them back with root's.
 */
#include "files/identity.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITY(name) (1U << CAP_##name)

static const unsigned int all = CAPABILITY(CHOWN) | CAPABILITY(DAC_OVERRIDE) | CAPABILITY(FOWNER) |
	CAPABILITY(FSETID) | CAPABILITY(SETUID) | CAPABILITY(SETGID) | CAPABILITY(SETFCAP);

unsigned int identity_capabilities(void)
{
	return all;
}

static int set_effective(unsigned int effective)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct data[2] = {
		{ .effective = effective, .permitted = all },
	};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int identity_init(struct identity *identity, bool privileged)
{
	if (unshare(CLONE_FS) < 0)
		return -errno;
	*identity = (struct identity){ .privileged = privileged };
	(void)umask(0);
	return 0;
}

static void set_mask(struct identity *identity, mode_t mask)
{
	if (identity->mask != mask)
		(void)umask(mask);
	identity->mask = mask;
}

int identity_assume(struct identity *identity, uid_t uid, gid_t gid, mode_t mask)
{
	if (uid == (uid_t)-1 || gid == (gid_t)-1)
		return -EINVAL;
	set_mask(identity, mask & 0777);
	if (!identity->privileged)
		return 0;
	if (identity->gid != gid) {
		(void)setfsgid(gid);
		/* It tells what was before; a second call tells whether the first one worked. */
		if (setfsgid((gid_t)-1) != (int)gid)
			return -EPERM;
		identity->gid = gid;
	}
	if (identity->uid != uid) {
		(void)setfsuid(uid);
		if (setfsuid((uid_t)-1) != (int)uid)
			return -EPERM;
		identity->uid = uid;
		if (uid != 0)
			return set_effective(all & ~CAPABILITY(FSETID));
	}
	return 0;
}

void identity_kill_set_ids(struct identity *identity, bool on)
{
	if (!identity->privileged || identity->killing == on)
		return;
	/* It takes away, or gives back what the permitted set has: neither can fail. */
	(void)set_effective(on ? all & ~CAPABILITY(FSETID) : all);
	identity->killing = on;
}

void identity_restore(struct identity *identity)
{
	set_mask(identity, 0);
	if (identity->uid != 0 || identity->gid != 0) {
		(void)setfsuid(0);
		(void)setfsgid(0);
		identity->uid = identity->gid = 0;
		(void)set_effective(all);
	}
	identity_kill_set_ids(identity, false);
}
