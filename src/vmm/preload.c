/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcay-qemu.so, which QEMU is started with (LD_PRELOAD): what QEMU has no
 * options for. It stands alone, without code of the other folders.
 *
 * 1. Memory that is a private mapping of a template's file. QEMU opens such a
 * file for reading and writing although it only ever writes to its own copies
 * of pages. And when a guest gives pages back, QEMU first punches a hole into
 * the file and only then drops its copies: a file that may be written would
 * lose pages that all other clones still read, and with one that may not, no
 * memory would come back. So here
 *  - opening "/cay-private/N" gives a copy of descriptor N, which is open for
 *    reading only;
 *  - punching holes into any such descriptor does nothing, successfully. QEMU
 *    then drops its copies (MADV_DONTNEED), after which the guest sees the
 *    template's contents: a guest's kernel takes nothing about the contents of
 *    pages that it has reported free for granted.
 * The calls it replaces are those of the system, made raw.
 *
 * 2. Translated code (TCG). Starting a container translates some 25 MB of
 * code of which an idle guest runs next to nothing, and QEMU keeps all of it.
 * For each byte that comes by the descriptor named in CAY_SHED a thread has
 * QEMU forget its translations (tb_flush(), between two of the guest's
 * instructions) and gives their memory back, and free memory of the heaps with
 * it. QEMU's functions are those that it exports for its modules; one that
 * lacks any of them keeps its memory, and the descriptor is closed.
 */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The names as the linker knows them: the headers' own differ with what a program is built for. */
#define NAMED(name) __asm__(name) __attribute__((visibility("default")))

/* On this architecture "open" and "open64" are the same; "__open64_2" is for fortified programs. */
int preload_open64(const char *path, int flags, ...) NAMED("open64");
int preload_open(const char *path, int flags, ...) NAMED("open") __attribute__((alias("open64")));
int preload_open_2(const char *path, int flags) NAMED("__open64_2");
int preload_fallocate64(int fd, int mode, off_t offset, off_t length) NAMED("fallocate64");
int preload_fallocate(int fd, int mode, off_t offset, off_t length) NAMED("fallocate")
	__attribute__((alias("fallocate64")));
int preload_mprotect(void *address, size_t size, int protection) NAMED("mprotect");

/* QEMU's own (include/hw/core/cpu.h, exec/exec-all.h, qemu/main-loop.h of 5.2 to 8.2). */
struct qemu_cpu;
union qemu_cpu_data {
	int host_int;
	unsigned long host_ulong;
	void *host_pointer;
	uint64_t target_pointer;
};
#define QEMUS __attribute__((weak, visibility("default")))
extern void tb_flush(struct qemu_cpu *cpu) QEMUS;
extern void async_safe_run_on_cpu(struct qemu_cpu *cpu,
				  void (*run)(struct qemu_cpu *cpu, union qemu_cpu_data data),
				  union qemu_cpu_data data) QEMUS;
extern struct qemu_cpu *qemu_get_cpu(int index) QEMUS;
extern void qemu_mutex_lock_iothread_impl(const char *file, int line) QEMUS;
extern void qemu_mutex_unlock_iothread(void) QEMUS;

/* ---- a template's memory ---- */

/* The number behind the prefix; -1 where the path is another. */
static int private_number(const char *path)
{
	static const char prefix[] = "/cay-private/";
	size_t i = 0;
	int number = 0;

	for (; prefix[i] != '\0'; i++)
		if (path[i] != prefix[i])
			return -1;
	if (path[i] == '\0')
		return -1;
	for (; path[i] != '\0'; i++) {
		if (path[i] < '0' || path[i] > '9' || number > 99999)
			return -1;
		number = number * 10 + (path[i] - '0');
	}
	return number;
}

static int open_path(const char *path, int flags, mode_t mode)
{
	int number = private_number(path);

	if (number >= 0)
		return fcntl(number, (flags & O_CLOEXEC) ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int preload_open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode = 0;

	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	return open_path(path, flags, mode);
}

int preload_open_2(const char *path, int flags)
{
	return open_path(path, flags, 0);
}

/*
 * QEMU has no other files that are open for reading only and punches: it does so into disks that
 * the guest may write.
 */
int preload_fallocate64(int fd, int mode, off_t offset, off_t length)
{
	int flags;

	if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
		flags = fcntl(fd, F_GETFL);
		if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY)
			return 0;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

/* ---- translated code ---- */

/*
 * Smaller ones are not the translator's. What stands first in it is the way in and out of
 * translated code, which is written once.
 */
enum { CODE_MIN = 1024 * 1024, CODE_KEPT = 256 * 1024 };

static struct {
	char *start, *end;
} code; /* where the translator puts its code: in parts, one behind the other; before the guest runs
	 */

int preload_mprotect(void *address, size_t size, int protection)
{
	char *start = address, *end = start + size;

	if (protection == (PROT_READ | PROT_WRITE | PROT_EXEC) && size >= CODE_MIN) {
		code.start = !code.start || start < code.start ? start : code.start;
		code.end = end > code.end ? end : code.end;
	}
	return (int)syscall(SYS_mprotect, address, size, protection);
}

/* On a guest's processor, while none of them runs. */
static void shed(struct qemu_cpu *cpu, union qemu_cpu_data data)
{
	tb_flush(cpu);
	(void)madvise(code.start + CODE_KEPT, (size_t)(code.end - code.start) - CODE_KEPT,
		      MADV_DONTNEED);
	(void)malloc_trim(0);
}

static void *serve(void *argument)
{
	const int fd = (int)(intptr_t)argument;
	char byte;

	while (read(fd, &byte, 1) == 1) {
		if (!code.start)
			continue;
		/* Without the lock a processor that is just falling asleep would not be woken. */
		qemu_mutex_lock_iothread_impl(__FILE__, __LINE__);
		async_safe_run_on_cpu(qemu_get_cpu(0), shed, (union qemu_cpu_data){ 0 });
		qemu_mutex_unlock_iothread();
	}
	return NULL;
}

__attribute__((constructor)) static void start(void)
{
	const char *text = getenv("CAY_SHED");
	pthread_t thread;
	sigset_t all, before;
	int fd;

	if (!text)
		return;
	fd = (int)strtol(text, NULL, 10);
	if (!tb_flush || !async_safe_run_on_cpu || !qemu_get_cpu ||
	    !qemu_mutex_lock_iothread_impl || !qemu_mutex_unlock_iothread) {
		(void)close(fd); /* by which the other end learns that nobody listens */
		return;
	}
	/* QEMU's signals are for threads of its own, which expect them. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
		(void)pthread_detach(thread);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}
