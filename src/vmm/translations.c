/* SPDX-License-Identifier: Apache-2.0 */
/* From two recordings to a finished file; and opening one. */
#include "vmm/translations.h"

#include "vmm/cache.h"
#include "vmm/translations-format.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* The first processor's lines are not longer than that; all others' would take time to make. */
enum { SLOTS_MIN = 1024, CPUINFO_SIZE = 8192 };

/* ---- what they depend on ---- */

/* Adds the first line that begins so. */
static void add_line(struct buf *text, const char *lines, const char *beginning)
{
	const char *line = strstr(lines, beginning);

	if (line)
		buf_printf(text, " %.*s", (int)strcspn(line, "\n"), line);
}

/* What the translator goes by: it uses whatever instructions there are. */
static void add_processor(struct buf *text)
{
	static const char *const beginnings[] = { "model name", "flags" };
	_cleanup_close_ int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	char lines[CPUINFO_SIZE];
	ssize_t size = fd < 0 ? -1 : read_full(fd, lines, sizeof(lines) - 1);

	if (size < 0)
		return;
	lines[size] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		add_line(text, lines, beginnings[i]);
}

char *translations_shape(const struct vm_machine *machine)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_free_ char *qemu = NULL;

	buf_printf(&text, "%d %d", TRANSLATIONS_FORMAT, machine->stock_kernel);
	if (vm_find_qemu(machine->qemu, &qemu, NULL) == 0)
		cache_file_key(&text, qemu);
	cache_file_key(&text, machine->kernel);
	cache_file_key(&text, machine->initramfs);
	cache_file_key(&text, machine->preload);
	add_processor(&text);
	return xstrdup(buf_text(&text));
}

/* ---- reading recordings ---- */

struct file {
	const unsigned char *data;
	size_t size;
};

static void file_unmap(struct file *file)
{
	if (file->data)
		(void)munmap((void *)(uintptr_t)file->data, file->size);
}

static int map_recording(const char *path, struct file *ret_file, struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	if (st.st_size < (off_t)sizeof(struct translations_head))
		return cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				     "QEMU has recorded no translations");
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return cay_error_errno(err, errno, "mapping %s", path);
	*ret_file = (struct file){ data, (size_t)st.st_size };
	return 0;
}

static bool rows_are_valid(const struct translation *translation, const unsigned char *start)
{
	const struct translation_row *rows = (const void *)start;

	for (size_t i = 0; i < translation->instructions; i++)
		if (rows[i].end > translation->code_size || rows[i].offset >= TRANSLATION_PAGE)
			return false;
	return true;
}

static bool places_are_valid(const struct translation *translation, const unsigned char *start)
{
	const uint16_t *places = (const void *)start;

	for (size_t i = 0; i < translation->places; i++) {
		const size_t size =
			places[i] & TRANSLATION_POINTER ? sizeof(uint64_t) : sizeof(int32_t);

		if ((places[i] & ~TRANSLATION_POINTER) + size > translation->code_size)
			return false;
	}
	return true;
}

static bool jumps_are_valid(const struct translation *translation)
{
	for (int i = 0; i < 2; i++)
		if (translation->jump_end[i] != TRANSLATION_NO_JUMP &&
		    (translation->jump_end[i] > translation->code_size ||
		     translation->jump_at[i] + sizeof(int32_t) > translation->code_size))
			return false;
	return true;
}

static bool is_valid(const struct translation *translation)
{
	const unsigned char *start = (const unsigned char *)translation;
	const struct translation_parts parts = translation_parts(translation);

	return parts.end == translation->size && translation->guest_size > 0 &&
		translation->offset + translation->guest_size <= TRANSLATION_PAGE &&
		translation->instructions > 0 &&
		translation->instructions <= TRANSLATION_INSTRUCTIONS_MAX &&
		translation->places <= TRANSLATION_PLACES_MAX && translation->code_size > 0 &&
		translation->code_size <= TRANSLATION_CODE_MAX &&
		translation_sum(&translation->key, translation->size - sizeof(translation->sum)) ==
		translation->sum &&
		rows_are_valid(translation, start + parts.rows) &&
		places_are_valid(translation, start + parts.places) && jumps_are_valid(translation);
}

