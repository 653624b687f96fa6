/* SPDX-License-Identifier: Apache-2.0 */
/* QEMU's arguments, to the letter: the machine's shape must not change by accident. */
#include "test.h"

#include "vmm/cmdline.h"

#include "base/alloc.h"

static struct cmdline example(void)
{
	static const struct cmdline_fd fds[] = { { 6, 3 }, { 7, 4 }, { 8, 5 }, { 9, 6 } };

	return (struct cmdline){
		.qemu = "/usr/bin/qemu",
		.name = "abc",
		.data_directory = "/usr/share/qemu",
		.kernel = "/k",
		.initramfs = "/i",
		.accel = VMM_TCG,
		.tsc_khz = 2100000,
		.vcpus = 1,
		.memory_bytes = 256 * MIB + 1,
		.channel_fd = 3,
		.console_fd = 4,
		.qmp_fd = 5,
		.fds = fds,
		.fd_count = ARRAY_SIZE(fds),
		.drives = { { .set = 5, .vmdk = true, .read_only = true, .io_uring = true },
			    { .set = 6, .io_uring = true } },
		.drive_count = 2,
	};
}

static char *join(const struct cmdline *cmdline)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct buf text = { 0 };

	cmdline_build(cmdline, &argv);
	for (size_t i = 0; i < argv.count; i++)
		buf_printf(&text, "%s\n", argv.items[i]);
	return buf_steal(&text);
}

static void test_tcg(void **state)
{
	const struct cmdline cmdline = example();
	_cleanup_free_ char *text = join(&cmdline);

	assert_string_equal(
		text,
		"/usr/bin/qemu\n-name\nabc\n"
		"-M\nmicrovm,accel=tcg,acpi=off,isa-serial=off,rtc=on,pit=off,pic=off\n"
		"-cpu\nmax,-erms,-fsrm,-mpx,-pku,-smap\n-smp\n1\n-m\n257M\n-nodefaults\n-no-user-config\n"
		"-no-reboot\n-display\nnone\n-global\nvirtio-mmio.force-legacy=false\n"
		"-L\n/usr/share/qemu\n"
		"-sandbox\non,obsolete=deny,elevateprivileges=deny,spawn=deny,"
		"resourcecontrol=deny\n"
		"-kernel\n/k\n-initrd\n/i\n-append\n"
		"reboot=t panic=-1 quiet console=hvc0 no_timer_check tsc_early_khz=2100000 "
		"lpj=10000000 tsc=reliable noreplace-smp lapic_khz=1000000\n"
		"-chardev\nsocket,id=console,fd=4\n-chardev\nsocket,id=channel,fd=3\n"
		"-chardev\nsocket,id=qmp,fd=5\n-mon\nchardev=qmp,mode=control\n"
		"-device\nvirtio-serial-device,id=serial,max_ports=2,bus=virtio-mmio-bus.7\n"
		"-device\nvirtconsole,bus=serial.0,nr=0,chardev=console\n"
		"-device\nvirtserialport,bus=serial.0,nr=1,chardev=channel,name=cay.channel\n"
		"-add-fd\nfd=6,set=3\n-add-fd\nfd=7,set=4\n-add-fd\nfd=8,set=5\n"
		"-add-fd\nfd=9,set=6\n"
		"-blockdev\nnode-name=disk0,driver=raw,read-only=on,file.driver=vmdk,"
		"file.file.driver=file,file.file.filename=/dev/fdset/5,file.file.aio=threads\n"
		"-device\nvirtio-blk-device,drive=disk0,bus=virtio-mmio-bus.6,"
		"werror=report,rerror=report\n"
		"-blockdev\nnode-name=disk1,driver=raw,read-only=off,discard=unmap,"
		"detect-zeroes=unmap,file.driver=file,file.filename=/dev/fdset/6,"
		"file.aio=io_uring\n"
		"-device\nvirtio-blk-device,drive=disk1,bus=virtio-mmio-bus.5,"
		"werror=report,rerror=report\n"
		"-device\nvirtio-balloon-device,free-page-reporting=on,bus=virtio-mmio-bus.0\n");
}

