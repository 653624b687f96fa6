/* SPDX-License-Identifier: Apache-2.0 */
/* The table of guest-memory.h, and reading and writing in pieces. */
#include "files/guest-memory.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct guest_memory *guest_memory_new(void)
{
	struct guest_memory *memory = xcalloc(1, sizeof(*memory));

	memory->users = 1;
	return memory;
}

struct guest_memory *guest_memory_ref(struct guest_memory *memory)
{
	(void)atomic_fetch_add(&memory->users, 1);
	return memory;
}

void guest_memory_unref(struct guest_memory *memory)
{
	if (!memory || atomic_fetch_sub(&memory->users, 1) != 1)
		return;
	for (size_t i = 0; memory->mapped && i < memory->count; i++)
		(void)munmap(memory->regions[i].bytes, memory->regions[i].size);
	free(memory);
}

static bool overflows(uint64_t start, uint64_t size)
{
	return start > UINT64_MAX - size;
}

int guest_memory_map(struct guest_memory *memory, uint64_t guest, uint64_t user, uint64_t size,
		     uint64_t offset, int fd)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct statx stat;
	void *bytes;

	if (memory->count == GUEST_REGIONS_MAX || size == 0 || size > GUEST_MEMORY_MAX ||
	    offset > GUEST_MEMORY_MAX || offset % page != 0 || overflows(guest, size) ||
	    overflows(user, size))
		return -EINVAL;
	/* Mapping a device is whatever its driver makes of it. */
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.stx_mode) || stat.stx_size < offset + size)
		return -EINVAL;
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (bytes == MAP_FAILED)
		return -errno;
	memory->mapped = true;
	memory->regions[memory->count++] = (struct guest_region){ guest, user, size, bytes };
	return 0;
}

uint8_t *guest_memory_at(const struct guest_memory *memory, uint64_t address, uint64_t wanted,
			 uint64_t *ret_length)
{
	for (size_t i = 0; i < memory->count; i++) {
		const struct guest_region *region = &memory->regions[i];
		uint64_t at = address - region->guest;

		if (address < region->guest || at >= region->size || wanted == 0)
			continue;
		*ret_length = MIN(wanted, region->size - at);
		return region->bytes + at;
	}
	return NULL;
}

void *guest_memory_at_user(const struct guest_memory *memory, uint64_t address, uint64_t size,
			   uint64_t alignment)
{
	for (size_t i = 0; i < memory->count; i++) {
		const struct guest_region *region = &memory->regions[i];
		uint64_t at = address - region->user;

		if (address < region->user || at >= region->size || size > region->size - at)
			continue;
		return (uintptr_t)(region->bytes + at) % alignment == 0 ? region->bytes + at : NULL;
	}
	return NULL;
}

size_t pieces_read(const struct pieces *pieces, void *data, size_t size)
{
	uint8_t *at = data;
	size_t done = 0;

	for (size_t i = 0; i < pieces->count && done < size; i++) {
		size_t length = MIN(pieces->items[i].iov_len, size - done);

		memcpy(at + done, pieces->items[i].iov_base, length);
		done += length;
	}
	return done;
}

size_t pieces_write(const struct pieces *pieces, const void *data, size_t size)
{
	const uint8_t *at = data;
	size_t done = 0;

	for (size_t i = 0; i < pieces->count && done < size; i++) {
		size_t length = MIN(pieces->items[i].iov_len, size - done);

		memcpy(pieces->items[i].iov_base, at + done, length);
		done += length;
	}
	return done;
}

void pieces_skip(struct pieces *pieces, size_t size)
{
	size = MIN(size, pieces->size);
	pieces->size -= size;
	while (pieces->count > 0 && size >= pieces->items[0].iov_len) {
		size -= pieces->items[0].iov_len;
		pieces->items++;
		pieces->count--;
	}
	if (size > 0) {
		pieces->items[0].iov_base = (uint8_t *)pieces->items[0].iov_base + size;
		pieces->items[0].iov_len -= size;
	}
}

void pieces_cut(struct pieces *pieces, size_t size)
{
	size_t left = size;

	if (pieces->size <= size)
		return;
	pieces->size = size;
	for (size_t i = 0; i < pieces->count; i++) {
		if (pieces->items[i].iov_len >= left) {
			pieces->items[i].iov_len = left;
			pieces->count = left > 0 ? i + 1 : i;
			return;
		}
		left -= pieces->items[i].iov_len;
	}
}
