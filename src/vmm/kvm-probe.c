/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of one page of code, run through /dev/kvm itself (the kernel's
 * Documentation/virt/kvm/api.rst). Its memory, from address 0:
 *
 *   0x1000 code   0x2000-0x4fff page tables, the first 2 MiB mapped as they are   0x5000 data
 */
#include "vmm/kvm-probe.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	CODE = 0x1000,
	PML4 = 0x2000,
	PDPT = 0x3000,
	PD = 0x4000,
	DATA = 0x5000,
	MEMORY = 0x200000,
	PORT = 0xe9,
	CPUID_ENTRIES = 256,
	RUNS_MAX = 16,
};

/* Control registers of 64-bit mode with SSE (Intel SDM, volume 3, 2.5 and 9.8). */
enum { CR4_PAE_OSFXSR_OSXMM = 0x620, EFER_LME_LMA = 0x500 };
static const uint64_t cr0_paged = 0x80050033;

static const uint8_t code[] = {
	0x31, 0xc0, 0x0f, 0xa2,                         /* xor eax,eax; cpuid */
	0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32,       /* mov ecx,EFER; rdmsr */
	0x0f, 0x30,                                     /* wrmsr */
	0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8,             /* mov rax,cr3; mov cr3,rax */
	0x41, 0xbe, 0x00, 0x50, 0x00, 0x00,             /* mov r14d,DATA */
	0x41, 0x0f, 0x01, 0x3e,                         /* invlpg [r14] */
	0x0f, 0x57, 0xc0,                               /* xorps xmm0,xmm0 */
	0x41, 0x0f, 0x29, 0x46, 0x40,                   /* movaps [r14+0x40],xmm0 */
	0x31, 0xc0, 0x31, 0xd2, 0x31, 0xdb, 0x31, 0xc9, /* eax = edx = ebx = ecx = 0 */
	0xf0, 0x49, 0x0f, 0xc7, 0x4e, 0x20,             /* lock cmpxchg16b [r14+0x20] */
	0xb0, 'K',  0xe6, PORT,                         /* mov al,'K'; out PORT,al */
	0xf4,                                           /* hlt */
};

/* In the child: says why and ends. */
static _Noreturn void give_up(int fd, const char *reason)
{
	(void)!write(fd, reason, strlen(reason)); /* the parent also sees the exit code */
	_exit(1);
}

static void write_tables(uint8_t *memory)
{
	/* Present, writable; the last also one large page. */
	const uint64_t pml4 = PDPT | 3, pdpt = PD | 3, pd = 0x83;

	memcpy(memory + CODE, code, sizeof(code));
	memcpy(memory + PML4, &pml4, sizeof(pml4));
	memcpy(memory + PDPT, &pdpt, sizeof(pdpt));
	memcpy(memory + PD, &pd, sizeof(pd));
}

static void set_registers(int vcpu, int report)
{
	struct kvm_segment flat = {
		.limit = 0xffffffff,
		.selector = 8,
		.present = 1,
		.type = 11,
		.s = 1,
		.l = 1,
		.g = 1,
	};
	struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rsp = DATA };
	struct kvm_sregs sregs;

	if (ioctl(vcpu, KVM_GET_SREGS, &sregs) < 0)
		give_up(report, "its registers can't be read");
	sregs.cs = flat;
	flat.type = 3;
	flat.selector = 16;
	flat.l = 0;
	flat.db = 1;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat;
	sregs.cr0 = cr0_paged;
	sregs.cr3 = PML4;
	sregs.cr4 = CR4_PAE_OSFXSR_OSXMM;
	sregs.efer = EFER_LME_LMA;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu, KVM_SET_REGS, &regs) < 0)
		give_up(report, "its registers can't be set");
}

static void set_cpuid(int kvm, int vcpu, int report)
{
	struct kvm_cpuid2 *cpuid =
		xcalloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0 ||
	    ioctl(vcpu, KVM_SET_CPUID2, cpuid) < 0)
		give_up(report, "its features can't be set");
	free(cpuid);
}

static void run(int vcpu, struct kvm_run *state, int report)
{
	for (unsigned int i = 0; i < RUNS_MAX; i++) {
		if (ioctl(vcpu, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			give_up(report, "a virtual CPU does not run");
		}
		if (state->exit_reason == KVM_EXIT_INTR)
			continue;
		if (state->exit_reason == KVM_EXIT_INTERNAL_ERROR)
			give_up(report,
				"it can't run all of a guest's instructions (internal error)");
		if (state->exit_reason != KVM_EXIT_IO || state->io.port != PORT ||
		    ((uint8_t *)state)[state->io.data_offset] != 'K')
			give_up(report, "a guest's instructions go astray");
		return;
	}
	give_up(report, "a virtual CPU makes no headway");
}

/* The whole probe, in a process of its own: a hung ioctl is killed with it. */
static _Noreturn void child(int report)
{
	int kvm, vm, vcpu, size;
	uint8_t *memory;
	struct kvm_run *state;
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		give_up(report, errno == ENOENT ? "the host has none" : "it may not be opened");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm < 0 || memory == MAP_FAILED)
		give_up(report, "a VM can't be made");
	write_tables(memory);
	region.userspace_addr = (uintptr_t)memory;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		give_up(report, "a VM gets no memory");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || size < (int)sizeof(*state))
		give_up(report, "a virtual CPU can't be made");
	state = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (state == MAP_FAILED)
		give_up(report, "a virtual CPU can't be made");
	set_cpuid(kvm, vcpu, report);
	set_registers(vcpu, report);
	run(vcpu, state, report);
	_exit(0);
}

int kvm_probe(struct cay_error *err)
{
	_cleanup_close_ int reader = -1, writer = -1;
	struct pollfd wait = { .events = POLLIN };
	char reason[128] = "";
	int pipe_fds[2], status = -1;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "trying KVM");
	wait.fd = reader = pipe_fds[0];
	writer = pipe_fds[1];
	pid = fork();
	if (pid < 0)
		return cay_error_errno(err, errno, "trying KVM");
	if (pid == 0)
		child(writer);
	(void)close(TAKE_FD(writer));
	/* Readable with the reason, or at its end when all writers, which is the child, are gone.
	 */
	if (poll(&wait, 1, KVM_PROBE_MS) == 0) {
		(void)snprintf(reason, sizeof(reason), "a virtual CPU hangs");
		(void)kill(pid, SIGKILL);
	} else {
		n = read(reader, reason, sizeof(reason) - 1);
		reason[MAX(n, 0)] = '\0';
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return cay_error_set(err, CAY_UNSUPPORTED, ENODEV, "/dev/kvm: %s",
			     *reason ? reason : "trying it ended badly");
}
