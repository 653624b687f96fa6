/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings made by hand, and what becomes of two of them. */
#include "test.h"

#include "vmm/translations-format.h"
#include "vmm/translations.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <sys/stat.h>

enum { CODE_SIZE = 40, INSTRUCTIONS = 3 };

struct fixture {
	char directory[64];
	char *first, *second, *output;
};

#define assert_fails(call, expected) \
	do { \
		assert_true((call) < 0); \
		assert_int_equal(err.code, expected); \
	} while (0)

static int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	make_test_directory(fixture->directory);
	fixture->first = path_join(fixture->directory, "first");
	fixture->second = path_join(fixture->directory, "second");
	fixture->output = path_join(fixture->directory, "output");
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	struct cay_error err;

	assert_ok(remove_tree(fixture->directory, &err));
	free(fixture->first);
	free(fixture->second);
	free(fixture->output);
	free(fixture);
	return 0;
}

static void begin(struct buf *recording, uint8_t build)
{
	struct translations_head head = {
		.magic = RECORDING_MAGIC,
		.format = TRANSLATIONS_FORMAT,
		.build_id = { build },
	};

	buf_append(recording, &head, sizeof(head));
}

/* A block of which the guest's bytes all are `guest` and the code's `code`. */
static void add_changed(struct buf *recording, uint8_t guest, uint8_t code,
			void (*change)(struct translation *translation))
{
	unsigned char bytes[1024] = { 0 }, page[TRANSLATION_PAGE];
	struct translation *translation = (void *)bytes;
	struct translation_parts parts;

	*translation = (struct translation){
		.flags = 0x40c0b3,
		.cflags = 0xff000000,
		.offset = 0x123,
		.guest_size = 11,
		.instructions = INSTRUCTIONS,
		.places = 1,
		.code_size = CODE_SIZE,
		.jump_end = { 20, TRANSLATION_NO_JUMP },
		.jump_at = { 16, 0 },
	};
	parts = translation_parts(translation);
	memset(page, guest, sizeof(page));
	memset(bytes + parts.guest, guest, translation->guest_size);
	memset(bytes + parts.code, code, CODE_SIZE);
	translation->size = (uint32_t)parts.end;
	if (change)
		change(translation);
	translation->key = translation_key(0, translation->flags, translation->cflags,
					   translation->offset, page);
	translation->sum = translation_sum(&translation->key, parts.end - sizeof(uint64_t));
	buf_append(recording, bytes, parts.end);
}

static void add(struct buf *recording, uint8_t guest, uint8_t code)
{
	add_changed(recording, guest, code, NULL);
}

static void save(const char *path, const struct buf *recording)
{
	struct cay_error err;

	assert_ok(file_write_volatile(path, recording->data, recording->length, 0600, &err));
}

static size_t merge(const struct fixture *fixture, const struct buf *first,
		    const struct buf *second, size_t *ret_differing)
{
	struct translations_counts counts = { 0 };
	struct cay_error err;

	save(fixture->first, first);
	save(fixture->second, second);
	assert_ok(translations_merge(fixture->first, fixture->second, fixture->output, &counts,
				     &err));
	*ret_differing = counts.differing;
	return counts.kept;
}

/* As the library in QEMU looks it up; 0: it is not there. */
static uint8_t look_up(const struct buf *file, uint8_t guest)
{
	const struct translations_head *head = (const void *)file->data;
	const uint32_t *table = (const void *)(file->data + sizeof(*head));
	unsigned char page[TRANSLATION_PAGE];
	uint64_t key;

	memset(page, guest, sizeof(page));
	key = translation_key(0, 0x40c0b3, 0xff000000, 0x123, page);
	for (uint64_t slot = key & (head->slots - 1); table[slot];
	     slot = (slot + 1) & (head->slots - 1)) {
		const char *start = file->data + (size_t)table[slot] * TRANSLATION_ALIGN;
		const struct translation *found = (const void *)start;

		if (found->key == key)
			return (uint8_t)start[translation_parts(found).code];
	}
	return 0;
}

