/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vminitd, PID 1 of every guest: mounts what it needs itself, opens the
 * channel, serves it for ever. The same program under the name of INIT_NAME is
 * the small init of a container.
 *
 * Every instruction on this path is translated by the emulator at each boot,
 * so nothing is done here that can be done when it is first needed: no
 * container's file systems, no cgroups, no network.
 */
#include "guest/channel.h"
#include "guest/container.h"
#include "guest/guest.h"
#include "guest/init.h"
#include "guest/service.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "rpc/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* The heap gives back what it no longer uses beyond these. */
enum { HEAP_TRIM = 64 * 1024, HEAP_PAD = 16 * 1024, HEAP_MMAP = 128 * 1024 };

static const struct {
	const char *type, *target;
	unsigned long flags;
	const char *data;
} mounts[] = {
	{ "devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755" },
	{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
	{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL },
};

/*
 * The kernel's first root can't be left by pivot_root(), which every container needs: a bind of it
 * stacked upon itself can.
 */
static void stack_root(void)
{
	if (mount("/", "/run", NULL, MS_BIND, NULL) < 0 || chdir("/run") < 0 ||
	    mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		die("stacking the root: %s", errno_text(errno));
}

static void make_mounts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		if (mkdir(mounts[i].target, 0755) < 0 && errno != EEXIST)
			die("making %s: %s", mounts[i].target, errno_text(errno));
		if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags,
			  mounts[i].data) < 0)
			die("mounting %s: %s", mounts[i].target, errno_text(errno));
	}
}

/*
 * Programs ask for far more memory than they touch, and on a host many times the size of a VM they
 * get it; the kernel's guess of what is too much would refuse them here. Who touches too much meets
 * the OOM killer, as in any container.
 */
static void allow_overcommit(void)
{
	int fd = open("/proc/sys/vm/overcommit_memory", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write_full(fd, "1", 1) < 0)
		log_warning("memory can't be overcommitted: %s", errno_text(errno));
	if (fd >= 0)
		(void)close(fd); /* what was written is in force */
}

/* As open(), but never one of the standard streams, which the kernel may have left closed. */
static int open_behind_streams(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), behind;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	behind = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	(void)close(fd);
	return behind;
}

/* Standard input is empty; what is said goes to the kernel's log, and from there to the host. */
static void open_streams(void)
{
	_cleanup_close_ int null = open_behind_streams("/dev/null", O_RDWR);
	_cleanup_close_ int log = open_behind_streams("/dev/kmsg", O_WRONLY);

	if (null < 0)
		die("opening /dev/null: %s", errno_text(errno));
	(void)dup2(null, STDIN_FILENO); /* these can't fail with both ends open */
	(void)dup2(null, STDOUT_FILENO);
	(void)dup2(log >= 0 ? log : null, STDERR_FILENO);
}

static void reap(struct guest *guest)
{
	int status;
	pid_t pid;

	/* Signals coalesce, so all that have ended are taken; every orphan of the guest is ours. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		containers_reaped(guest, pid, status);
}

static void on_signal(struct watch *watch, int events, void *user)
{
	struct guest *guest = user;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch_fd(watch), &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGCHLD)
		reap(guest);
	else
		channel_signalled(guest->channel);
}

/*
 * Signals by a descriptor: a handler's frame, its return and the pipe that would carry the news to
 * the loop are much code to translate for a machine that sees one child end.
 */
static int watch_signals(struct guest *guest)
{
	sigset_t set;
	int fd, r;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGIO);
	(void)sigprocmask(SIG_BLOCK, &set, NULL); /* children begin with an empty mask */
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = watch_new(&guest->loop, fd, on_signal, guest, &guest->signals);
	if (r == 0)
		watch_set(guest->signals, UV_READABLE);
	return r;
}

static int guest_init(struct guest *guest, struct cay_error *err)
{
	TAILQ_INIT(&guest->containers);
	TAILQ_INIT(&guest->cards);
	TAILQ_INIT(&guest->network_waits);
	events_init(&guest->events);
	ahead_init(&guest->ahead);
	sockets_init(&guest->sockets);
	guest->service = service_new(guest);
	guest->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	guest->pid_ns_fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (guest->proc_fd < 0 || guest->pid_ns_fd < 0)
		return cay_error_errno(err, errno, "opening /proc");
	if (uv_loop_init(&guest->loop) < 0 || watch_signals(guest) < 0)
		return cay_error_errno(err, ENOMEM, "making the loop");
	return channel_open(guest, &guest->channel, err);
}

/*
 * Copies of one template have the canary in common by which this program knows an overrun stack,
 * and the number that hides addresses of code in its memory (pthread_create(3)'s thread block,
 * offsets 0x28 and 0x30). Every function that has looked at the canary at its start looks again at
 * its end, so only one that does neither can change it, where nothing else is under way. The C
 * library has hidden addresses with the other one that are used at exit(), which nothing here
 * calls: the first process does not end, its children execute a program or _exit().
 */
__attribute__((no_stack_protector)) static void renew_guards(uint64_t number)
{
	uint64_t canary, hider;

	__asm__("mov %%fs:0x28, %0" : "=r"(canary));
	__asm__("mov %%fs:0x30, %0" : "=r"(hider));
	/* Its lowest byte stays 0, which ends strings. */
	canary ^= number << 8;
	hider ^= number * UINT64_C(0x9e3779b97f4a7c15);
	__asm__ volatile("mov %0, %%fs:0x28" : : "r"(canary));
	__asm__ volatile("mov %0, %%fs:0x30" : : "r"(hider));
}

/* Its own frame has a canary that is never looked at again. */
static _Noreturn void serve(struct guest *guest)
{
	uint64_t number;

	for (;;) {
		(void)uv_run(&guest->loop, UV_RUN_DEFAULT);
		if (!channel_is_thawed(guest->channel, &number))
			continue;
		renew_guards(number);
		channel_go_on(guest->channel);
	}
}

static void run(int64_t booted_us)
{
	static struct guest guest; /* one a machine, for as long as it runs */
	struct cay_error err = { 0 };

	guest.booted_us = booted_us;
	(void)signal(SIGPIPE, SIG_IGN);
	/* Children that are to become a container's processes must not be looked into. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)mallopt(M_TRIM_THRESHOLD, HEAP_TRIM);
	(void)mallopt(M_TOP_PAD, HEAP_PAD);
	(void)mallopt(M_MMAP_THRESHOLD, HEAP_MMAP);
	(void)umask(0);
	if (guest_init(&guest, &err) < 0)
		die("%s", err.message);
	serve(&guest);
}

int main(int argc, char **argv)
{
	int64_t booted_us = clock_monotonic_us();

	if (argc > 0 && strcmp(argv[0], INIT_NAME) == 0)
		return init_main(argc, argv);
	log_init("vminitd", LOG_LEVEL_INFO);
	if (getpid() != 1) {
		if (argc == 2 && strcmp(argv[1], "--version") == 0) {
			printf("vminitd %s\n", CAY_VERSION);
			return 0;
		}
		die("this is the first program of cay's virtual machines and runs as their PID 1");
	}
	stack_root();
	make_mounts();
	open_streams();
	allow_overcommit();
	run(booted_us);
}
