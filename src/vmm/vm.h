/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One running QEMU: its disks opened, its jail built, its cgroup made. What
 * speaks with it (the channel, the console, QMP) gets descriptors from here
 * and belongs to others.
 */
#pragma once

#include "vmm/cgroup.h"
#include "vmm/cmdline.h"

#include "base/error.h"

#include <sys/types.h>

struct vm_extent {
	const char *path;
	uint64_t size; /* bytes, a multiple of 512 */
};

/* The guest sees a read-only disk as large as the others: zeros follow its extents. */
struct vm_disk {
	struct vm_extent *extents;
	size_t extent_count; /* 0: a placeholder without contents */
	bool read_only;      /* required where there are several extents */
};

/* A network card: the queues of a tap, or a stream socket with passt at its other end. */
struct vm_nic {
	bool stream;
	const int *fds; /* the caller's, who may close them once the VM was started */
	size_t fd_count;
	uint8_t mac[6];
	unsigned int mtu; /* 0: 1500 */
};

struct vm_machine {
	const char *id;   /* names the cgroup; letters, digits and '-' */
	const char *qemu; /* a path or a name in PATH; NULL: qemu-system-x86_64 */
	const char *kernel, *initramfs;
	const char *jail_directory; /* an existing directory for the jail to be mounted on */
	enum vmm_accel accel;
	uint32_t tsc_khz;
	bool stock_kernel; /* see cmdline.h */
	unsigned int vcpus;
	uint64_t memory_bytes;
	uid_t uid;
	struct vm_disk disks[VMM_DISKS_MAX]; /* /dev/vda first */
	size_t disk_count;
	struct vm_nic nics[VMM_NICS_MAX];
	size_t nic_count;
	/*
	 * The machine becomes a template: memory_fd is the file of its memory, opened for writing
	 * (memory_shared). Or it comes from one: memory_fd is that file, for reading only, and
	 * state_fd what the machine was frozen into. The caller's; 0: none. QEMU is started with
	 * the library `preload` (preload/) where there is a memory_fd or TCG emulates.
	 */
	int memory_fd, state_fd;
	bool memory_shared;
	const char *preload;
	/*
	 * With TCG: a finished file of translations.h for reading, and a file that a recording is
	 * written to. The caller's; 0: none.
	 */
	int translations_fd, recording_fd;
	int shares_fd; /* the shares' vhost-user server, the caller's; 0: no such device */
};

/* Descriptors are this process's ends of socket pairs (output: a pipe), CLOEXEC, blocking. */
struct vm {
	char *id;
	pid_t pid;
	int pidfd; /* readable when QEMU has ended */
	int channel_fd, console_fd, qmp_fd;
	enum vmm_accel accel;
	int shed_fd;      /* for vm_shed() */
	int state_number; /* of a clone: what QEMU knows state_fd by */
	int output_fd;    /* what QEMU itself prints, which is why it failed if it did */
};

/*
 * Starts QEMU and returns when it was executed; the guest boots from then on. Blocks for a few
 * milliseconds. A missing cgroup is logged and no failure.
 */
int vm_start(const struct vm_machine *machine, struct vm *ret_vm, struct cay_error *err);

/*
 * QEMU's argument list for a machine, `qemu` first, without what differs between machines that are
 * alike: its name, the cards' addresses, what the disks hold, the numbers of descriptors. Opens
 * nothing.
 */
void vm_arguments(const struct vm_machine *machine, const char *qemu, struct strv *argv);

/* What its cgroup allows it. */
struct cgroup_limits vm_limits(const struct vm_machine *machine);

/*
 * Has QEMU forget the code that TCG has translated, for a guest that does little: some 25 MB come
 * back, and what it runs next is translated anew. Returns at once; does nothing with KVM, or where
 * QEMU lacks what that takes.
 */
void vm_shed(struct vm *vm);

/* How many blocks of code QEMU had taken from translations, and translated itself. */
struct vm_counts {
	uint64_t taken, translated;
};
/* The answer to a vm_shed() of some time ago; false: there is none. Never blocks. */
bool vm_read_counts(const struct vm *vm, struct vm_counts *ret_counts);

/* Sends SIGKILL. */
void vm_kill(const struct vm *vm);

/* Reaps it: the wait status, or -EAGAIN while it runs. Call once after pidfd became readable. */
int vm_reap(const struct vm *vm, int *ret_status);

/* Kills and reaps what still runs (blocks until it is gone), removes the cgroup, closes all. */
void vm_done(struct vm *vm);
#define VM_NONE \
	((struct vm){ .pidfd = -1, \
		      .channel_fd = -1, \
		      .console_fd = -1, \
		      .qmp_fd = -1, \
		      .shed_fd = -1, \
		      .output_fd = -1 })

/* The absolute path of a QEMU given as in vm_machine.qemu; the caller frees. */
int vm_find_qemu(const char *qemu, char **ret_path, struct cay_error *err);
