/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands between QEMU and the function by which it translates one block, so
 * that a block can be taken from the store instead, or be recorded. QEMU calls
 * that function (setjmp_gen_code() in accel/tcg/translate-all.c) in one place,
 * in tb_gen_code(): the place is found by what the function calls itself, and
 * the call is led here. All else that belongs to a block, where it is found by
 * and what removes it when the guest writes to its page, stays QEMU's.
 *
 * Where the place is not found, QEMU translates everything, as without us.
 */
#include "vmm/preload/library.h"

#include "vmm/preload/qemu.h"

#include "vmm/translations-format.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	CALL = 0xe8,
	CALL_SIZE = 5, /* with the distance behind it */
	CALLER_SIZE = 0x400,
	TRANSLATOR_SIZE = 0xd0, /* as much of each as is looked at */
	PAGE = 4096,
	STEP = 1024 * 1024,
	STEPS = 1024, /* a call reaches 2 GiB */
};

/* `host` is where the guest's bytes are, NULL where they are no memory's. */
typedef int translate_fn(void *state, struct qemu_block *block, uint64_t pc,
			 const unsigned char *host, int *instructions);

static translate_fn *translate_anew;
static struct translator_counts counts;

int library_number(const char *variable)
{
	const char *text = getenv(variable);

	return text ? (int)strtol(text, NULL, 10) : -1;
}

struct translator_counts translator_counts(void)
{
	return (struct translator_counts){
		__atomic_load_n(&counts.taken, __ATOMIC_RELAXED),
		__atomic_load_n(&counts.translated, __ATOMIC_RELAXED),
	};
}

/* ---- QEMU's program ---- */

static void read_note(const struct dl_phdr_info *info, const ElfW(Phdr) * header,
		      struct library_program *program)
{
	const char *at = (const char *)info->dlpi_addr + header->p_vaddr;
	const char *end = at + header->p_memsz;

	while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
		const ElfW(Nhdr) *note = (const void *)at;
		const char *name = at + sizeof(*note);
		const char *value = name + (note->n_namesz + 3) / 4 * 4;

		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == sizeof("GNU") &&
		    memcmp(name, "GNU", sizeof("GNU")) == 0 &&
		    note->n_descsz <= sizeof(program->build_id)) {
			memcpy(program->build_id, value, note->n_descsz);
			program->is_known = true;
			return;
		}
		at = value + (note->n_descsz + 3) / 4 * 4;
	}
}

/* The first one is the program itself. */
static int on_object(struct dl_phdr_info *info, size_t size, void *user)
{
	struct library_program *program = user;

	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];
		unsigned char *start = (unsigned char *)info->dlpi_addr + header->p_vaddr;

		if (header->p_type == PT_LOAD) {
			if (!program->start || start < program->start)
				program->start = start;
			if (start + header->p_memsz > program->end)
				program->end = start + header->p_memsz;
		} else if (header->p_type == PT_NOTE && !program->is_known) {
			read_note(info, header, program);
		}
	}
	return 1;
}

const struct library_program *library_program(void)
{
	static struct library_program program;

	if (!program.start)
		(void)dl_iterate_phdr(on_object, &program);
	return &program;
}

/* ---- in place of the translator ---- */

static int translate(void *state, struct qemu_block *block, uint64_t pc, const unsigned char *host,
		     int *instructions)
{
	/* Blocks of a size that was asked for are for debugging and for single steps of devices. */
	const bool is_plain = host && block->pages[0] != UINT64_MAX && block->tracing == 0 &&
		*instructions == TRANSLATION_INSTRUCTIONS_MAX;
	const uint32_t cflags = block->cflags;
	int size = is_plain ? store_take(block, host) : -1;

	if (size >= 0) {
		*instructions = block->instructions;
		(void)__atomic_fetch_add(&counts.taken, 1, __ATOMIC_RELAXED);
		return size;
	}
	(void)__atomic_fetch_add(&counts.translated, 1, __ATOMIC_RELAXED);
	size = translate_anew(state, block, pc, host, instructions);
	if (is_plain && size > 0 && block->pages[1] == UINT64_MAX)
		record_block(block, cflags, host, size);
	return size;
}

/* ---- how the call comes here ---- */

static const unsigned char *call_target(const unsigned char *call)
{
	int32_t distance;

	memcpy(&distance, call + 1, sizeof(distance));
	return call + CALL_SIZE + distance;
}

static bool calls(const unsigned char *function, const unsigned char *callee)
{
	for (const unsigned char *at = function; at < function + TRANSLATOR_SIZE; at++)
		if (*at == CALL && call_target(at) == callee)
			return true;
	return false;
}

/* NULL where QEMU is not built like that. */
static unsigned char *find_call(const struct library_program *program)
{
	for (size_t i = 0; i < CALLER_SIZE; i++) {
		const unsigned char *target;

		if (tb_gen_code[i] != CALL)
			continue;
		target = call_target(tb_gen_code + i);
		if (target >= program->start && target + TRANSLATOR_SIZE < program->end &&
		    calls(target, gen_intermediate_code) && calls(target, tcg_gen_code))
			return program->start + (tb_gen_code + i - program->start);
	}
	return NULL;
}

/* A call reaches no further than 2 GiB, and we may be anywhere: a jump to us, near QEMU. */
static unsigned char *make_jump(const struct library_program *program)
{
	/* jmp *0(%rip), and behind it where to. */
	static const unsigned char jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
	unsigned char *const below = (unsigned char *)((uintptr_t)program->start / PAGE * PAGE);
	translate_fn *const to = translate;

	for (int i = 1; i < STEPS; i++) {
		unsigned char *page =
			mmap(below - (ptrdiff_t)i * STEP, PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		if (page == MAP_FAILED)
			continue;
		memcpy(page, jump, sizeof(jump));
		memcpy(page + sizeof(jump), &to, sizeof(to));
		return mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0 ? page : NULL;
	}
	return NULL;
}

/* Before QEMU's main(): nobody is in there yet. */
static bool redirect(unsigned char *call, const unsigned char *to)
{
	unsigned char *const page = (unsigned char *)((uintptr_t)call / PAGE * PAGE);
	const int32_t distance = (int32_t)(to - (call + CALL_SIZE));

	if (mprotect(page, 2 * (size_t)PAGE, PROT_READ | PROT_WRITE) < 0)
		return false;
	memcpy(call + 1, &distance, sizeof(distance));
	if (mprotect(page, 2 * (size_t)PAGE, PROT_READ | PROT_EXEC) < 0)
		abort(); /* QEMU could not run */
	return true;
}

static void take_place(void)
{
	const struct library_program *program = library_program();
	unsigned char *call, *jump;

	if (!tb_gen_code || !gen_intermediate_code || !tcg_gen_code || !&tcg_code_gen_epilogue)
		return;
	call = find_call(program);
	jump = call ? make_jump(program) : NULL;
	if (!jump)
		return;
	translate_anew = (translate_fn *)(uintptr_t)call_target(call);
	(void)redirect(call, jump);
}

__attribute__((constructor)) static void begin(void)
{
	const int translations = library_number("CAY_TRANSLATIONS");
	const int recording = library_number("CAY_RECORDING");

	if ((translations < 0 && recording < 0) || !library_program()->is_known)
		return;
	store_open(translations);
	record_open(recording);
	take_place();
}