static void test_what_is_kept(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf first = { 0 }, second = { 0 }, file = { 0 };
	struct cay_error err;
	struct stat st;
	size_t differing;
	int fd;

	begin(&first, 1);
	begin(&second, 1);
	add(&first, 1, 101);
	add(&first, 2, 102);
	add(&first, 3, 103);
	add(&first, 2, 102);
	add(&first, 5, 105);
	add(&first, 5, 106); /* not the same each time */
	add(&second, 5, 105);
	add(&second, 4, 104);
	add(&second, 3, 113);
	add(&second, 2, 102);
	add(&second, 1, 101);
	assert_int_equal(merge(fixture, &first, &second, &differing), 2);
	assert_int_equal(differing, 2);
	assert_int_equal(stat(fixture->output, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	fd = translations_open(fixture->output, &err);
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_ok(file_read(fixture->output, MIB, &file, &err));
	assert_int_equal(look_up(&file, 1), 101);
	assert_int_equal(look_up(&file, 2), 102);
	for (uint8_t guest = 3; guest <= 5; guest++)
		assert_int_equal(look_up(&file, guest), 0);
	/* It is never written over what is there. */
	assert_fails(translations_merge(fixture->first, fixture->second, fixture->output,
					&(struct translations_counts){ 0 }, &err),
		     CAY_EXISTS);
}

static void test_many(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf first = { 0 }, file = { 0 };
	struct cay_error err;
	size_t differing;

	begin(&first, 1);
	for (unsigned int guest = 1; guest <= 255; guest++)
		add(&first, (uint8_t)guest, (uint8_t)(256 - guest));
	assert_int_equal(merge(fixture, &first, &first, &differing), 255);
	assert_int_equal(differing, 0);
	assert_ok(file_read(fixture->output, MIB, &file, &err));
	for (unsigned int guest = 1; guest <= 255; guest++)
		assert_int_equal(look_up(&file, (uint8_t)guest), 256 - guest);
}

static void test_cut_off(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf first = { 0 }, second = { 0 };
	size_t differing;

	begin(&first, 1);
	add(&first, 1, 101);
	add(&first, 2, 102);
	buf_append(&second, first.data, first.length - 9);
	assert_int_equal(merge(fixture, &first, &second, &differing), 1);
	assert_int_equal(differing, 0);
}

static void too_much_of_the_guest(struct translation *translation)
{
	translation->offset = TRANSLATION_PAGE - 5;
}

static void no_instructions(struct translation *translation)
{
	translation->instructions = 0;
}

static void too_large(struct translation *translation)
{
	translation->size += 4096;
}

static void jump_outside(struct translation *translation)
{
	translation->jump_at[0] = CODE_SIZE - 3;
}

static void place_outside(struct translation *translation)
{
	const uint16_t place = TRANSLATION_POINTER | (CODE_SIZE - 7);

	memcpy((char *)translation + translation_parts(translation).places, &place, sizeof(place));
}

static void row_outside(struct translation *translation)
{
	const struct translation_row row = { .end = CODE_SIZE + 1 };

	memcpy((char *)translation + translation_parts(translation).rows, &row, sizeof(row));
}

/* A recording ends where it makes no sense. */
static void test_nonsense(void **state)
{
	static void (*const changes[])(struct translation *) = {
		too_much_of_the_guest, no_instructions, too_large,
		jump_outside,          place_outside,   row_outside,
	};
	const struct fixture *fixture = *state;

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		_cleanup_buf_ struct buf recording = { 0 };
		size_t differing;

		begin(&recording, 1);
		add(&recording, 1, 101);
		add_changed(&recording, 2, 102, changes[i]);
		add(&recording, 3, 103);
		assert_int_equal(merge(fixture, &recording, &recording, &differing), 1);
		assert_int_equal(unlink(fixture->output), 0);
	}
}

static void test_damaged_recording(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf recording = { 0 };
	size_t differing;

	begin(&recording, 1);
	add(&recording, 1, 101);
	add(&recording, 2, 102);
	recording.data[recording.length - 1] ^= 1;
	assert_int_equal(merge(fixture, &recording, &recording, &differing), 1);
}

static void refuse(const struct fixture *fixture, const struct buf *first, const struct buf *second,
		   enum cay_code code)
{
	struct translations_counts counts;
	struct cay_error err;

	save(fixture->first, first);
	save(fixture->second, second);
	assert_fails(
		translations_merge(fixture->first, fixture->second, fixture->output, &counts, &err),
		code);
	assert_false(file_exists(fixture->output));
}

static void test_refusals(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf empty = { 0 }, one = { 0 }, other = { 0 }, nothing = { 0 };

	begin(&one, 1);
	add(&one, 1, 101);
	begin(&other, 2);
	add(&other, 1, 101);
	begin(&nothing, 1);
	refuse(fixture, &empty, &one, CAY_UNSUPPORTED);
	refuse(fixture, &one, &empty, CAY_UNSUPPORTED);
	refuse(fixture, &one, &nothing, CAY_UNSUPPORTED);
	refuse(fixture, &nothing, &nothing, CAY_UNSUPPORTED);
	refuse(fixture, &one, &other, CAY_CONFLICT);
	buf_append(&empty, one.data + 1, one.length - 1);
	refuse(fixture, &empty, &empty, CAY_CONFLICT);
}

static void refuse_to_open(const struct fixture *fixture, const struct buf *file, mode_t mode)
{
	struct cay_error err;

	(void)unlink(fixture->output);
	assert_ok(file_write_volatile(fixture->output, file->data, file->length, mode, &err));
	assert_fails(translations_open(fixture->output, &err), CAY_CORRUPT);
}

static void test_opening(void **state)
{
	const struct fixture *fixture = *state;
	_cleanup_buf_ struct buf recording = { 0 }, file = { 0 };
	struct translations_head *head;
	struct cay_error err;
	size_t differing;

	assert_fails(translations_open(fixture->output, &err), CAY_NOT_FOUND);
	begin(&recording, 1);
	add(&recording, 1, 101);
	assert_int_equal(merge(fixture, &recording, &recording, &differing), 1);
	assert_ok(file_read(fixture->output, MIB, &file, &err));
	refuse_to_open(fixture, &recording, 0400);
	refuse_to_open(fixture, &file, 0440);
	refuse_to_open(fixture, &file, 0600);
	head = (void *)file.data;
	head->slots++;
	refuse_to_open(fixture, &file, 0400);
	head->slots = 1U << 31;
	refuse_to_open(fixture, &file, 0400);
	file.length--;
	refuse_to_open(fixture, &file, 0400);
	file.length = 10;
	refuse_to_open(fixture, &file, 0400);
	file.length = 0;
	refuse_to_open(fixture, &file, 0400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cut_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_recording, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_opening, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
