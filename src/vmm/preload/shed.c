/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving translated code back. Starting a container translates some 25 MB of
 * code of which an idle guest runs next to nothing, and QEMU keeps all of it.
 * For each byte that comes by the descriptor named in CAY_SHED a thread has
 * QEMU forget its translations (tb_flush(), between two of the guest's
 * instructions) and gives their memory back, and free memory of the heaps with
 * it; and answers with how many blocks were taken from the store and how many
 * QEMU has translated so far, two numbers of 64 bits. A QEMU that lacks any of
 * the functions keeps its memory, and the descriptor is closed.
 */
#include "vmm/preload/library.h"

#include "vmm/preload/qemu.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int preload_mprotect(void *address, size_t size, int protection) NAMED("mprotect");

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

bool code_contains(const void *start, size_t size)
{
	const char *at = start;

	return at >= code.start && at < code.end && size <= (size_t)(code.end - at);
}

/* On a guest's processor, while none of them runs. */
static void shed(struct qemu_cpu *cpu, union qemu_cpu_data data)
{
	tb_flush(cpu);
	store_let_go();
	(void)madvise(code.start + CODE_KEPT, (size_t)(code.end - code.start) - CODE_KEPT,
		      MADV_DONTNEED);
	(void)malloc_trim(0);
}

static void *serve(void *argument)
{
	const int fd = (int)(intptr_t)argument;
	char byte;

	while (read(fd, &byte, 1) == 1) {
		const struct translator_counts counts = translator_counts();

		/* Who asked may have gone, or not read the last ones. */
		(void)send(fd, &counts, sizeof(counts), MSG_DONTWAIT | MSG_NOSIGNAL);
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
	const int fd = library_number("CAY_SHED");
	pthread_t thread;
	sigset_t all, before;

	if (fd < 0)
		return;
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
