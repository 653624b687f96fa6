/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that an earlier QEMU has translated, mapped from a finished file. What
 * is found there is used when QEMU would translate the same bytes for the same
 * state of the processor, at the same place in their page: then it would come
 * to the same code (translations.c has made sure). Nothing is ever written to
 * the file, and a block whose sum is wrong is none.
 */
#include "vmm/preload/library.h"

#include "vmm/preload/qemu.h"

#include "vmm/translations-format.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Places of the table that are looked at for one block: more than any that is not damaged takes. */
enum { WALK_MAX = 256 };

static struct {
	const unsigned char *file;
	size_t size;
	const uint32_t *table;
	uint32_t mask;
} store;

static bool is_ours(const unsigned char *file, size_t size)
{
	struct translations_head head;

	memcpy(&head, file, sizeof(head));
	return translations_head_is_valid(&head, size) &&
		memcmp(head.build_id, library_program()->build_id, sizeof(head.build_id)) == 0;
}

void store_open(int fd)
{
	struct stat st;
	void *file;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(struct translations_head))
		return;
	file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	(void)close(fd);
	if (file == MAP_FAILED)
		return;
	if (!is_ours(file, (size_t)st.st_size)) {
		(void)munmap(file, (size_t)st.st_size);
		return;
	}
	store.file = file;
	store.size = (size_t)st.st_size;
	store.table = (const void *)(store.file + sizeof(struct translations_head));
	store.mask = ((const struct translations_head *)file)->slots - 1;
}

void store_let_go(void)
{
	if (store.file)
		(void)madvise((void *)(uintptr_t)store.file, store.size, MADV_DONTNEED);
}

/* ---- finding ---- */

/* The block at a place of the table, if it is whole. */
static const struct translation *block_at(uint32_t place)
{
	const size_t start = (size_t)place * TRANSLATION_ALIGN;
	const struct translation *translation = (const void *)(store.file + start);

	if (start >= store.size || store.size - start < sizeof(*translation) ||
	    translation->size > store.size - start || translation->size < sizeof(*translation) ||
	    translation->size % TRANSLATION_ALIGN != 0)
		return NULL;
	return translation;
}

static bool is_whole(const struct translation *translation)
{
	return translation_sum(&translation->key, translation->size - sizeof(translation->sum)) ==
		translation->sum &&
		translation_parts(translation).end == translation->size;
}

static const struct translation *find(const struct qemu_block *block, const unsigned char *guest)
{
	const uint16_t offset = (uint16_t)(block->pc % TRANSLATION_PAGE);
	const uint64_t key =
		translation_key(block->base, block->flags, block->cflags, offset, guest);

	for (uint32_t i = 0, slot = (uint32_t)key & store.mask; i < WALK_MAX && store.table[slot];
	     i++, slot = (slot + 1) & store.mask) {
		const struct translation *found = block_at(store.table[slot]);

		if (!found || found->key != key || found->base != block->base ||
		    found->flags != block->flags || found->cflags != block->cflags ||
		    found->offset != offset || !is_whole(found))
			continue;
		if (found->guest_size <= TRANSLATION_PAGE - offset &&
		    memcmp(found + 1, guest, found->guest_size) == 0)
			return found;
	}
	return NULL;
}

/* ---- using ---- */

static void relocate(unsigned char *code, const uint16_t *places, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unsigned char *at = code + (places[i] & ~TRANSLATION_POINTER);
		const unsigned char *from = at + sizeof(int32_t);

		if (places[i] & TRANSLATION_POINTER) {
			uint64_t pointer;

			memcpy(&pointer, at, sizeof(pointer));
			pointer += (uintptr_t)library_program()->start;
			memcpy(at, &pointer, sizeof(pointer));
		} else {
			int32_t distance;

			memcpy(&distance, at, sizeof(distance));
			distance += (int32_t)(tcg_code_gen_epilogue - from);
			memcpy(at, &distance, sizeof(distance));
		}
	}
}

/* What QEMU's own translator leaves there for its caller. */
static void tell_rows(const struct translation_row *rows, size_t count)
{
	uint16_t *ends = (uint16_t *)(void *)(tcg_ctx + CONTEXT_ENDS);
	uint64_t *starts = (uint64_t *)(void *)(tcg_ctx + CONTEXT_STARTS);

	for (size_t i = 0; i < count; i++) {
		ends[i] = rows[i].end;
		starts[2 * i] = rows[i].offset;
		starts[2 * i + 1] = rows[i].flags_kind;
	}
}

int store_take(struct qemu_block *block, const unsigned char *guest)
{
	const struct translation *found = store.file ? find(block, guest) : NULL;
	struct translation_parts parts;
	const unsigned char *from, *high_water;

	if (!found)
		return -1;
	memcpy(&high_water, tcg_ctx + CONTEXT_HIGH_WATER, sizeof(high_water));
	if (block->code + found->code_size > high_water)
		return -1; /* which QEMU notices as well */
	parts = translation_parts(found);
	from = (const unsigned char *)found;
	memcpy(block->code, from + parts.code, found->code_size);
	relocate(block->code, (const void *)(from + parts.places), found->places);
	tell_rows((const void *)(from + parts.rows), found->instructions);
	block->guest_size = found->guest_size;
	block->instructions = found->instructions;
	for (int i = 0; i < 2; i++) {
		block->jump_end[i] = found->jump_end[i];
		block->jump_at[i] = found->jump_at[i];
	}
	return found->code_size;
}
