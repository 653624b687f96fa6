/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes what QEMU translates into a file, in a form that does not depend on
 * where QEMU and its code lie in memory. Two things in a block's code do:
 * pointers to QEMU's functions, which stand behind the code in words of eight
 * bytes, and jumps to the way out of translated code. They are found by their
 * values. One that is overlooked, or a number that only looks like one, gives
 * another recording in a process that lies elsewhere, and translations.c keeps
 * only what is the same in two.
 */
#include "vmm/preload/library.h"

#include "vmm/preload/qemu.h"

#include "vmm/translations-format.h"

#include <pthread.h>
#include <unistd.h>

enum { JUMP = 0xe9 };

static struct {
	int fd;
	pthread_mutex_t lock; /* a processor has a thread of its own */
} recording = { .fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

/* One block, put together under the lock. */
static struct {
	struct translation head;
	unsigned char rest[TRANSLATION_PAGE +
			   TRANSLATION_INSTRUCTIONS_MAX * sizeof(struct translation_row) +
			   TRANSLATION_PLACES_MAX * sizeof(uint16_t) + TRANSLATION_CODE_MAX + 64];
} made;
static uint16_t places[TRANSLATION_PLACES_MAX];

/* With the lock held. A full disk ends the recording, and what is there is cut off. */
static void put(const void *data, size_t size)
{
	const char *at = data;

	while (size > 0 && recording.fd >= 0) {
		ssize_t n = write(recording.fd, at, size);

		if (n <= 0) {
			(void)close(recording.fd);
			recording.fd = -1;
			return;
		}
		at += n;
		size -= (size_t)n;
	}
}

void record_open(int fd)
{
	struct translations_head head = {
		.magic = RECORDING_MAGIC,
		.format = TRANSLATIONS_FORMAT,
	};

	if (fd < 0)
		return;
	memcpy(head.build_id, library_program()->build_id, sizeof(head.build_id));
	recording.fd = fd;
	put(&head, sizeof(head));
}

/* ---- what QEMU has told ---- */

static uint16_t row_end(size_t i)
{
	uint16_t end;

	memcpy(&end, tcg_ctx + CONTEXT_ENDS + i * sizeof(end), sizeof(end));
	return end;
}

static uint64_t row_start(size_t i, size_t word)
{
	uint64_t start;

	memcpy(&start, tcg_ctx + CONTEXT_STARTS + (2 * i + word) * sizeof(start), sizeof(start));
	return start;
}

/* Whether QEMU's structures have their contents where this library takes them from. */
static bool is_understood(const struct qemu_block *block, int size)
{
	const unsigned char *high_water;

	memcpy(&high_water, tcg_ctx + CONTEXT_HIGH_WATER, sizeof(high_water));
	if (!code_contains(block->code, (size_t)size) || !code_contains(high_water, 0) ||
	    block->code + size > high_water || !code_contains(tcg_code_gen_epilogue, 1) ||
	    block->instructions == 0 || block->instructions > TRANSLATION_INSTRUCTIONS_MAX ||
	    block->guest_size == 0 ||
	    block->pc % TRANSLATION_PAGE + block->guest_size > TRANSLATION_PAGE ||
	    row_start(0, 0) != block->pc % TRANSLATION_PAGE)
		return false;
	for (size_t i = 0; i < block->instructions; i++)
		if (row_end(i) > size || row_start(i, 0) >= TRANSLATION_PAGE ||
		    row_start(i, 1) > UINT16_MAX ||
		    (i > 0 &&
		     (row_end(i) < row_end(i - 1) || row_start(i, 0) <= row_start(i - 1, 0))))
			return false;
	for (int i = 0; i < 2; i++)
		if (block->jump_end[i] != TRANSLATION_NO_JUMP &&
		    (block->jump_end[i] > size || block->jump_at[i] >= (uintptr_t)size))
			return false;
	return true;
}

/* ---- making it independent ---- */

/* How many there are; more than TRANSLATION_PLACES_MAX: too many. */
static size_t find_places(const unsigned char *code, size_t size)
{
	const struct library_program *program = library_program();
	size_t count = 0;

	for (size_t i = 0; i + 1 + sizeof(int32_t) <= size; i++) {
		int32_t distance;
		const unsigned char *to;

		memcpy(&distance, code + i + 1, sizeof(distance));
		to = code + i + 1 + sizeof(distance) + distance;
		if (code[i] == JUMP &&
		    (to == tcg_code_gen_epilogue ||
		     to == tcg_code_gen_epilogue + EPILOGUE_SKIPPED)) {
			if (count < TRANSLATION_PLACES_MAX)
				places[count] = (uint16_t)(i + 1);
			count++;
		}
	}
	for (size_t i = 0; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t)) {
		uint64_t value;

		memcpy(&value, code + i, sizeof(value));
		if (value >= (uintptr_t)program->start && value < (uintptr_t)program->end) {
			if (count < TRANSLATION_PLACES_MAX)
				places[count] = (uint16_t)(i | TRANSLATION_POINTER);
			count++;
		}
	}
	return count;
}

