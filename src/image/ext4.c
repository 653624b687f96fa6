/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs mke2fs, and reads superblocks.
 *
 * A layer's file system is made for a guest that has little processor time:
 * nothing is left for the kernel to initialize later but the inode tables,
 * which the mount option noinit_itable leaves alone; the journal is small;
 * there is no room for growing, which never happens; the directories that the
 * guest's overlay works with are there, since the first write to a file system
 * is the most expensive part of a start. Nothing is reserved for root in either
 * kind.
 */
#include "image/ext4.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

enum { DIRECTORIES_MAX = 3 };

enum {
	BLOCK = 4096,
	OUTPUT_MAX = 4096,
	JOURNAL_MIN_MB = 4, /* mke2fs takes no less */
	LAYER_JOURNAL_MB = 16,
	VOLUME_JOURNAL_MB = 64,
	JOURNAL_SHARE = 16, /* of a small file system at most this part */
	WIPED_MAX = 128 * 1024,
};

/* The superblock's members that count here, and their values. */
enum {
	SB_BLOCKS = 0x4,          /* le32 */
	SB_LOG_BLOCK_SIZE = 0x18, /* le32 */
	SB_MAGIC = 0x38,          /* le16 */
	SB_STATE = 0x3a,          /* le16 */
	SB_INCOMPATIBLE = 0x60,   /* le32 */
	SB_BLOCKS_HIGH = 0x150,   /* le32, with INCOMPATIBLE_64BIT */
	SB_ERROR_COUNT = 0x194,   /* le32: errors since the last check */
	MAGIC = 0xef53,
	STATE_ERRORS = 0x2,
	INCOMPATIBLE_64BIT = 0x80,
	LOG_BLOCK_SIZE_MAX = 6, /* 64 KiB */
};

/* ---- making ---- */

struct ext4_shape {
	const char *features, *extended;
	unsigned int journal_mb;
	const char *directories[DIRECTORIES_MAX]; /* that it holds; parents first */
};

static const struct ext4_shape shapes[] = {
	[EXT4_LAYER] = {
		.features = "^resize_inode,^metadata_csum,uninit_bg,flex_bg,sparse_super2,extent",
		.extended = "nodiscard,lazy_itable_init=1,lazy_journal_init=1,num_backup_sb=0",
		.journal_mb = LAYER_JOURNAL_MB,
		/* The last is what overlayfs makes in its "workdir", unless it finds it empty. */
		.directories = { "upper", "work", "work/work" },
	},
	[EXT4_VOLUME] = {
		.features = "^resize_inode,metadata_csum,64bit,flex_bg,sparse_super,extent",
		.extended = "nodiscard,lazy_itable_init=1,lazy_journal_init=1",
		.journal_mb = VOLUME_JOURNAL_MB,
		.directories = { "data" },
	},
};

static void make_arguments(const char *path, const struct ext4_shape *shape, uint64_t size,
			   const char *contents, struct strv *argv)
{
	const uint64_t share = size / MIB / JOURNAL_SHARE;

	strv_add(argv, "mke2fs");
	strv_add(argv, "-q");
	strv_add(argv, "-F");
	strv_add(argv, "-t");
	strv_add(argv, "ext4");
	strv_add(argv, "-b");
	strv_addf(argv, "%d", BLOCK);
	strv_add(argv, "-I");
	strv_add(argv, "256");
	strv_add(argv, "-m");
	strv_add(argv, "0");
	strv_add(argv, "-J");
	strv_addf(argv, "size=%" PRIu64, MAX(MIN(share, shape->journal_mb), JOURNAL_MIN_MB));
	strv_add(argv, "-O");
	strv_add(argv, shape->features);
	strv_add(argv, "-E");
	strv_add(argv, shape->extended);
	strv_add(argv, "-d");
	strv_add(argv, contents);
	strv_add(argv, path);
	strv_addf(argv, "%" PRIu64 "k", size / BLOCK * (BLOCK / 1024));
}

static int run(const struct strv *argv, struct cay_error *err)
{
	_cleanup_buf_ struct buf output = { 0 };
	int r = process_run(argv, OUTPUT_MAX, &output, err);

	if (r > 0)
		return cay_error_set(err, CAY_INTERNAL, EIO, "%s failed (exit code %d): %s",
				     argv->items[0], r, buf_text(&output));
	return r;
}

/* Without root the directories that were copied in have our own user as their owner. */
static int give_to_root(const char *path, const struct ext4_shape *shape, struct cay_error *err)
{
	static const char *const fields[] = { "uid", "gid" };
	int r = 0;

	for (size_t i = 0; i < DIRECTORIES_MAX * ARRAY_SIZE(fields) && r == 0; i++) {
		const char *directory = shape->directories[i / ARRAY_SIZE(fields)];
		_cleanup_strv_ struct strv argv = { 0 };

		if (!directory)
			break;
		strv_add(&argv, "debugfs");
		strv_add(&argv, "-w");
		strv_add(&argv, "-R");
		strv_addf(&argv, "set_inode_field %s %s 0", directory,
			  fields[i % ARRAY_SIZE(fields)]);
		strv_add(&argv, path);
		r = run(&argv, err);
	}
	return r;
}

static int make_contents(const char *contents, const struct ext4_shape *shape,
			 struct cay_error *err)
{
	int r = 0;

