/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library uses of the QEMU that it is loaded into: functions and
 * variables that QEMU exports for its modules, and the shape of two structures
 * of its translator. QEMU promises none of it. Functions that are missing are
 * NULL; whether the structures are as they are here is looked at while blocks
 * are recorded (record.c), and nothing is used that was not recorded from the
 * same QEMU.
 */
#pragma once

#include <stdint.h>

struct qemu_cpu;
union qemu_cpu_data {
	int host_int;
	unsigned long host_ulong;
	void *host_pointer;
	uint64_t target_pointer;
};

/* A block of translated code: TranslationBlock of 7.2's include/exec/exec-all.h. */
struct qemu_block {
	uint64_t pc, base;
	uint32_t flags, cflags, tracing;
	uint16_t guest_size, instructions;
	unsigned char *code;
	uint64_t code_size;
	uintptr_t next_in_page[2];
	uint64_t pages[2]; /* UINT64_MAX: none */
	int32_t lock;
	uint16_t jump_end[2];
	uintptr_t jump_at[2];
};

/* The translator's context, one for each processor: TCGContext of 7.2's include/tcg/tcg.h. */
enum {
	CONTEXT_HIGH_WATER = 0xb0, /* code_gen_highwater, a pointer */
	CONTEXT_ENDS = 0x74c8,     /* gen_insn_end_off, 16 bits for each instruction */
	CONTEXT_STARTS = 0x78c8,   /* gen_insn_data, two words of 64 bits for each instruction */
};

#define QEMUS __attribute__((weak, visibility("default")))
extern void tb_flush(struct qemu_cpu *cpu) QEMUS;
extern void async_safe_run_on_cpu(struct qemu_cpu *cpu,
				  void (*run)(struct qemu_cpu *cpu, union qemu_cpu_data data),
				  union qemu_cpu_data data) QEMUS;
extern struct qemu_cpu *qemu_get_cpu(int index) QEMUS;
extern void qemu_mutex_lock_iothread_impl(const char *file, int line) QEMUS;
extern void qemu_mutex_unlock_iothread(void) QEMUS;

/* Looked at as code, never called from here. */
extern const unsigned char tb_gen_code[] QEMUS;
extern const unsigned char gen_intermediate_code[] QEMUS;
extern const unsigned char tcg_gen_code[] QEMUS;

/* The way out of translated code; the second one is behind an instruction of two bytes. */
extern unsigned char *tcg_code_gen_epilogue QEMUS;
enum { EPILOGUE_SKIPPED = 2 };

extern __thread unsigned char *tcg_ctx __attribute__((tls_model("initial-exec"))) QEMUS;