/* relocate() in store.c is the way back. */
static void make_independent(unsigned char *copy, const unsigned char *code, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const size_t place = places[i] & ~TRANSLATION_POINTER;

		if (places[i] & TRANSLATION_POINTER) {
			uint64_t pointer;

			memcpy(&pointer, copy + place, sizeof(pointer));
			pointer -= (uintptr_t)library_program()->start;
			memcpy(copy + place, &pointer, sizeof(pointer));
		} else {
			int32_t distance;

			memcpy(&distance, copy + place, sizeof(distance));
			distance -= (int32_t)(tcg_code_gen_epilogue -
					      (code + place + sizeof(distance)));
			memcpy(copy + place, &distance, sizeof(distance));
		}
	}
}

static void fill_head(const struct qemu_block *block, uint32_t cflags, const unsigned char *guest,
		      int size, size_t place_count)
{
	struct translation *head = &made.head;

	memset(&made, 0, sizeof(made));
	head->base = block->base;
	head->flags = block->flags;
	head->cflags = cflags;
	head->offset = (uint16_t)(block->pc % TRANSLATION_PAGE);
	head->guest_size = block->guest_size;
	head->instructions = block->instructions;
	head->places = (uint16_t)place_count;
	head->code_size = (uint16_t)size;
	head->key = translation_key(block->base, block->flags, cflags, head->offset, guest);
	for (int i = 0; i < 2; i++) {
		head->jump_end[i] = block->jump_end[i];
		if (block->jump_end[i] != TRANSLATION_NO_JUMP)
			head->jump_at[i] = (uint16_t)block->jump_at[i];
	}
	head->size = (uint32_t)translation_parts(head).end;
}

static void fill_rest(const struct qemu_block *block, const unsigned char *guest)
{
	const struct translation_parts parts = translation_parts(&made.head);
	unsigned char *const start = (unsigned char *)&made;

	memcpy(start + parts.guest, guest, block->guest_size);
	for (size_t i = 0; i < block->instructions; i++) {
		const struct translation_row row = {
			.end = row_end(i),
			.offset = (uint16_t)row_start(i, 0),
			.flags_kind = (uint16_t)row_start(i, 1),
		};

		memcpy(start + parts.rows + i * sizeof(row), &row, sizeof(row));
	}
	memcpy(start + parts.places, places, made.head.places * sizeof(places[0]));
	memcpy(start + parts.code, block->code, made.head.code_size);
	make_independent(start + parts.code, block->code, made.head.places);
}

/* With the lock held. */
static void record(const struct qemu_block *block, uint32_t cflags, const unsigned char *guest,
		   int size)
{
	const size_t place_count = find_places(block->code, (size_t)size);

	if (place_count > TRANSLATION_PLACES_MAX)
		return;
	fill_head(block, cflags, guest, size, place_count);
	fill_rest(block, guest);
	made.head.sum = translation_sum(&made.head.key, made.head.size - sizeof(made.head.sum));
	put(&made, made.head.size);
}

void record_block(const struct qemu_block *block, uint32_t cflags, const unsigned char *guest,
		  int size)
{
	if (size > TRANSLATION_CODE_MAX)
		return;
	(void)pthread_mutex_lock(&recording.lock);
	if (recording.fd >= 0 && !is_understood(block, size)) {
		/* A file without an end of a block is no recording to translations.c. */
		(void)!ftruncate(recording.fd, 0);
		(void)close(recording.fd);
		recording.fd = -1;
	}
	if (recording.fd >= 0)
		record(block, cflags, guest, size);
	(void)pthread_mutex_unlock(&recording.lock);
}
