/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between KVM and TCG. */
#include "vmm/accel.h"

#include "vmm/cache.h"
#include "vmm/kvm-probe.h"
#include "vmm/vm.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <poll.h>

/* What vminitd echoes at the start of a session (its form is told in rpc/session.h). */
static const char greeting[] = "CAY 0000000000000000\n";

enum { PROBE_MEMORY_MIB = 128, OUTPUT_MAX = 4096 };

/* Appends what is there; false at the end of it. */
static bool read_some(int fd, struct buf *out)
{
	ssize_t n = read(fd, buf_reserve(out, 512), 512);

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	if (out->length < OUTPUT_MAX)
		out->length += (size_t)n;
	out->data[out->length] = '\0';
	return true;
}

/* Waits until the guest has answered or cannot any more. */
static int await_echo(struct vm *vm, struct cay_error *err)
{
	const int64_t deadline = clock_monotonic_ms() + ACCEL_PROBE_MS;
	_cleanup_buf_ struct buf channel = { 0 }, output = { 0 };
	struct pollfd fds[] = {
		{ .fd = vm->channel_fd, .events = POLLIN },
		{ .fd = vm->output_fd, .events = POLLIN },
		{ .fd = vm->pidfd, .events = POLLIN },
	};

	for (;;) {
		const int64_t left = deadline - clock_monotonic_ms();

		if (left <= 0)
			return cay_error_set(err, CAY_UNSUPPORTED, ETIMEDOUT,
					     "a guest under KVM does not come up in %d ms",
					     ACCEL_PROBE_MS);
		if (poll(fds, ARRAY_SIZE(fds), (int)left) < 0 && errno != EINTR)
			return cay_error_errno(err, errno, "waiting for a guest under KVM");
		if (fds[0].revents && !read_some(vm->channel_fd, &channel))
			fds[0].fd = -1;
		if (strstr(buf_text(&channel), greeting))
			return 0;
		/* QEMU tells an unrunnable instruction by its output and then merely stops. */
		if (fds[1].revents && !read_some(vm->output_fd, &output))
			fds[1].fd = -1;
		if (strstr(buf_text(&output), "KVM internal error"))
			return cay_error_set(err, CAY_UNSUPPORTED, ENODEV,
					     "KVM fails in the middle of a guest's boot");
		if (fds[2].revents)
			return cay_error_set(
				err, CAY_UNSUPPORTED, ENODEV, "QEMU with KVM ends by itself: %.*s",
				(int)strcspn(buf_text(&output), "\n"), buf_text(&output));
	}
}

/* The decisive trial: a whole guest. */
static int try_guest(const struct vmm_accel_options *options, struct cay_error *err)
{
	_cleanup_free_ char *id = xasprintf("kvm-probe-%d", (int)getpid());
	const struct vm_machine machine = {
		.id = id,
		.qemu = options->qemu,
		.kernel = options->kernel,
		.initramfs = options->initramfs,
		.jail_directory = options->jail_directory,
		.accel = VMM_KVM,
		.vcpus = 1,
		.memory_bytes = PROBE_MEMORY_MIB * MIB,
		.uid = options->uid,
	};
	struct vm vm;
	int r = vm_start(&machine, &vm, err);

	if (r < 0)
		return r;
	(void)fd_set_nonblocking(vm.channel_fd, true);
	(void)fd_set_nonblocking(vm.output_fd, true);
	r = write_full(vm.channel_fd, greeting, sizeof(greeting) - 1);
	if (r < 0)
		(void)cay_error_errno(err, r, "speaking to a guest under KVM");
	else
		r = await_echo(&vm, err);
	vm_done(&vm);
	return r;
}

static void make_key(const struct vmm_accel_options *options, struct buf *key)
{
	_cleanup_free_ char *qemu = NULL;

	cache_host_key(key);
	if (vm_find_qemu(options->qemu, &qemu, NULL) == 0)
		cache_file_key(key, qemu);
	cache_file_key(key, options->kernel);
	cache_file_key(key, options->initramfs);
}

void vmm_accel_detect(const struct vmm_accel_options *options, enum vmm_accel *ret_accel,
		      char **ret_reason)
{
	static const char works[] = "KVM runs guests";
	_cleanup_buf_ struct buf key = { 0 };
	struct cay_error err = { 0 };
	char *known;

	*ret_accel = VMM_TCG;
	if (access("/dev/kvm", R_OK | W_OK) < 0) { /* can change at any time, and costs nothing */
		*ret_reason = xasprintf("/dev/kvm: %s", errno_text(errno));
		return;
	}
	make_key(options, &key);
	known = cache_read(options->cache_path, buf_text(&key));
	if (known) {
		*ret_accel = strcmp(known, works) == 0 ? VMM_KVM : VMM_TCG;
		*ret_reason = known;
		return;
	}
	if (kvm_probe(&err) == 0 && try_guest(options, &err) == 0) {
		*ret_accel = VMM_KVM;
		*ret_reason = xstrdup(works);
	} else {
		*ret_reason = xstrdup(err.message);
	}
	/* What failed for another reason than KVM itself (no kernel, no QEMU) may work the next
	 * time. */
	if (*ret_accel == VMM_KVM || err.code == CAY_UNSUPPORTED)
		cache_write(options->cache_path, buf_text(&key), *ret_reason);
}