/* Their server needs memory that it can map, and the device a slot. */
static void test_shares(void **state)
{
	struct cmdline cmdline = example();
	_cleanup_free_ char *without = join(&cmdline), *with = NULL;

	cmdline.shares_fd = 9;
	with = join(&cmdline);
	assert_null(strstr(without, "memory-backend"));
	assert_null(strstr(without, "vhost-user"));
	assert_non_null(strstr(with,
			       "\n-object\nmemory-backend-memfd,id=ram,size=257M,share=on\n"
			       "-M\nmicrovm,accel=tcg,acpi=off,isa-serial=off,rtc=on,"
			       "pit=off,pic=off,memory-backend=ram\n"));
	assert_non_null(strstr(with,
			       "\n-chardev\nsocket,id=shares,fd=9\n-device\n"
			       "vhost-user-fs-device,chardev=shares,tag=cay,num-request-queues=1,"
			       "queue-size=1024,bus=virtio-mmio-bus.4\n"));
}

static void test_kvm(void **state)
{
	struct cmdline cmdline = example();
	_cleanup_free_ char *text = NULL, *kernel = cmdline_kernel(VMM_KVM, 2100000, false);

	cmdline.accel = VMM_KVM;
	text = join(&cmdline);
	assert_non_null(strstr(text, "\nmicrovm,accel=kvm,"));
	assert_non_null(strstr(text, "\n-cpu\nhost\n"));
	/* kvmclock tells the guest the time: nothing of the host's TSC is passed on. */
	assert_string_equal(kernel, "reboot=t panic=-1 quiet console=hvc0");
}

static void test_unknown_tsc(void **state)
{
	struct cmdline cmdline = example();
	_cleanup_free_ char *text = NULL;

	cmdline.tsc_khz = 0;
	text = join(&cmdline);
	/* Calibration needs the timers it calibrates against. */
	assert_non_null(strstr(text, "pit=on,pic=on"));
	assert_null(strstr(text, "lapic_khz"));
	assert_null(strstr(text, "tsc_early_khz"));
}

static void test_stock_kernel(void **state)
{
	struct cmdline cmdline = example();
	_cleanup_free_ char *text = NULL;

	cmdline.stock_kernel = true;
	text = join(&cmdline);
	assert_non_null(strstr(text, "pit=on,pic=on"));
	assert_null(strstr(text, "lapic_khz"));
	assert_non_null(strstr(text, "tsc_early_khz=2100000"));
}

/* The cards' slots are the machine's shape too. */
static void test_nics(void **state)
{
	struct cmdline cmdline = example();
	_cleanup_free_ char *text = NULL;

	cmdline.nic_count = 4;
	cmdline.nics[0] = (struct cmdline_nic){
		.fds = { 10, 11 },
		.vhost_fds = { 12, 13 },
		.queues = 2,
		.vhost = true,
		.mac = { 2, 0x42, 0xac, 0x11, 0, 2 },
		.mtu = 9000,
	};
	cmdline.nics[1] = (struct cmdline_nic){ .fds = { 14 }, .queues = 1, .mac = { 2, 1 } };
	cmdline.nics[2] = (struct cmdline_nic){ .stream = true, .fds = { 15 }, .queues = 1 };
	cmdline.nics[3] = cmdline.nics[1];
	text = join(&cmdline);
	assert_non_null(strstr(text,
			       "-netdev\ntap,id=net0,fds=10:11,vhost=on,vhostfds=12:13\n"
			       "-device\nvirtio-net-device,netdev=net0,mac=02:42:ac:11:00:02,"
			       "bus=virtio-mmio-bus.2,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off,"
			       "guest_announce=off,mq=on,host_mtu=9000\n"
			       "-netdev\ntap,id=net1,fds=14\n"
			       "-device\nvirtio-net-device,netdev=net1,mac=02:01:00:00:00:00,"
			       "bus=virtio-mmio-bus.1,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off,"
			       "guest_announce=off\n"
			       "-netdev\nstream,id=net2,addr.type=fd,addr.str=15\n"
			       "-device\nvirtio-net-device,netdev=net2,mac=00:00:00:00:00:00,"
			       "bus=virtio-mmio-bus.3,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off,"
			       "guest_announce=off\n"));
	assert_non_null(strstr(
		text,
		"netdev=net3,mac=02:01:00:00:00:00,bus=virtio-mmio-bus.4,ctrl_rx=off,ctrl_rx_extra=off,ctrl_vlan=off,"
		"guest_announce=off\n"));
}

