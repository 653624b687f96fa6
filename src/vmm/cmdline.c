/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's arguments and the kernel's command line. */
#include "vmm/cmdline.h"

#include "base/alloc.h"

#include <errno.h>
#include <inttypes.h>

/* The slot of each device; cmdline.h tells the whole plan. */
enum slot { SLOT_BALLOON = 0, SLOT_FIRST_DISK = 6, SLOT_SERIAL = 7 };
static const int nic_slots[VMM_NICS_MAX] = { 2, 1, 3, 4 };
/* Of the slots that several have a use for, the shares' with so many disks beyond the first two. */
static const int shares_slots[] = { 4, 3, 1 };

enum { SECTOR = 512, FIXED_DISKS = 2, SHARES_QUEUE_SIZE = 1024 };

static_assert(ARRAY_SIZE(shares_slots) == VMM_DISKS_MAX - FIXED_DISKS + 1,
	      "a slot for the shares beside every number of disks");

int cmdline_shares_slot(size_t disk_count)
{
	assert(disk_count <= VMM_DISKS_MAX);
	return shares_slots[disk_count > FIXED_DISKS ? disk_count - FIXED_DISKS : 0];
}

static bool slot_is_taken(int slot, size_t disk_count, bool shares)
{
	return (size_t)(SLOT_FIRST_DISK - slot) < disk_count ||
		(shares && slot == cmdline_shares_slot(disk_count));
}

size_t cmdline_nics_max(size_t disk_count, bool shares)
{
	size_t count = 0;

	for (size_t i = 0; i < VMM_NICS_MAX; i++)
		if (!slot_is_taken(nic_slots[i], disk_count, shares))
			count++;
	return count;
}

static int nic_slot(const struct cmdline *cmdline, size_t index)
{
	size_t i = 0;

	while (slot_is_taken(nic_slots[i], cmdline->drive_count, cmdline->shares_fd > 0) ||
	       index-- > 0)
		i++; /* there are no more cards than slots */
	return nic_slots[i];
}

static const char *const accel_names[] = { [VMM_TCG] = "tcg", [VMM_KVM] = "kvm" };

const char *vmm_accel_name(enum vmm_accel accel)
{
	return accel_names[accel];
}

int vmm_accel_parse(const char *text, enum vmm_accel *ret_accel)
{
	for (size_t i = 0; i < ARRAY_SIZE(accel_names); i++)
		if (strcmp(text, accel_names[i]) == 0) {
			*ret_accel = (enum vmm_accel)i;
			return 0;
		}
	return -EINVAL;
}

char *cmdline_kernel(enum vmm_accel accel, uint32_t tsc_khz, bool stock_kernel)
{
	/* reboot=t: a triple fault ends QEMU (-no-reboot) without touching missing hardware. */
	static const char common[] = "reboot=t panic=-1 quiet console=hvc0";

	if (accel == VMM_KVM)
		return xstrdup(common); /* kvmclock and the TSC deadline timer need no help */
	if (tsc_khz == 0)
		return xasprintf("%s no_timer_check noreplace-smp", common);
	/*
	 * Calibration against emulated timers hangs now and then and costs half the boot:
	 * everything it would find is told. lapic_khz is what QEMU's APIC counts at; a kernel
	 * without cay's patches does not know it.
	 */
	return xasprintf("%s no_timer_check tsc_early_khz=%" PRIu32 " lpj=10000000 tsc=reliable"
			 " noreplace-smp%s",
			 common, tsc_khz, stock_kernel ? "" : " lapic_khz=1000000");
}

/* Text that holds only what the format gives it: names and numbers of our own, no commas. */
static void add(struct strv *argv, const char *option, const char *value)
{
	strv_add(argv, option);
	strv_add(argv, value);
}