	/* One that a crash has left is as good. */
	if (mkdir(contents, 0755) < 0 && errno != EEXIST)
		return cay_error_errno(err, errno, "making %s", contents);
	for (size_t i = 0; i < DIRECTORIES_MAX && shape->directories[i] && r == 0; i++) {
		_cleanup_free_ char *path = path_join(contents, shape->directories[i]);

		r = make_dirs(path, 0755, err);
		/* The umask is the daemon's own; users of the container are to get through. */
		if (r == 0 && chmod(path, 0755) < 0)
			r = cay_error_errno(err, errno, "making %s", path);
	}
	if (r == 0 && chmod(contents, 0755) < 0)
		r = cay_error_errno(err, errno, "making %s", contents);
	return r;
}

/*
 * The directories get into the file system by its being filled with a folder that holds them. In a
 * volume, what its root would show beside the one (lost+found) is then out of every program's way.
 */
static int make_filled(const char *path, const struct ext4_shape *shape, uint64_t size,
		       struct cay_error *err)
{
	_cleanup_free_ char *contents = xasprintf("%s.contents", path);
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error cleanup = { 0 };
	int r = make_contents(contents, shape, err);

	make_arguments(path, shape, size, contents, &argv);
	if (r == 0)
		r = run(&argv, err);
	if (r == 0 && geteuid() != 0)
		r = give_to_root(path, shape, err);
	if (file_exists(contents) && remove_tree(contents, &cleanup) < 0)
		log_warning("%s", cleanup.message);
	return r;
}

/*
 * mke2fs overwrites up to WIPED_MAX bytes at the end, where the superblock of an old RAID might be.
 * These zeros take space on the host that copies of the disk don't take, and nobody needs them.
 */
static void drop_wiped_end(int fd, uint64_t size)
{
	const off_t end = (off_t)(size / BLOCK * BLOCK), start = MAX(end - WIPED_MAX, 0);

	if (lseek(fd, start, SEEK_DATA) < 0 && errno == ENXIO)
		/* Where it can't be done they stay. */
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, end - start);
}

int ext4_make(const char *path, enum ext4_kind kind, uint64_t size, struct cay_error *err)
{
	_cleanup_close_ int fd = -1;
	int r = make_filled(path, &shapes[kind], size, err);

	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		drop_wiped_end(fd, size);
	if (fd < 0 || ftruncate(fd, (off_t)EXT4_DISK_SIZE) < 0)
		return cay_error_errno(err, errno, "making %s", path);
	return 0;
}

/* ---- reading ---- */

static unsigned int le16(const uint8_t *at)
{
	return (unsigned int)at[0] | (unsigned int)at[1] << 8;
}

static uint32_t le32(const uint8_t *at)
{
	return (uint32_t)le16(at) | (uint32_t)le16(at + 2) << 16;
}

enum ext4_state ext4_judge(const uint8_t superblock[EXT4_SUPERBLOCK_SIZE])
{
	if (le16(superblock + SB_MAGIC) != MAGIC) {
		for (size_t i = 0; i < EXT4_SUPERBLOCK_SIZE; i++)
			if (superblock[i] != 0)
				return EXT4_FOREIGN;
		return EXT4_EMPTY;
	}
	if ((le16(superblock + SB_STATE) & STATE_ERRORS) || le32(superblock + SB_ERROR_COUNT) != 0)
		return EXT4_FAULTY;
	return EXT4_SOUND;
}

uint64_t ext4_tell_size(const uint8_t superblock[EXT4_SUPERBLOCK_SIZE])
{
	const uint32_t log_size = le32(superblock + SB_LOG_BLOCK_SIZE);
	uint64_t blocks = le32(superblock + SB_BLOCKS);

	if (le16(superblock + SB_MAGIC) != MAGIC || log_size > LOG_BLOCK_SIZE_MAX)
		return 0;
	if (le32(superblock + SB_INCOMPATIBLE) & INCOMPATIBLE_64BIT)
		blocks |= (uint64_t)le32(superblock + SB_BLOCKS_HIGH) << 32;
	return blocks <= EXT4_DISK_SIZE >> (10 + log_size) ? blocks << (10 + log_size) : 0;
}

/* What is beyond the disk's end is zeros. */
static int read_superblock(int fd, uint8_t ret_superblock[EXT4_SUPERBLOCK_SIZE])
{
	ssize_t n = pread_full(fd, ret_superblock, EXT4_SUPERBLOCK_SIZE, EXT4_SUPERBLOCK_AT);

	if (n < 0)
		return (int)n;
	if (n < EXT4_SUPERBLOCK_SIZE)
		memset(ret_superblock, 0, EXT4_SUPERBLOCK_SIZE);
	return 0;
}

int ext4_read_state(int fd, enum ext4_state *ret_state)
{
	uint8_t superblock[EXT4_SUPERBLOCK_SIZE];
	int r = read_superblock(fd, superblock);

	if (r == 0)
		*ret_state = ext4_judge(superblock);
	return r;
}

int ext4_read_size(int fd, uint64_t *ret_size)
{
	uint8_t superblock[EXT4_SUPERBLOCK_SIZE];
	int r = read_superblock(fd, superblock);

	if (r == 0)
		*ret_size = ext4_tell_size(superblock);
	return r;
}