/* Every device has a slot of its own, whatever there is. */
static void test_slots(void **state)
{
	static const struct {
		size_t disks, nics;
		bool shares;
		const char *cards;
	} machines[] = {
		{ 0, 4, false, "2134" }, { 2, 4, false, "2134" }, { 3, 3, false, "213" },
		{ 4, 2, false, "21" },   { 2, 3, true, "213" },   { 3, 2, true, "21" },
		{ 4, 1, true, "2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(machines); i++) {
		struct cmdline cmdline = example();
		_cleanup_free_ char *text = NULL;
		unsigned int used = 0;
		const char *at;
		size_t card = 0;

		cmdline.drive_count = machines[i].disks;
		cmdline.shares_fd = machines[i].shares ? 9 : 0;
		cmdline.nic_count = cmdline_nics_max(machines[i].disks, machines[i].shares);
		assert_int_equal(cmdline.nic_count, machines[i].nics);
		for (size_t j = 0; j < cmdline.nic_count; j++)
			cmdline.nics[j] = (struct cmdline_nic){ .fds = { 14 }, .queues = 1 };
		text = join(&cmdline);
		for (at = text; (at = strstr(at, "virtio-mmio-bus.")); at++) {
			const unsigned int bit = 1U << (at[strlen("virtio-mmio-bus.")] - '0');

			assert_int_equal(used & bit, 0);
			used |= bit;
		}
		for (at = text; (at = strstr(at, "virtio-net-device")); at++)
			assert_int_equal(strstr(at, "bus.")[strlen("bus.")],
					 machines[i].cards[card++]);
	}
}

/* A machine to be frozen has places for its disks. */
static void test_to_freeze(void **state)
{
	struct cmdline cmdline = example();
	_cleanup_free_ char *text = NULL;

	cmdline.memory_fd = 9;
	cmdline.memory_shared = true;
	cmdline.drives[0] = (struct cmdline_drive){ .empty = true, .read_only = true };
	cmdline.nic_count = 1;
	cmdline.nics[0] = (struct cmdline_nic){ .fds = { 14 }, .queues = 1 };
	text = join(&cmdline);
	assert_non_null(strstr(text,
			       "\n-object\nmemory-backend-file,id=ram,size=257M,"
			       "mem-path=/cay-private/9,share=on\n"
			       "-M\nmicrovm,accel=tcg,acpi=off,isa-serial=off,rtc=on,"
			       "pit=off,pic=off,memory-backend=ram\n"));
	assert_non_null(
		strstr(text,
		       "\n-blockdev\nnode-name=disk0,driver=raw,read-only=on,"
		       "file.driver=null-co,file.read-zeroes=on,file.size=1099511627776\n"));
}

/* A clone boots nothing; but for that and its memory it is the same machine. */
static void test_clone(void **state)
{
	struct cmdline cmdline = example();
	_cleanup_free_ char *text = NULL;

	cmdline.memory_fd = 9;
	cmdline.from_template = true;
	text = join(&cmdline);
	assert_non_null(strstr(text, "mem-path=/cay-private/9,share=off\n"));
	assert_non_null(strstr(text, "\n-incoming\ndefer\n"));
	assert_null(strstr(text, "-kernel"));
	assert_null(strstr(text, "-append"));
}

static void test_vmdk(void **state)
{
	const uint64_t sizes[] = { 4096, 1024 * 1024 };
	_cleanup_buf_ struct buf text = { 0 };

	cmdline_vmdk(sizes, ARRAY_SIZE(sizes), 3, &text);
	assert_string_equal(buf_text(&text),
			    "# Disk DescriptorFile\nversion=1\nCID=fffffffe\n"
			    "parentCID=ffffffff\ncreateType=\"twoGbMaxExtentFlat\"\n\n"
			    "# Extent description\n"
			    "RW 8 FLAT \"/dev/fdset/3\" 0\n"
			    "RW 2147483640 FLAT \"/dev/fdset/4\" 0\n");
}

static void test_names(void **state)
{
	enum vmm_accel accel = VMM_TCG;

	assert_int_equal(vmm_accel_parse("kvm", &accel), 0);
	assert_int_equal(accel, VMM_KVM);
	assert_string_equal(vmm_accel_name(VMM_TCG), "tcg");
	assert_true(vmm_accel_parse("hvf", &accel) < 0);
	assert_int_equal(accel, VMM_KVM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcg),         cmocka_unit_test(test_kvm),
		cmocka_unit_test(test_shares),      cmocka_unit_test(test_slots),
		cmocka_unit_test(test_unknown_tsc), cmocka_unit_test(test_stock_kernel),
		cmocka_unit_test(test_vmdk),        cmocka_unit_test(test_names),
		cmocka_unit_test(test_nics),        cmocka_unit_test(test_to_freeze),
		cmocka_unit_test(test_clone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