static void add_machine(const struct cmdline *cmdline, struct strv *argv)
{
	const bool tcg = cmdline->accel == VMM_TCG;
	const bool calibrates = tcg && (cmdline->tsc_khz == 0 || cmdline->stock_kernel);
	const uint64_t mib = (cmdline->memory_bytes + MIB - 1) / MIB;

	if (cmdline->memory_fd > 0) {
		strv_add(argv, "-object");
		strv_addf(argv,
			  "memory-backend-file,id=ram,size=%" PRIu64
			  "M,mem-path=/cay-private/%d,share=%s",
			  mib, cmdline->memory_fd, cmdline->memory_shared ? "on" : "off");
	} else if (cmdline->shares_fd > 0) {
		strv_add(argv, "-object");
		strv_addf(argv, "memory-backend-memfd,id=ram,size=%" PRIu64 "M,share=on", mib);
	}
	strv_add(argv, "-M");
	strv_addf(argv, "microvm,accel=%s,acpi=off,isa-serial=off,rtc=on,%s%s",
		  vmm_accel_name(cmdline->accel), calibrates ? "pit=on,pic=on" : "pit=off,pic=off",
		  cmdline->memory_fd > 0 || cmdline->shares_fd > 0 ? ",memory-backend=ram" : "");
	/*
	 * TCG runs "rep movsb" byte by byte: without ERMS and FSRM the guest does not use it. The
	 * other three make page faults and context switches dearer and signal frames larger than
	 * old programs reserve, and protect nothing that the VM does not.
	 */
	add(argv, "-cpu", tcg ? "max,-erms,-fsrm,-mpx,-pku,-smap" : "host");
	strv_add(argv, "-smp");
	strv_addf(argv, "%u", cmdline->vcpus);
	strv_add(argv, "-m");
	strv_addf(argv, "%" PRIu64 "M", mib);
	strv_add(argv, "-nodefaults");
	strv_add(argv, "-no-user-config");
	strv_add(argv, "-no-reboot");
	add(argv, "-display", "none");
	add(argv, "-global", "virtio-mmio.force-legacy=false");
	if (cmdline->data_directory)
		add(argv, "-L", cmdline->data_directory);
}

static void add_channel(const struct cmdline *cmdline, struct strv *argv)
{
	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=console,fd=%d", cmdline->console_fd);
	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=channel,fd=%d", cmdline->channel_fd);
	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=qmp,fd=%d", cmdline->qmp_fd);
	add(argv, "-mon", "chardev=qmp,mode=control");
	strv_add(argv, "-device");
	strv_addf(argv, "virtio-serial-device,id=serial,max_ports=2,bus=virtio-mmio-bus.%d",
		  SLOT_SERIAL);
	add(argv, "-device", "virtconsole,bus=serial.0,nr=0,chardev=console");
	add(argv, "-device", "virtserialport,bus=serial.0,nr=1,chardev=channel,name=cay.channel");
}

/*
 * The node on top is "raw" whatever is below: blockdev-reopen can give it another child while the
 * guest runs, but makes no other driver of it.
 */
static char *describe_drive(const struct cmdline_drive *drive, size_t index)
{
	struct buf text = { 0 };

	buf_printf(&text, "node-name=disk%zu,driver=raw,read-only=%s%s,", index,
		   drive->read_only ? "on" : "off",
		   drive->read_only ? "" : ",discard=unmap,detect-zeroes=unmap");
	if (drive->empty)
		buf_printf(&text, "file.driver=null-co,file.read-zeroes=on,file.size=%" PRIu64,
			   VMM_DISK_SIZE);
	else if (drive->vmdk)
		buf_printf(&text,
			   "file.driver=vmdk,file.file.driver=file,"
			   "file.file.filename=/dev/fdset/%u,file.file.aio=threads",
			   drive->set);
	else
		buf_printf(&text, "file.driver=file,file.filename=/dev/fdset/%u,file.aio=%s",
			   drive->set, drive->io_uring ? "io_uring" : "threads");
	return buf_steal(&text);
}

static void add_drives(const struct cmdline *cmdline, struct strv *argv)
{
	for (size_t i = 0; i < cmdline->fd_count; i++) {
		strv_add(argv, "-add-fd");
		strv_addf(argv, "fd=%d,set=%u", cmdline->fds[i].fd, cmdline->fds[i].set);
	}
	for (size_t i = 0; i < cmdline->drive_count; i++) {
		const struct cmdline_drive *drive = &cmdline->drives[i];

		strv_add(argv, "-blockdev");
		strv_take(argv, describe_drive(drive, i));
		strv_add(argv, "-device");
		/* A full disk is the guest's error to see; QEMU would else stop the VM. */
		strv_addf(argv,
			  "virtio-blk-device,drive=disk%zu,bus=virtio-mmio-bus.%d,"
			  "werror=report,rerror=report",
			  i, SLOT_FIRST_DISK - (int)i);
	}
}

