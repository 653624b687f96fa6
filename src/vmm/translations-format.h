/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What translated code looks like in a file, for those who write and read it:
 * the library in QEMU (preload/) and translations.c. It stands alone, as the
 * library does. All numbers are the host's; no such file leaves it.
 *
 * A recording is a head and the blocks in the order in which QEMU translated
 * them; its last block may be cut off. A finished file is a head, a table of
 * `slots` places (in units of 8 bytes from the file's start, 0: free) and the
 * blocks; a block stands at the first free place from its key on.
 *
 * A block is the struct below and what follows it, each part padded to 8 bytes:
 * the guest's bytes, a row for each of its instructions, the places in the code
 * that depend on where QEMU and its translated code are, and the code.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TRANSLATIONS_MAGIC "cay-translations" /* without its NUL */
#define RECORDING_MAGIC    "cay-recording..."

enum {
	TRANSLATIONS_FORMAT = 1,
	TRANSLATION_ALIGN = 8,
	TRANSLATION_BUILD_ID_MAX = 32,
	TRANSLATION_PAGE = 4096,     /* the guest's */
	TRANSLATION_CODE_MAX = 8192, /* longer ones are rare, and translated each time */
	TRANSLATION_PLACES_MAX = 1024,
	TRANSLATION_INSTRUCTIONS_MAX = 512, /* QEMU's TCG_MAX_INSNS */
	TRANSLATION_NO_JUMP = 0xffff,       /* QEMU's TB_JMP_RESET_OFFSET_INVALID */
};

struct translations_head {
	char magic[16];
	uint32_t format;
	uint32_t slots; /* a power of two; of a recording: 0 */
	uint64_t size;  /* of the whole file; of a recording: 0 */
	/* Of the QEMU that translated it: no other can use it. */
	uint8_t build_id[TRANSLATION_BUILD_ID_MAX];
};

/* Of a finished file of this size. */
static inline int translations_head_is_valid(const struct translations_head *head, uint64_t size)
{
	return memcmp(head->magic, TRANSLATIONS_MAGIC, sizeof(head->magic)) == 0 &&
		head->format == TRANSLATIONS_FORMAT && head->size == size && head->slots > 0 &&
		(head->slots & (head->slots - 1)) == 0 &&
		head->slots <= (size - sizeof(*head)) / sizeof(uint32_t);
}

struct translation {
	uint64_t sum;  /* translation_sum() of all that follows */
	uint64_t key;  /* translation_key() */
	uint64_t base; /* of the code segment */
	uint32_t flags, cflags;
	uint32_t size;       /* of all of it, a multiple of 8 */
	uint16_t offset;     /* in the guest's page */
	uint16_t guest_size; /* bytes that were translated, all in one page */
	uint16_t instructions;
	uint16_t places;
	uint16_t code_size;
	uint16_t jump_end[2]; /* where a jump to another block is left; or TRANSLATION_NO_JUMP */
	uint16_t jump_at[2];  /* where it is written; 0 without one */
	uint16_t padding;
};

/* How an exception in the code is brought back to the guest's instruction. */
struct translation_row {
	uint16_t end; /* in the code */
	uint16_t offset;
	uint16_t flags_kind; /* QEMU's cc_op */
};

/* A place: with the bit 8 bytes, a pointer into QEMU; without 4, a jump to the way out of it. */
enum { TRANSLATION_POINTER = 0x8000 };

static inline size_t translation_padded(size_t size)
{
	return (size + TRANSLATION_ALIGN - 1) / TRANSLATION_ALIGN * TRANSLATION_ALIGN;
}

/* Where the parts begin, from the block's own beginning on; `end` is its whole size. */
struct translation_parts {
	size_t guest, rows, places, code, end;
};

static inline struct translation_parts translation_parts(const struct translation *translation)
{
	struct translation_parts parts = { .guest = sizeof(*translation) };

	parts.rows = parts.guest + translation_padded(translation->guest_size);
	parts.places = parts.rows +
		translation_padded(translation->instructions * sizeof(struct translation_row));
	parts.code = parts.places + translation_padded(translation->places * sizeof(uint16_t));
	parts.end = parts.code + translation_padded(translation->code_size);
	return parts;
}

static inline uint64_t translation_mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return sum ^ sum >> 29;
}

/* Against damage, not against an attacker. `size` is a multiple of 8. */
static inline uint64_t translation_sum(const void *data, size_t size)
{
	const char *at = data;
	uint64_t sum = size;

	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, at + i, sizeof(word));
		sum = translation_mix(sum, word);
	}
	return sum;
}

/* By which a block is found: from what QEMU translates it for, and the first of the guest's bytes
 * that are in its page; how many it will be is not known before. */
static inline uint64_t translation_key(uint64_t base, uint32_t flags, uint32_t cflags,
				       uint16_t offset, const unsigned char *guest)
{
	const size_t left = (size_t)TRANSLATION_PAGE - offset;
	uint64_t word = 0, key;

	memcpy(&word, guest, left < sizeof(word) ? left : sizeof(word));
	key = translation_mix(word, base);
	key = translation_mix(key, (uint64_t)cflags << 32 | flags);
	return translation_mix(key, offset);
}
