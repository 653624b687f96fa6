/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a typed description of a machine to QEMU's argument list and the guest
 * kernel's command line. Nothing is opened or checked against the host here:
 * descriptors are numbers in QEMU's process and paths are as QEMU sees them.
 *
 * The machine is QEMU's "microvm" without ACPI, which has eight virtio-mmio
 * slots. Each has one purpose for ever, so that any sandbox of one shape is
 * the same machine:
 *
 *   slot 7  virtio-serial: port 0 is the console hvc0, port 1 "cay.channel"
 *   slot 6  disk 0, /dev/vda: the root
 *   slot 5  disk 1, /dev/vdb: the scratch
 *   slot 4  disk 2, /dev/vdc
 *   slot 3  disk 3, /dev/vdd
 *   slot 2  network card 0 (a sandbox without one leaves it empty)
 *   slot 1
 *   slot 0  balloon, which reports free pages
 *
 * The device of the host's shares (virtiofs, tag "cay") has the first of the
 * slots 4, 3 and 1 that no disk has. The cards after the first have what is
 * then left, in the order 1, 3, 4.
 *
 * The kernel finds the slots from the highest down, which is why disks count
 * downwards: /dev/vda is the disk that is found first. There is no device for
 * random numbers: the CPU's own RDRAND and what vminitd is told at its start
 * seed the guest, and the device would cost 15 ms of each emulated boot.
 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"

#include <stdbool.h>
#include <stdint.h>

enum vmm_accel { VMM_TCG, VMM_KVM };
const char *vmm_accel_name(enum vmm_accel accel); /* "tcg", "kvm" */
/* -EINVAL for another word. */
int vmm_accel_parse(const char *text, enum vmm_accel *ret_accel);

/*
 * Every disk's size: whichever disk a slot has, the machine looks the same, so that disks can be
 * exchanged under a guest that has booted before.
 */
#define VMM_DISK_SIZE (UINT64_C(1) << 40)

enum { VMM_DISKS_MAX = 4, VMM_EXTENTS_MAX = 130, VMM_NICS_MAX = 4, VMM_QUEUES_MAX = 8 };

/* How many network cards a machine has slots for beside its disks and shares, one at least. */
size_t cmdline_nics_max(size_t disk_count, bool shares);
/* The slot of the shares' device. */
int cmdline_shares_slot(size_t disk_count);

/* A descriptor for QEMU to open as "/dev/fdset/<set>". */
struct cmdline_fd {
	int fd;
	unsigned int set;
};

struct cmdline_drive {
	bool empty;       /* a placeholder, which reads as zeros: `read_only` is all it has */
	unsigned int set; /* the descriptor set of the disk, or of the VMDK descriptor */
	bool vmdk;        /* several extents, joined by a VMDK descriptor; always read-only */
	bool read_only;
	bool io_uring; /* else QEMU's threads. VMDK with io_uring hangs the guest */
};

/* A network card; its descriptors are a tap's queues, or one stream socket (passt). */
struct cmdline_nic {
	bool stream;
	int fds[VMM_QUEUES_MAX];
	int vhost_fds[VMM_QUEUES_MAX]; /* of taps, when `vhost` is set */
	size_t queues;
	bool vhost; /* the host's kernel serves the card */
	uint8_t mac[6];
	unsigned int mtu; /* 0: 1500 */
};

struct cmdline {
	const char *qemu;
	const char *name;           /* shown by ps; letters, digits and '-' */
	const char *data_directory; /* QEMU's firmware; NULL: where QEMU looks by itself */
	const char *kernel, *initramfs;
	enum vmm_accel accel;
	uint32_t tsc_khz;  /* TCG: 0 lets the kernel calibrate by the PIT, which fails at times */
	bool stock_kernel; /* it lacks lapic_khz= and calibrates its APIC timer against the PIT */
	unsigned int vcpus;
	uint64_t memory_bytes;
	int memory_fd;      /* of a file that is the guest's memory (preload/memory.c); 0: none */
	bool memory_shared; /* what the guest writes goes there; else it is copied on write */
	bool from_template; /* waits for a template's state (-incoming) and boots nothing */
	int channel_fd, console_fd, qmp_fd;
	/*
	 * The vhost-user socket of the shares' device, whose server maps the guest's memory; 0: no
	 * such device.
	 */
	int shares_fd;
	const struct cmdline_fd *fds;
	size_t fd_count;
	struct cmdline_drive drives[VMM_DISKS_MAX];
	size_t drive_count;
	struct cmdline_nic nics[VMM_NICS_MAX];
	size_t nic_count;
};

/* Adds the whole argument list, QEMU's name first, to `argv`. */
void cmdline_build(const struct cmdline *cmdline, struct strv *argv);

/*
 * The kernel's command line; the caller frees. It says how the machine is, never which container
 * will run in it.
 */
char *cmdline_kernel(enum vmm_accel accel, uint32_t tsc_khz, bool stock_kernel);
/*
 * A VMDK descriptor ("twoGbMaxExtentFlat", of VMware's "Virtual Disk Format 5.0") that joins the
 * descriptor sets first_set, first_set + 1, … of these sizes in bytes. Extents are declared RW:
 * QEMU skips RDONLY ones without a word; the drive itself is read-only. The last one is declared to
 * reach up to VMM_DISK_SIZE: behind the end of its file QEMU reads zeros.
 */
void cmdline_vmdk(const uint64_t *sizes, size_t count, unsigned int first_set, struct buf *out);