/* The next block of a recording, NULL at its end, or where what follows is not whole. */
static const struct translation *next_block(const struct file *file, size_t *position)
{
	const struct translation *translation = (const void *)(file->data + *position);
	const size_t left = file->size - *position;

	if (left < sizeof(*translation) || translation->size > left ||
	    translation->size % TRANSLATION_ALIGN != 0 ||
	    translation->size < sizeof(*translation) || !is_valid(translation))
		return NULL;
	*position += translation->size;
	return translation;
}

/* ---- comparing them ---- */

struct candidate {
	const struct translation *translation; /* of the first recording; NULL: a free slot */
	bool is_confirmed, is_differing;
};

struct candidates {
	struct candidate *items;
	size_t slots; /* a power of two */
};

/* Made of the same bytes for the same state: they must be the same. */
static bool is_same_block(const struct translation *a, const struct translation *b)
{
	return a->key == b->key && a->base == b->base && a->flags == b->flags &&
		a->cflags == b->cflags && a->offset == b->offset &&
		a->guest_size == b->guest_size && memcmp(a + 1, b + 1, a->guest_size) == 0;
}

static bool is_same_code(const struct translation *a, const struct translation *b)
{
	return a->size == b->size && memcmp(a, b, a->size) == 0;
}

/* The block's own slot, or the free one where it would be. */
static struct candidate *find_slot(const struct candidates *candidates,
				   const struct translation *translation)
{
	size_t slot = translation->key & (candidates->slots - 1);

	while (candidates->items[slot].translation &&
	       !is_same_block(candidates->items[slot].translation, translation))
		slot = (slot + 1) & (candidates->slots - 1);
	return &candidates->items[slot];
}

static size_t choose_slots(size_t count)
{
	size_t slots = SLOTS_MIN;

	while (slots < 2 * count)
		slots *= 2;
	return slots;
}

static void take_first(const struct file *file, struct candidates *candidates)
{
	size_t position = sizeof(struct translations_head), count = 0;
	const struct translation *translation;

	while (next_block(file, &position))
		count++;
	candidates->slots = choose_slots(count);
	candidates->items = xcalloc(candidates->slots, sizeof(*candidates->items));
	position = sizeof(struct translations_head);
	while ((translation = next_block(file, &position))) {
		struct candidate *candidate = find_slot(candidates, translation);

		if (!candidate->translation)
			candidate->translation = translation;
		else if (!is_same_code(candidate->translation, translation))
			candidate->is_differing = true;
	}
}

static void compare_second(const struct file *file, const struct candidates *candidates)
{
	size_t position = sizeof(struct translations_head);
	const struct translation *translation;

	while ((translation = next_block(file, &position))) {
		struct candidate *candidate = find_slot(candidates, translation);

		if (!candidate->translation)
			continue;
		if (is_same_code(candidate->translation, translation))
			candidate->is_confirmed = true;
		else
			candidate->is_differing = true;
	}
}

static bool is_kept(const struct candidate *candidate)
{
	return candidate->translation && candidate->is_confirmed && !candidate->is_differing;
}

static struct translations_counts count_kept(const struct candidates *candidates)
{
	struct translations_counts counts = { 0 };

	for (size_t i = 0; i < candidates->slots; i++) {
		const struct candidate *candidate = &candidates->items[i];

		if (is_kept(candidate)) {
			counts.kept++;
			counts.bytes += candidate->translation->size;
		} else if (candidate->translation && candidate->is_differing) {
			counts.differing++;
		}
	}
	return counts;
}

/* ---- writing ---- */