static void add_shares(const struct cmdline *cmdline, struct strv *argv)
{
	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=shares,fd=%d", cmdline->shares_fd);
	strv_add(argv, "-device");
	strv_addf(argv,
		  "vhost-user-fs-device,chardev=shares,tag=cay,num-request-queues=1,"
		  "queue-size=%d,bus=virtio-mmio-bus.%d",
		  SHARES_QUEUE_SIZE, cmdline_shares_slot(cmdline->drive_count));
}

/* "name=3:4:5" */
static void put_fds(struct buf *out, const char *name, const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%d", i == 0 ? name : ":", fds[i]);
}

static void add_nic(const struct cmdline_nic *nic, size_t index, int slot, struct strv *argv)
{
	struct buf netdev = { 0 }, device = { 0 };
	const uint8_t *mac = nic->mac;

	if (nic->stream) {
		buf_printf(&netdev, "stream,id=net%zu,addr.type=fd,addr.str=%d", index,
			   nic->fds[0]);
	} else {
		buf_printf(&netdev, "tap,id=net%zu,", index);
		put_fds(&netdev, "fds=", nic->fds, nic->queues);
		if (nic->vhost) {
			buf_puts(&netdev, ",vhost=on,");
			put_fds(&netdev, "vhostfds=", nic->vhost_fds, nic->queues);
		}
	}
	/*
	 * The bridge sends a card what is its own: a filter in QEMU would only be work, and each
	 * change of it a command that the guest waits for, several at the start of IPv6.
	 */
	buf_printf(&device,
		   "virtio-net-device,netdev=net%zu,mac=%02x:%02x:%02x:%02x:%02x:%02x,"
		   "bus=virtio-mmio-bus.%d,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off,"
		   "guest_announce=off",
		   index, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], slot);
	if (nic->queues > 1)
		buf_puts(&device, ",mq=on");
	if (nic->mtu)
		buf_printf(&device, ",host_mtu=%u", nic->mtu);
	strv_add(argv, "-netdev");
	strv_take(argv, buf_steal(&netdev));
	strv_add(argv, "-device");
	strv_take(argv, buf_steal(&device));
}

static void add_boot(const struct cmdline *cmdline, struct strv *argv)
{
	if (cmdline->from_template) {
		add(argv, "-incoming", "defer");
		return;
	}
	add(argv, "-kernel", cmdline->kernel);
	if (cmdline->initramfs)
		add(argv, "-initrd", cmdline->initramfs);
	strv_add(argv, "-append");
	strv_take(argv, cmdline_kernel(cmdline->accel, cmdline->tsc_khz, cmdline->stock_kernel));
}

void cmdline_build(const struct cmdline *cmdline, struct strv *argv)
{
	assert(cmdline->drive_count <= VMM_DISKS_MAX);
	assert(cmdline->nic_count <=
	       cmdline_nics_max(cmdline->drive_count, cmdline->shares_fd > 0));
	strv_add(argv, cmdline->qemu);
	strv_add(argv, "-name");
	strv_addf(argv, "%s", cmdline->name);
	add_machine(cmdline, argv);
	add(argv, "-sandbox",
	    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_boot(cmdline, argv);
	add_channel(cmdline, argv);
	add_drives(cmdline, argv);
	if (cmdline->shares_fd > 0)
		add_shares(cmdline, argv);
	for (size_t i = 0; i < cmdline->nic_count; i++)
		add_nic(&cmdline->nics[i], i, nic_slot(cmdline, i), argv);
	strv_add(argv, "-device");
	strv_addf(argv, "virtio-balloon-device,free-page-reporting=on,bus=virtio-mmio-bus.%d",
		  SLOT_BALLOON);
}

void cmdline_vmdk(const uint64_t *sizes, size_t count, unsigned int first_set, struct buf *out)
{
	uint64_t rest = VMM_DISK_SIZE;

	buf_puts(out,
		 "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
		 "createType=\"twoGbMaxExtentFlat\"\n\n# Extent description\n");
	for (size_t i = 0; i < count; i++) {
		const uint64_t size = i + 1 == count && rest > sizes[i] ? rest : sizes[i];

		buf_printf(out, "RW %" PRIu64 " FLAT \"/dev/fdset/%zu\" 0\n", size / SECTOR,
			   first_set + i);
		rest -= MIN(rest, size);
	}
}
