/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts command line, disks, jail and cgroup together into a running QEMU, to
 * which all files are handed over as open descriptors.
 */
#include "vmm/vm.h"

#include "vmm/disk.h"
#include "vmm/jail.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	FD_CHANNEL, /* the order in which QEMU gets its descriptors */
	FD_CONSOLE,
	FD_QMP,
	FD_SHED,
	FD_DISKS,
	DISK_FDS_END = FD_DISKS + VMM_EXTENTS_MAX + 2 * VMM_DISKS_MAX,
	/* With vhost's; shares, memory, state, translations, recording. */
	FDS_MAX = DISK_FDS_END + 2 * VMM_NICS_MAX * VMM_QUEUES_MAX + 5,
};

/* Above the guest's own memory: QEMU's heap, its page cache, and under TCG the translated code. */
#define OVERHEAD_BYTES     (256 * MIB)
#define OVERHEAD_TCG_BYTES (1 * GIB)
/* QEMU's, beside one for each vCPU; and what cay-files, in the same cgroup, has of them. */
enum { THREADS_MAX = 256, FILES_THREADS_MAX = 160 };
/* Some 26 MB for a start of a container. */
#define RECORDING_BYTES_MAX (256 * MIB)

/* What is opened for QEMU, closed here once it has its copies. */
struct handover {
	int fds[FDS_MAX];
	size_t count;
};

static void handover_done(struct handover *handover)
{
	for (size_t i = 0; i < handover->count; i++)
		cay_close_p(&handover->fds[i]);
}

/* The number that a descriptor handed over at `index` has in QEMU. */
static int their_fd(size_t index)
{
	return JAIL_FIRST_FD + (int)index;
}

int vm_find_qemu(const char *qemu, char **ret_path, struct cay_error *err)
{
	const char *path = getenv("PATH");
	struct str rest = str_from(path ? path : "/usr/local/bin:/usr/bin:/bin");

	if (!qemu)
		qemu = "qemu-system-x86_64";
	if (strchr(qemu, '/')) {
		char *real = realpath(qemu, NULL);

		if (!real || access(real, X_OK) < 0) {
			int r = cay_error_errno(err, errno, "%s", qemu);

			free(real);
			return r;
		}
		*ret_path = real;
		return 0;
	}
	while (rest.length > 0) {
		struct str directory = str_split(rest, ':', &rest);
		_cleanup_free_ char *found =
			xasprintf("%.*s/%s", (int)directory.length, directory.data, qemu);
		_cleanup_free_ char *real = realpath(found, NULL);

		if (real && access(real, X_OK) == 0) {
			*ret_path = TAKE_PTR(real);
			return 0;
		}
	}
	return cay_error_set(err, CAY_NOT_FOUND, ENOENT,
			     "%s is not installed (Debian: qemu-system-x86)", qemu);
}

/* Adds a descriptor; the set has the number of its place. */
static void hand_over(struct handover *handover, int fd, struct cmdline_fd *sets, size_t *set_count)
{
	const size_t place = handover->count++;

	handover->fds[place] = fd;
	sets[(*set_count)++] = (struct cmdline_fd){ their_fd(place), (unsigned int)place };
}

static int open_disk(const struct vm_disk *disk, struct handover *handover, struct cmdline_fd *sets,
		     size_t *set_count, struct cmdline_drive *drive, struct cay_error *err)
{
	struct disk_files files = DISK_FILES_NONE;
	int r = disk_open(disk, (unsigned int)handover->count, &files, err);

	if (r < 0)
		return r;
	if (handover->count + files.count > DISK_FDS_END) {
		disk_files_done(&files);
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG,
				     "the disks have more than %d extents", VMM_EXTENTS_MAX);
	}
	for (size_t i = 0; i < files.count; i++)
		hand_over(handover, files.fds[i], sets, set_count);
	*drive = (struct cmdline_drive){
		.empty = files.count == 0,
		.set = (unsigned int)handover->count - 1,
		.vmdk = files.vmdk,
		.read_only = files.read_only,
		.io_uring = files.io_uring,
	};
	return 0;
}

static int open_pair(struct handover *handover, int *ret_ours, struct cay_error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return cay_error_errno(err, errno, "making a socket for QEMU");
	*ret_ours = pair[0];
	handover->fds[handover->count++] = pair[1];
	return 0;
}