/* The blocks come in the candidates' order, the first at `start`. */
static void fill_table(const struct candidates *candidates, uint32_t *table, size_t slots,
		       size_t start)
{
	for (size_t i = 0; i < candidates->slots; i++) {
		const struct candidate *candidate = &candidates->items[i];
		size_t slot;

		if (!is_kept(candidate))
			continue;
		slot = candidate->translation->key & (slots - 1);
		while (table[slot] != 0)
			slot = (slot + 1) & (slots - 1);
		table[slot] = (uint32_t)(start / TRANSLATION_ALIGN);
		start += candidate->translation->size;
	}
}

static bool write_blocks(FILE *file, const struct candidates *candidates)
{
	for (size_t i = 0; i < candidates->slots; i++) {
		const struct candidate *candidate = &candidates->items[i];

		if (is_kept(candidate) &&
		    fwrite(candidate->translation, candidate->translation->size, 1, file) != 1)
			return false;
	}
	return true;
}

static int write_finished(const struct candidates *candidates, const struct file *first,
			  const char *output, struct translations_counts *counts,
			  struct cay_error *err)
{
	const size_t slots = choose_slots(counts->kept);
	const size_t start = sizeof(struct translations_head) + slots * sizeof(uint32_t);
	struct translations_head head = {
		.magic = TRANSLATIONS_MAGIC,
		.format = TRANSLATIONS_FORMAT,
		.slots = (uint32_t)slots,
		.size = start + counts->bytes,
	};
	_cleanup_free_ uint32_t *table = xcalloc(slots, sizeof(*table));
	const int fd = open(output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	_cleanup_fclose_ FILE *file = fd < 0 ? NULL : fdopen(fd, "w");

	if (!file)
		return cay_error_errno(err, errno, "making %s", output);
	memcpy(head.build_id,
	       ((const struct translations_head *)(const void *)first->data)->build_id,
	       sizeof(head.build_id));
	fill_table(candidates, table, slots, start);
	if (fwrite(&head, sizeof(head), 1, file) != 1 ||
	    fwrite(table, sizeof(*table), slots, file) != slots ||
	    !write_blocks(file, candidates) || fflush(file) != 0 || fsync(fileno(file)) < 0)
		return cay_error_errno(err, errno, "writing %s", output);
	counts->bytes = head.size;
	return 0;
}

/* ---- the whole ---- */

static int check_heads(const struct file *first, const struct file *second, struct cay_error *err)
{
	struct translations_head a, b;

	memcpy(&a, first->data, sizeof(a));
	memcpy(&b, second->data, sizeof(b));
	if (memcmp(a.magic, RECORDING_MAGIC, sizeof(a.magic)) != 0 ||
	    a.format != TRANSLATIONS_FORMAT || memcmp(&a, &b, sizeof(a)) != 0)
		return cay_error_set(err, CAY_CONFLICT, ESTALE,
				     "the recordings are not of the same QEMU");
	return 0;
}

int translations_merge(const char *first, const char *second, const char *output,
		       struct translations_counts *ret_counts, struct cay_error *err)
{
	_cleanup_(file_unmap) struct file a = { 0 }, b = { 0 };
	struct candidates candidates = { 0 };
	int r = map_recording(first, &a, err);

	if (r == 0)
		r = map_recording(second, &b, err);
	if (r == 0)
		r = check_heads(&a, &b, err);
	if (r < 0)
		return r;
	take_first(&a, &candidates);
	compare_second(&b, &candidates);
	*ret_counts = count_kept(&candidates);
	if (ret_counts->kept == 0)
		r = cay_error_set(err, CAY_UNSUPPORTED, ENOTSUP,
				  "the recordings have no translations in common");
	else
		r = write_finished(&candidates, &a, output, ret_counts, err);
	free(candidates.items);
	return r;
}

/* ---- opening ---- */

int translations_open(const char *path, struct cay_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct translations_head head;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return cay_error_errno(err, errno, "opening %s", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 0377) != 0)
		return cay_error_set(err, CAY_CORRUPT, EIO,
				     "%s is not a file that this user alone can read", path);
	if (pread_full(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    !translations_head_is_valid(&head, (uint64_t)st.st_size))
		return cay_error_set(err, CAY_CORRUPT, EIO, "%s is damaged", path);
	return TAKE_FD(fd);
}
