/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcay-qemu.so, which QEMU is started with (LD_PRELOAD): what QEMU has no
 * options for. It stands alone, without code of the other folders.
 *
 *   memory.c      memory that is a private mapping of a template's file
 *   shed.c        translated code given back by a guest that is idle
 *   translator.c  takes the place of QEMU's translator of one block
 *   store.c       blocks that were translated by an earlier QEMU
 *   record.c      and how they come to be in a file
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The names as the linker knows them: the headers' own differ with what a program is built for. */
#define NAMED(name) __asm__(name) __attribute__((visibility("default")))

struct qemu_block;

/* The number in a variable of the environment; -1 where it is not set. */
int library_number(const char *variable);

/* QEMU's own program as it lies in memory. */
struct library_program {
	unsigned char *start, *end;
	uint8_t build_id[32]; /* zeros behind a shorter one */
	bool is_known;        /* it has one */
};
const struct library_program *library_program(void);

/* Whether it lies in the translator's memory (shed.c). */
bool code_contains(const void *start, size_t size);

/* The finished file; does nothing where it is of another QEMU, or no such file. */
void store_open(int fd);
/*
 * Puts a stored translation of what the guest has at `guest` into the block. Returns its code's
 * size, or -1: there is none, or no room.
 */
int store_take(struct qemu_block *block, const unsigned char *guest);
/* Its pages are read again from the file when they are next needed. */
void store_let_go(void);

/* From now on all that is translated is written there. */
void record_open(int fd);
/*
 * QEMU has just translated it, for `cflags` (which it may have changed since), into `size` bytes of
 * code. Stops recording where QEMU's structures are not what they should be.
 */
void record_block(const struct qemu_block *block, uint32_t cflags, const unsigned char *guest,
		  int size);

/* Blocks that were taken from the store, and that QEMU has translated. */
struct translator_counts {
	uint64_t taken, translated;
};
struct translator_counts translator_counts(void);
