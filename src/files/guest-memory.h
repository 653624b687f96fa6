/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's memory as QEMU describes it: some regions, each a piece of a
 * file that is mapped here. Every address that comes from the guest is looked
 * up in the table and nothing outside of it is touched.
 *
 * What lies there is foreign and changes while it is looked at: copy first,
 * then check the copy. Whoever has the file can cut it off under our hands;
 * reading there is a SIGBUS, which ends this process and nothing else.
 */
#pragma once

#include "base/macros.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
	/* What one message of QEMU's can describe. */
	GUEST_REGIONS_MAX = 8,
};

/* Of one region, and where it may end. */
#define GUEST_MEMORY_MAX (UINT64_C(1) << 42)

struct guest_region {
	uint64_t guest; /* its address in the guest */
	uint64_t user;  /* and in QEMU */
	uint64_t size;
	uint8_t *bytes; /* and here */
};

struct guest_memory {
	atomic_uint users;
	size_t count;
	struct guest_region regions[GUEST_REGIONS_MAX];
	bool mapped; /* by guest_memory_map(), so to be unmapped */
};

/* Empty, with one use. */
struct guest_memory *guest_memory_new(void);
struct guest_memory *guest_memory_ref(struct guest_memory *memory);
/* The last one unmaps it. NULL is allowed. */
void guest_memory_unref(struct guest_memory *memory);

/*
 * Maps `size` bytes of a regular file from `offset` on, and adds them. -EINVAL: not a file
 * or not one of that size, an offset that is not a page's, an empty or overflowing range, or too
 * many; else mmap(2)'s -errno.
 */
int guest_memory_map(struct guest_memory *memory, uint64_t guest, uint64_t user, uint64_t size,
		     uint64_t offset, int fd);

/*
 * Where the byte at a guest's address is, and how many of the `wanted` follow it there: at least
 * one. NULL where the guest has no memory.
 */
uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t wanted,
			 uint64_t *ret_length);
/* `size` bytes in one piece at an address of QEMU's, which is a multiple of `alignment`; or NULL.
 */
void *guest_memory_at_user(const struct guest_memory *memory, uint64_t address, uint64_t size,
			   uint64_t alignment);

/* Pieces of memory that follow one another in meaning. */
struct pieces {
	struct iovec *items;
	size_t count;
	size_t size; /* of all of them */
};

/* Copies from or to the beginning of pieces; how much there was of `size`. */
size_t pieces_read(const struct pieces *pieces, void *data, size_t size);
size_t pieces_write(const struct pieces *pieces, const void *data, size_t size);
/* Takes up to `size` bytes from their front away. */
void pieces_skip(struct pieces *pieces, size_t size);
/* Leaves the first `size` bytes at most. */
void pieces_cut(struct pieces *pieces, size_t size);