/* Where the host's kernel can serve the card; under TCG the emulator is what takes the time. */
static void open_vhost(enum vmm_accel accel, struct handover *handover, struct cmdline_nic *nic)
{
	if (accel != VMM_KVM)
		return;
	for (size_t i = 0; i < nic->queues; i++) {
		int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return; /* QEMU does it; descriptors it does not hear of do no harm */
		nic->vhost_fds[i] = their_fd(handover->count);
		handover->fds[handover->count++] = fd;
	}
	nic->vhost = true;
}

static int copy_fd(int ours, struct handover *handover, int *ret_theirs)
{
	int fd = fcntl(ours, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	*ret_theirs = their_fd(handover->count);
	handover->fds[handover->count++] = fd;
	return 0;
}

static int open_nic(const struct vm_machine *machine, const struct vm_nic *from,
		    struct handover *handover, struct cmdline_nic *nic, struct cay_error *err)
{
	if (from->fd_count == 0 || from->fd_count > VMM_QUEUES_MAX ||
	    (from->stream && from->fd_count > 1))
		return cay_error_set(err, CAY_INVALID, EINVAL,
				     "a network card needs 1 to %d queues, by a stream one",
				     VMM_QUEUES_MAX);
	*nic = (struct cmdline_nic){
		.stream = from->stream,
		.queues = from->fd_count,
		.mtu = from->mtu,
	};
	memcpy(nic->mac, from->mac, sizeof(nic->mac));
	for (size_t i = 0; i < from->fd_count; i++) {
		int r = copy_fd(from->fds[i], handover, &nic->fds[i]);

		if (r < 0)
			return cay_error_errno(err, r, "handing a network card to QEMU");
	}
	if (!from->stream)
		open_vhost(machine->accel, handover, nic);
	return 0;
}

static int open_memory(const struct vm_machine *machine, struct vm *vm, struct handover *handover,
		       struct cmdline *cmdline, struct cay_error *err)
{
	int r = 0;

	if (machine->memory_fd > 0)
		r = copy_fd(machine->memory_fd, handover, &cmdline->memory_fd);
	if (r == 0 && machine->state_fd > 0)
		r = copy_fd(machine->state_fd, handover, &vm->state_number);
	cmdline->from_template = machine->state_fd > 0;
	cmdline->memory_shared = machine->memory_shared;
	return r < 0 ? cay_error_errno(err, r, "handing the guest's memory to QEMU") : 0;
}

/*
 * Opens all that QEMU gets: four sockets at fixed places, then the disks, then the
 * cards, then the shares' socket.
 */
static int open_all(const struct vm_machine *machine, struct vm *vm, struct handover *handover,
		    struct cmdline_fd *sets, struct cmdline *cmdline, struct cay_error *err)
{
	int r = open_pair(handover, &vm->channel_fd, err);

	if (r == 0)
		r = open_pair(handover, &vm->console_fd, err);
	if (r == 0)
		r = open_pair(handover, &vm->qmp_fd, err);
	if (r == 0)
		r = open_pair(handover, &vm->shed_fd, err);
	cmdline->channel_fd = their_fd(FD_CHANNEL);
	cmdline->console_fd = their_fd(FD_CONSOLE);
	cmdline->qmp_fd = their_fd(FD_QMP);
	for (size_t i = 0; r == 0 && i < machine->disk_count; i++)
		r = open_disk(&machine->disks[i], handover, sets, &cmdline->fd_count,
			      &cmdline->drives[i], err);
	cmdline->drive_count = machine->disk_count;
	for (size_t i = 0; r == 0 && i < machine->nic_count; i++)
		r = open_nic(machine, &machine->nics[i], handover, &cmdline->nics[i], err);
	cmdline->nic_count = machine->nic_count;
	if (r == 0)
		r = open_memory(machine, vm, handover, cmdline, err);
	if (r == 0 && machine->shares_fd > 0) {
		r = copy_fd(machine->shares_fd, handover, &cmdline->shares_fd);
		if (r < 0)
			return cay_error_errno(err, r, "handing the files' socket to QEMU");
	}
	return r;
}

/* What the library in QEMU is told of by its environment. */
static int open_translations(const struct vm_machine *machine, struct handover *handover,
			     struct strv *environment, struct cay_error *err)
{
	int r = 0, number = -1;

	if (machine->accel != VMM_TCG)
		return 0;
	if (machine->translations_fd > 0) {
		r = copy_fd(machine->translations_fd, handover, &number);
		if (r == 0)
			strv_addf(environment, "CAY_TRANSLATIONS=%d", number);
	}
	if (r == 0 && machine->recording_fd > 0) {
		r = copy_fd(machine->recording_fd, handover, &number);
		if (r == 0)
			strv_addf(environment, "CAY_RECORDING=%d", number);
	}
	return r < 0 ? cay_error_errno(err, r, "handing translations to QEMU") : 0;
}

/* The size of the largest file that QEMU has to write to. */
static uint64_t largest_writable(const struct vm_machine *machine)
{
	/* Memory that is shared with cay-files, or to become a template's, is a file too. */
	uint64_t largest =
		machine->shares_fd > 0 || machine->memory_shared ? machine->memory_bytes + MIB : 0;

	for (size_t i = 0; i < machine->disk_count; i++)
		if (!machine->disks[i].read_only && machine->disks[i].extent_count > 0)
			largest = MAX(largest, machine->disks[i].extents[0].size);
	if (machine->recording_fd > 0)
		largest = MAX(largest, RECORDING_BYTES_MAX);
	return largest;
}

struct cgroup_limits vm_limits(const struct vm_machine *machine)
{
	return (struct cgroup_limits){
		.memory_bytes = machine->memory_bytes + OVERHEAD_BYTES +
			(machine->accel == VMM_TCG ? OVERHEAD_TCG_BYTES : 0),
		.pids = THREADS_MAX + machine->vcpus +
			(machine->shares_fd > 0 ? FILES_THREADS_MAX : 0),
	};
}

static void enter_cgroup(const struct vm_machine *machine, pid_t pid)
{
	const struct cgroup_limits limits = vm_limits(machine);
	struct cay_error err = { 0 };

	/* After exec and in parallel with it: the guest is not there yet to misuse the moment. */
	if (cgroup_create(machine->id, &limits, &err) < 0 ||
	    cgroup_attach(machine->id, pid, &err) < 0)
		log_warning("the VM has no cgroup of its own: %s", err.message);
}

/* Whether QEMU's usual folder is there; a QEMU built from source knows its own. */
static const char *data_directory(const char *qemu)
{
	return starts_with(qemu, "/usr/bin/") && file_exists("/usr/share/qemu") ? "/usr/share/qemu"
										: NULL;
}

static struct cmdline begin_cmdline(const struct vm_machine *machine, const char *qemu,
				    const char *name)
{
	return (struct cmdline){
		.qemu = qemu,
		.name = name,
		.data_directory = data_directory(qemu),
		.kernel = machine->kernel,
		.initramfs = machine->initramfs,
		.accel = machine->accel,
		.tsc_khz = machine->tsc_khz,
		.stock_kernel = machine->stock_kernel,
		.vcpus = machine->vcpus,
		.memory_bytes = machine->memory_bytes,
	};
}

void vm_arguments(const struct vm_machine *machine, const char *qemu, struct strv *argv)
{
	struct cmdline cmdline = begin_cmdline(machine, qemu, "vm");

	cmdline.memory_fd = JAIL_FIRST_FD;
	cmdline.drive_count = machine->disk_count;
	for (size_t i = 0; i < machine->disk_count; i++)
		cmdline.drives[i] = (struct cmdline_drive){
			.empty = true,
			.read_only = machine->disks[i].read_only,
		};
	cmdline.nic_count = machine->nic_count;
	for (size_t i = 0; i < machine->nic_count; i++)
		cmdline.nics[i] = (struct cmdline_nic){
			.stream = machine->nics[i].stream,
			.queues = MIN(machine->nics[i].fd_count, (size_t)VMM_QUEUES_MAX),
			.vhost = machine->accel == VMM_KVM && !machine->nics[i].stream,
			.mtu = machine->nics[i].mtu,
		};
	cmdline_build(&cmdline, argv);
}

/* A template must have it; without it any other machine only keeps its translated code. */
static bool wants_library(const struct vm_machine *machine)
{
	return machine->memory_fd > 0 ||
		(machine->accel == VMM_TCG && machine->preload && file_exists(machine->preload));
}

static int start_qemu(const struct vm_machine *machine, struct cmdline *cmdline,
		      struct handover *handover, struct vm *vm, struct cay_error *err)
{
	const char *files[] = { machine->kernel, machine->initramfs };
	_cleanup_strv_ struct strv argv = { 0 }, environment = { 0 };
	_cleanup_close_ int writer = -1;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making a pipe for QEMU");
	if (machine->accel == VMM_TCG) {
		strv_addf(&environment, "CAY_SHED=%d", their_fd(FD_SHED));
		/* Else what the translator frees stays in glib's own lists, and 2 MB with it. */
		strv_add(&environment, "G_SLICE=always-malloc");
	}
	vm->output_fd = pipe_fds[0];
	writer = pipe_fds[1];
	r = open_translations(machine, handover, &environment, err);
	if (r < 0)
		return r;
	cmdline_build(cmdline, &argv);
	const struct jail jail = {
		.directory = machine->jail_directory,
		.argv = &argv,
		.files = files,
		.file_count = machine->state_fd > 0 ? 0
			: machine->initramfs        ? 2
						    : 1,
		.kvm = machine->accel == VMM_KVM,
		.uid = machine->uid,
		.file_size_max = largest_writable(machine),
		.fds = handover->fds,
		.fd_count = handover->count,
		.output_fd = writer,
		.preload = wants_library(machine) ? machine->preload : NULL,
		.environment = &environment,
		/*
		 * Each request wakes the server and each answer QEMU. Between processes of one
		 * session a busy host's scheduler does that within the time that it has given the
		 * session anyway (CONFIG_SCHED_AUTOGROUP), else each waits for its turn.
		 */
		.shares_session = machine->shares_fd > 0,
	};

	return jail_spawn(&jail, &vm->pid, &vm->pidfd, err);
}

int vm_start(const struct vm_machine *machine, struct vm *ret_vm, struct cay_error *err)
{
	_cleanup_(handover_done) struct handover handover = { 0 };
	_cleanup_(vm_done) struct vm vm = VM_NONE;
	_cleanup_free_ char *qemu = NULL;
	struct cmdline_fd sets[FDS_MAX];
	struct cmdline cmdline;
	int r = vm_find_qemu(machine->qemu, &qemu, err);

	if (r < 0)
		return r;
	cmdline = begin_cmdline(machine, qemu, machine->id);
	cmdline.fds = sets;
	r = open_all(machine, &vm, &handover, sets, &cmdline, err);
	if (r == 0)
		r = start_qemu(machine, &cmdline, &handover, &vm, err);
	if (r < 0)
		return r;
	vm.id = xstrdup(machine->id);
	vm.accel = machine->accel;
	enter_cgroup(machine, vm.pid);
	*ret_vm = vm;
	vm = VM_NONE;
	return 0;
}

void vm_kill(const struct vm *vm)
{
	if (vm->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, vm->pidfd, SIGKILL, NULL, 0); /* may be gone */
}

void vm_shed(struct vm *vm)
{
	/* A QEMU that does not listen, or is gone, has nothing to give back. */
	if (vm->shed_fd < 0 || send(vm->shed_fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ||
	    errno != EPIPE)
		return;
	log_debug("this QEMU gives no translated code back");
	cay_close_p(&vm->shed_fd);
}

bool vm_read_counts(const struct vm *vm, struct vm_counts *ret_counts)
{
	return vm->shed_fd >= 0 &&
		recv(vm->shed_fd, ret_counts, sizeof(*ret_counts), MSG_DONTWAIT) ==
		(ssize_t)sizeof(*ret_counts);
}

int vm_reap(const struct vm *vm, int *ret_status)
{
	pid_t pid = waitpid(vm->pid, ret_status, WNOHANG);

	if (pid < 0)
		return -errno;
	return pid == 0 ? -EAGAIN : 0;
}

void vm_done(struct vm *vm)
{
	struct cay_error err = { 0 };

	if (vm->pid > 0) {
		vm_kill(vm);
		while (waitpid(vm->pid, NULL, 0) < 0 && errno == EINTR)
			; /* ECHILD: reaped before, which is fine */
	}
	if (vm->id && cgroup_remove(vm->id, &err) < 0)
		log_warning("%s", err.message);
	cay_close_p(&vm->pidfd);
	cay_close_p(&vm->channel_fd);
	cay_close_p(&vm->console_fd);
	cay_close_p(&vm->qmp_fd);
	cay_close_p(&vm->shed_fd);
	cay_close_p(&vm->output_fd);
	free(vm->id);
	*vm = VM_NONE;
}
