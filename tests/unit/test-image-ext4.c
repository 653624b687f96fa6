/* SPDX-License-Identifier: Apache-2.0 */
/* What a superblock says, on disks that mke2fs and debugfs have made. */
#include "test.h"

#include "image/ext4.h"

#include "base/file.h"
#include "base/process.h"

#include <fcntl.h>
#include <sys/stat.h>

struct fixture {
	char directory[64];
	char *disk;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	make_test_directory(fixture->directory);
	fixture->disk = path_join(fixture->directory, "disk");
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	assert_ok(remove_tree(fixture->directory, &err));
	free(fixture->disk);
	free(fixture);
	return 0;
}

static void make(const struct fixture *fixture, enum ext4_kind kind, uint64_t size)
{
	_cleanup_close_ int fd = open(fixture->disk, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct cay_error err = { 0 };

	assert_ok(ext4_make(fixture->disk, kind, size, &err));
}

static void debug(const struct fixture *fixture, const char *command, struct buf *output)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct cay_error err = { 0 };

	strv_add(&argv, "debugfs");
	strv_add(&argv, "-w");
	strv_add(&argv, "-R");
	strv_add(&argv, command);
	strv_add(&argv, fixture->disk);
	assert_int_equal(process_run(&argv, 65536, output, &err), 0);
}

static enum ext4_state state_of(const struct fixture *fixture)
{
	_cleanup_close_ int fd = open(fixture->disk, O_RDONLY | O_CLOEXEC);
	enum ext4_state state = EXT4_FOREIGN;

	assert_int_equal(ext4_read_state(fd, &state), 0);
	return state;
}

static void test_states(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_close_ int fd = -1;

	make(fixture, EXT4_LAYER, 32 * MIB);
	assert_int_equal(state_of(fixture), EXT4_SOUND);
	debug(fixture, "set_super_value state 3", NULL);
	assert_int_equal(state_of(fixture), EXT4_FAULTY);
	/* One whose journal is to be replayed is sound. */
	debug(fixture, "set_super_value state 0", NULL);
	assert_int_equal(state_of(fixture), EXT4_SOUND);
	debug(fixture, "set_super_value error_count 1", NULL);
	assert_int_equal(state_of(fixture), EXT4_FAULTY);
	fd = open(fixture->disk, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "xx", 2, 1024 + 0x38), 2);
	assert_int_equal(state_of(fixture), EXT4_FOREIGN);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(state_of(fixture), EXT4_EMPTY);
	assert_int_equal(ftruncate(fd, 2047), 0);
	assert_int_equal(state_of(fixture), EXT4_EMPTY);
	assert_int_equal(ftruncate(fd, 64 * MIB), 0);
	assert_int_equal(state_of(fixture), EXT4_EMPTY);
}

static void test_sizes(void **state)
{
	static const uint64_t sizes[] = { 16 * MIB, 64 * MIB, 3 * GIB + 64 * MIB, EXT4_DISK_SIZE };
	const struct fixture *fixture = *state;
	uint64_t size;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		make(fixture, EXT4_VOLUME, sizes[i]);
		_cleanup_close_ int fd = open(fixture->disk, O_RDWR | O_CLOEXEC);

		assert_int_equal(ext4_read_size(fd, &size), 0);
		assert_true(size == sizes[i]);
		assert_int_equal(ftruncate(fd, 2047), 0);
		assert_int_equal(ext4_read_size(fd, &size), 0);
		assert_true(size == 0);
	}
}

/* What a guest may have written there. */
static void test_sizes_that_are_none(void **state)
{
	uint8_t superblock[EXT4_SUPERBLOCK_SIZE] = { [0x38] = 0x53, [0x39] = 0xef, [4] = 1 };

	assert_true(ext4_tell_size(superblock) == 1024);
	superblock[0x18] = 7;
	assert_true(ext4_tell_size(superblock) == 0);
	superblock[0x18] = 6;
	memset(superblock + 4, 0xff, 4);
	assert_true(ext4_tell_size(superblock) == 0);
	superblock[0x60] = 0x80;
	memset(superblock + 0x150, 0xff, 4);
	assert_true(ext4_tell_size(superblock) == 0);
	superblock[0x38] = 0;
	assert_true(ext4_tell_size(superblock) == 0);
}

/* A volume has a directory for its contents, root's, so that nothing else is in their way. */
static void test_volume(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf list = { 0 };
	struct stat st;

	make(fixture, EXT4_VOLUME, 64 * MIB);
	assert_int_equal(state_of(fixture), EXT4_SOUND);
	assert_int_equal(stat(fixture->disk, &st), 0);
	assert_true((uint64_t)st.st_size == EXT4_DISK_SIZE);
	assert_int_equal(st.st_mode & 07777, 0600);
	debug(fixture, "stat data", &list);
	assert_non_null(strstr(buf_text(&list), "Type: directory    Mode:  0755"));
	assert_non_null(strstr(buf_text(&list), "User:     0   Group:     0 "));
	debug(fixture, "ls -p data", &list);
	assert_null(strstr(buf_text(&list), "lost+found"));
}

/* What an overlay works with is there, root's, and empty but for what it holds of that itself. */
static void test_layer(void **state)
{
	static const struct {
		const char *path;
		unsigned int links; /* its own, and one for each directory in it */
	} directories[] = { { "upper", 2 }, { "work", 3 }, { "work/work", 2 } };
	const struct fixture *fixture = *state;

	make(fixture, EXT4_LAYER, 64 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		_cleanup_buf_ struct buf text = { 0 };
		char line[64];

		(void)snprintf(line, sizeof(line), "stat %s", directories[i].path);
		debug(fixture, line, &text);
		assert_non_null(strstr(buf_text(&text), "Type: directory    Mode:  0755"));
		assert_non_null(strstr(buf_text(&text), "User:     0   Group:     0 "));
		(void)snprintf(line, sizeof(line), "Links: %u ", directories[i].links);
		assert_non_null(strstr(buf_text(&text), line));
	}
}

static void test_failure(void **state)
{
	const struct fixture *fixture = *state;
	struct cay_error err = { 0 };

	assert_true(ext4_make("/nonexistent/disk", EXT4_LAYER, 32 * MIB, &err) < 0);
	assert_non_null(strstr(err.message, "/nonexistent/disk"));
	assert_int_equal(access("/nonexistent", F_OK), -1);
	make(fixture, EXT4_LAYER, EXT4_SIZE_MIN);
	assert_true(ext4_make(fixture->disk, EXT4_LAYER, 4096, &err) < 0);
	assert_non_null(strstr(err.message, "mke2fs"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sizes, set_up, tear_down),
		cmocka_unit_test(test_sizes_that_are_none),
		cmocka_unit_test_setup_teardown(test_volume, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_layer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
