/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Empty ext4 disks, and what a disk's superblock says about its state. The
 * layout of the superblock is that of the kernel's
 * Documentation/filesystems/ext4/super.rst.
 *
 * Every writable disk of a VM has one virtual size, whatever the size of the
 * file system in it: the machine then looks the same to the guest's kernel,
 * so that a disk can be swapped under a VM that has booted already. Only what
 * is written takes space on the host.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define EXT4_DISK_SIZE (UINT64_C(1) << 40)
/* The smallest file system that has a journal; the largest is as large as its disk. */
#define EXT4_SIZE_MIN (UINT64_C(16) * 1024 * 1024)

enum ext4_kind {
	EXT4_LAYER,  /* made for a guest with little processor time, and thrown away with its
			container; holds the directories "upper", "work" and "work/work" */
	EXT4_VOLUME, /* made to last: checksums, spare superblocks; holds a directory "data" */
};

/*
 * Makes an empty file system of `size` bytes (a part of 4096 is dropped) in a disk at `path`, by
 * mke2fs. A file that is there is overwritten; it keeps its owner and mode. Blocks for up to some
 * 100 ms; nothing is synced. After a failure the file is not of use.
 */
int ext4_make(const char *path, enum ext4_kind kind, uint64_t size, struct cay_error *err);

enum ext4_state {
	EXT4_SOUND,   /* to be mounted; its journal may have to be replayed, which mounting does */
	EXT4_FAULTY,  /* the kernel has met an error in it: to be checked before it is mounted */
	EXT4_FOREIGN, /* no file system that could be told; to be checked as well */
	EXT4_EMPTY,   /* nothing was ever written: the disk never reached the host's storage */
};

/* The bytes of a disk where its superblock is: foreign, as a guest may write what it likes. */
enum { EXT4_SUPERBLOCK_AT = 1024, EXT4_SUPERBLOCK_SIZE = 1024 };
enum ext4_state ext4_judge(const uint8_t superblock[EXT4_SUPERBLOCK_SIZE]);
/* Bytes of the file system that it tells of; 0 where that is none, or one that fits no disk. */
uint64_t ext4_tell_size(const uint8_t superblock[EXT4_SUPERBLOCK_SIZE]);
/* The same of a disk; one that is too short for a superblock is EXT4_EMPTY and has a size of 0. */
int ext4_read_state(int fd, enum ext4_state *ret_state);
int ext4_read_size(int fd, uint64_t *ret_size);
