/* SPDX-License-Identifier: Apache-2.0 */
/* Templates on disk: their shape, their document, their files. */
#include "vmm/template.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MEMORY_NAME   "memory"
#define MACHINE_NAME  "machine"
#define DOCUMENT_NAME "template.json"

enum { PAGE = 4096, SUM_DIGITS = 16, BOOT_ID_MAX = 64 };
/* More than any machine's state comes to; it is read at each clone's start. */
#define MACHINE_MAX (64 * MIB)

/* ---- sums ---- */

/* FNV-1a over words: whatever one word is changed to, the sum is another. */
static uint64_t sum_words(uint64_t sum, const void *data, size_t size)
{
	const char *at = data;

	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t word = 0;

		memcpy(&word, at + i, MIN(sizeof(word), size - i));
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
	}
	return sum;
}

#define SUM_START UINT64_C(0xcbf29ce484222325)

static int64_t time_of(const struct stat *st)
{
	return st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec;
}

static int add_file(json_t *shape, const char *key, const char *path, struct cay_error *err)
{
	json_t *file = json_object();
	struct stat st;

	json_set(shape, key, file);
	if (stat(path, &st) < 0)
		return cay_error_errno(err, errno, "%s", path);
	json_set_string(file, "path", path);
	json_set_int(file, "size", st.st_size);
	json_set_int(file, "time_ns", time_of(&st));
	return 0;
}

static void append(json_t *array, json_t *item)
{
	if (json_array_append_new(array, item) < 0)
		abort(); /* only lack of memory */
}

static void set_sum(json_t *object, const char *key, uint64_t sum)
{
	char text[SUM_DIGITS + 1];

	(void)snprintf(text, sizeof(text), "%016" PRIx64, sum);
	json_set_string(object, key, text);
}

/* All that QEMU is told, the kernel's command line in it. */
static uint64_t sum_arguments(const struct vm_machine *machine, const char *qemu)
{
	_cleanup_strv_ struct strv argv = { 0 };
	uint64_t sum = SUM_START;

	vm_arguments(machine, qemu, &argv);
	for (size_t i = 0; i < argv.count; i++)
		sum = sum_words(sum, argv.items[i], strlen(argv.items[i]) + 1);
	return sum;
}

/* What KVM's "host" processor is may differ after a start of the host: other microcode, kernel. */
static int add_boot(json_t *shape, struct cay_error *err)
{
	_cleanup_buf_ struct buf id = { 0 };
	int r = file_read("/proc/sys/kernel/random/boot_id", BOOT_ID_MAX, &id, err);

	if (r == 0)
		json_set(shape, "boot", json_stringn(buf_text(&id), strcspn(buf_text(&id), "\n")));
	return r;
}

int template_shape(const struct vm_machine *machine, char **ret_text, struct cay_error *err)
{
	_cleanup_json_ json_t *shape = json_object();
	json_t *disks = json_array(), *cards = json_array();
	_cleanup_free_ char *qemu = NULL;
	int r = vm_find_qemu(machine->qemu, &qemu, err);

	json_set_int(shape, "format", TEMPLATE_FORMAT);
	json_set(shape, "disks", disks);
	json_set(shape, "cards", cards);
	if (r == 0)
		r = add_file(shape, "qemu", qemu, err);
	if (r == 0)
		r = add_file(shape, "kernel", machine->kernel, err);
	if (r == 0)
		r = add_file(shape, "initramfs", machine->initramfs, err);
	if (r == 0 && machine->accel == VMM_KVM)
		r = add_boot(shape, err);
	if (r < 0)
		return r;
	set_sum(shape, "arguments", sum_arguments(machine, qemu));
	json_set_string(shape, "acceleration", vmm_accel_name(machine->accel));
	json_set_int(shape, "tsc_khz", machine->tsc_khz);
	json_set_bool(shape, "stock_kernel", machine->stock_kernel);
	json_set_int(shape, "vcpus", machine->vcpus);
	json_set_int(shape, "memory_bytes", (int64_t)machine->memory_bytes);
	for (size_t i = 0; i < machine->disk_count; i++) {
		json_t *disk = json_object();

		json_set_bool(disk, "read_only", machine->disks[i].read_only);
		append(disks, disk);
	}
	for (size_t i = 0; i < machine->nic_count; i++) {
		json_t *card = json_object();

		json_set_string(card, "kind", machine->nics[i].stream ? "stream" : "tap");
		json_set_int(card, "queues", (int64_t)machine->nics[i].fd_count);
		json_set_int(card, "mtu", machine->nics[i].mtu);
		append(cards, card);
	}
	*ret_text = json_print(shape);
	return 0;
}

/* ---- sums ---- */

static bool is_zeros(const char *page, size_t size)
{
	return page[0] == '\0' && memcmp(page, page + 1, size - 1) == 0;
}

/* One run of data of the memory file, whose last page may be cut. With `punch` pages of zeros
 * become holes. */
static int sum_run(int fd, off_t begin, off_t end, bool punch, uint64_t *sum)
{
	_cleanup_free_ char *chunk = xmalloc(MIB);

	for (off_t at = begin; at < end; at += (off_t)MIB) {
		const ssize_t n = pread_full(fd, chunk, MIN(MIB, (size_t)(end - at)), at);

		if (n < 0)
			return (int)n;
		for (ssize_t i = 0; i < n; i += PAGE) {
			const uint64_t place = (uint64_t)(at + i);
			const size_t size = MIN((size_t)PAGE, (size_t)(n - i));

			if (!is_zeros(chunk + i, size)) {
				*sum = sum_words(*sum, &place, sizeof(place));
				*sum = sum_words(*sum, chunk + i, size);
			} else if (punch &&
				   fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at + i,
					     PAGE) < 0 &&
				   errno != EOPNOTSUPP) {
				return -errno;
			}
		}
	}
	return 0;
}

/* Holes and pages of zeros are the same to it. */
static int sum_memory(int fd, uint64_t size, bool punch, uint64_t *ret_sum)
{
	uint64_t sum = SUM_START;
	off_t at = 0;

	while (at < (off_t)size) {
		const off_t begin = lseek(fd, at, SEEK_DATA);
		const off_t end = begin < 0 ? -1 : lseek(fd, begin, SEEK_HOLE);
		int r;

		if (begin < 0 && errno == ENXIO)
			break; /* a hole up to the end */
		if (begin < 0 || end < 0)
			return -errno;
		r = sum_run(fd, begin - begin % PAGE, end, punch, &sum);
		if (r < 0)
			return r;
		at = end;
	}
	*ret_sum = sum;
	return 0;
}

static int sum_machine(int fd, uint64_t size, uint64_t *ret_sum)
{
	void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (data == MAP_FAILED)
		return -errno;
	*ret_sum = sum_words(SUM_START, data, size);
	(void)munmap(data, size);
	return 0;
}

/* ---- the document ---- */

static int read_sum(const json_t *object, const char *key, uint64_t *ret_sum, struct cay_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = json_read_string(object, key, &text, err);

	if (r < 0)
		return r;
	if (!text || strlen(text) != SUM_DIGITS || strspn(text, "0123456789abcdef") != SUM_DIGITS)
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is not %d digits", key,
				     SUM_DIGITS);
	*ret_sum = strtoull(text, NULL, 16);
	return 0;
}

static int read_size(const json_t *object, const char *key, int64_t max, uint64_t *ret_size,
		     struct cay_error *err)
{
	int64_t size = 0;
	int r = json_read_int(object, key, 1, max, &size, err);

	if (r == 0 && size == 0)
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"%s\" is missing", key);
	*ret_size = (uint64_t)size;
	return r;
}

static int read_document(const json_t *root, struct template *template, struct cay_error *err)
{
	json_t *shape = NULL;
	int64_t format = 0;
	int r = json_read_int(root, "format", 0, INT64_MAX, &format, err);

	if (r == 0 && format != TEMPLATE_FORMAT)
		return cay_error_set(err, CAY_INVALID, EINVAL, "its format is %" PRId64 ", not %d",
				     format, TEMPLATE_FORMAT);
	if (r == 0)
		r = json_read_object(root, "shape", &shape, err);
	if (r == 0 && !shape)
		return cay_error_set(err, CAY_INVALID, EINVAL, "\"shape\" is missing");
	if (r == 0)
		r = json_read_int(root, "created_ns", 0, INT64_MAX, &template->created_ns, err);
	if (r == 0)
		r = read_size(root, "memory_size", INT64_MAX, &template->memory_size, err);
	if (r == 0)
		r = json_read_int(root, "memory_time_ns", 0, INT64_MAX, &template->memory_time_ns,
				  err);
	if (r == 0)
		r = read_sum(root, "memory_sum", &template->memory_sum, err);
	if (r == 0)
		r = read_size(root, "machine_size", (int64_t)MACHINE_MAX, &template->machine_size,
			      err);
	if (r == 0)
		r = read_sum(root, "machine_sum", &template->machine_sum, err);
	if (r == 0)
		template->shape = json_incref(shape);
	return r;
}

int template_parse(const char *text, size_t size, struct template *ret_template,
		   struct cay_error *err)
{
	struct template template = TEMPLATE_NONE;
	_cleanup_json_ json_t *root = NULL;
	int r;

	if (size > TEMPLATE_JSON_MAX)
		return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "more than %d bytes",
				     TEMPLATE_JSON_MAX);
	r = json_parse(text, size, "a template's description", &root, err);
	if (r == 0 && !json_is_object(root))
		r = cay_error_set(err, CAY_INVALID, EINVAL, "it is not an object");
	if (r == 0)
		r = read_document(root, &template, err);
	if (r < 0)
		return r;
	*ret_template = template;
	return 0;
}

static char *print_document(const struct template *template)
{
	_cleanup_json_ json_t *root = json_object();

	json_set_int(root, "format", TEMPLATE_FORMAT);
	json_set(root, "shape", json_incref(template->shape));
	json_set_int(root, "created_ns", template->created_ns);
	json_set_int(root, "memory_size", (int64_t) template->memory_size);
	json_set_int(root, "memory_time_ns", template->memory_time_ns);
	set_sum(root, "memory_sum", template->memory_sum);
	json_set_int(root, "machine_size", (int64_t) template->machine_size);
	set_sum(root, "machine_sum", template->machine_sum);
	return json_print(root);
}

/* ---- opening ---- */

static int damaged(struct cay_error *err, const char *directory, const char *what)
{
	return cay_error_set(err, CAY_CORRUPT, EIO, "the template %s is damaged: %s", directory,
			     what);
}

/* A file of the daemon's own, which nobody else can write to. */
static int open_file(int directory_fd, const char *name, struct stat *ret_st)
{
	_cleanup_close_ int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fstat(fd, ret_st) < 0)
		return -errno;
	if (!S_ISREG(ret_st->st_mode) || ret_st->st_uid != geteuid() ||
	    (ret_st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return -EPERM;
	return TAKE_FD(fd);
}

static int check_files(const char *directory, const struct template *template,
		       const struct stat *memory, const struct stat *machine, struct cay_error *err)
{
	uint64_t sum = 0;

	if ((uint64_t)memory->st_size != template->memory_size)
		return damaged(err, directory, "its memory is of another size");
	if (time_of(memory) != template->memory_time_ns)
		return damaged(err, directory, "its memory was written to");
	if ((uint64_t)machine->st_size != template->machine_size ||
	    sum_machine(template->machine_fd, template->machine_size, &sum) < 0 ||
	    sum != template->machine_sum)
		return damaged(err, directory, "its machine is not what was frozen");
	return 0;
}

static int open_files(const char *directory, int directory_fd, struct template *template,
		      struct cay_error *err)
{
	struct stat memory, machine;

	template->memory_fd = open_file(directory_fd, MEMORY_NAME, &memory);
	if (template->memory_fd < 0)
		return damaged(err, directory, errno_text(template->memory_fd));
	template->machine_fd = open_file(directory_fd, MACHINE_NAME, &machine);
	if (template->machine_fd < 0)
		return damaged(err, directory, errno_text(template->machine_fd));
	template->stored_bytes = (uint64_t)(memory.st_blocks + machine.st_blocks) * 512;
	return check_files(directory, template, &memory, &machine, err);
}

static int read_description(const char *directory, int directory_fd, struct template *template,
			    struct cay_error *err)
{
	_cleanup_buf_ struct buf text = { 0 };
	_cleanup_close_ int fd = -1;
	struct cay_error why = { 0 };
	struct stat st;

	fd = open_file(directory_fd, DOCUMENT_NAME, &st);
	if (fd == -ENOENT)
		return cay_error_set(err, CAY_NOT_FOUND, ENOENT, "%s is no finished template",
				     directory);
	if (fd < 0)
		return damaged(err, directory, errno_text(fd));
	if (fd_read(fd, DOCUMENT_NAME, TEMPLATE_JSON_MAX, &text, &why) < 0 ||
	    template_parse(buf_text(&text), text.length, template, &why) < 0)
		return damaged(err, directory, why.message);
	return 0;
}

int template_open(const char *directory, struct template *ret_template, struct cay_error *err)
{
	_cleanup_(template_close) struct template template = TEMPLATE_NONE;
	_cleanup_close_ int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return cay_error_errno(err, errno, "the template %s", directory);
	r = read_description(directory, fd, &template, err);
	if (r == 0)
		r = open_files(directory, fd, &template, err);
	if (r < 0)
		return r;
	*ret_template = template;
	template = TEMPLATE_NONE;
	return 0;
}

void template_close(struct template *template)
{
	cay_close_p(&template->memory_fd);
	cay_close_p(&template->machine_fd);
	json_decref(template->shape);
	*template = TEMPLATE_NONE;
}

int template_fits(const struct template *template, const char *shape, struct cay_error *err)
{
	_cleanup_json_ json_t *wanted = NULL;
	const char *key;
	json_t *value;
	int r = json_parse(shape, strlen(shape), "a shape", &wanted, err);

	if (r < 0)
		return r;
	json_object_foreach(wanted, key, value) {
		if (!json_equal(value, json_object_get(template->shape, key)))
			return cay_error_set(err, CAY_CONFLICT, ESTALE,
					     "the template is of another shape: its \"%s\" differs",
					     key);
	}
	return 0;
}

int template_verify(const char *directory, struct cay_error *err)
{
	_cleanup_(template_close) struct template template = TEMPLATE_NONE;
	uint64_t sum = 0;
	int r = template_open(directory, &template, err);

	if (r < 0)
		return r;
	r = sum_memory(template.memory_fd, template.memory_size, false, &sum);
	if (r < 0)
		return cay_error_errno(err, r, "reading the template %s", directory);
	return sum == template.memory_sum
		? 0
		: damaged(err, directory, "its memory is not what was frozen");
}

/* ---- making ---- */

static int create_file(const char *directory, const char *name, struct cay_error *err)
{
	_cleanup_free_ char *path = path_join(directory, name);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? cay_error_errno(err, errno, "making %s", path) : fd;
}

int template_create(const char *directory, uint64_t memory_size, int *ret_memory_fd,
		    int *ret_machine_fd, struct cay_error *err)
{
	_cleanup_close_ int memory = create_file(directory, MEMORY_NAME, err), machine = -1;

	if (memory < 0)
		return memory;
	if (ftruncate(memory, (off_t)memory_size) < 0)
		return cay_error_errno(err, errno, "making the template %s", directory);
	machine = create_file(directory, MACHINE_NAME, err);
	if (machine < 0)
		return machine;
	*ret_memory_fd = TAKE_FD(memory);
	*ret_machine_fd = TAKE_FD(machine);
	return 0;
}

/* No more is written to it; *ret_st is how it stays. */
static int seal_file(int fd, struct stat *ret_st)
{
	return fchmod(fd, 0400) < 0 || fsync(fd) < 0 || fstat(fd, ret_st) < 0 ? -errno : 0;
}

int template_finish(const char *directory, int memory_fd, int machine_fd, const char *shape,
		    struct cay_error *err)
{
	_cleanup_(template_close) struct template template = TEMPLATE_NONE;
	_cleanup_free_ char *path = path_join(directory, DOCUMENT_NAME), *text = NULL;
	struct stat memory = { 0 }, machine = { 0 };
	int r = fstat(memory_fd, &memory) < 0 ? -errno : 0;

	if (r == 0)
		r = sum_memory(memory_fd, (uint64_t)memory.st_size, true, &template.memory_sum);
	if (r == 0)
		r = seal_file(memory_fd, &memory);
	if (r == 0)
		r = seal_file(machine_fd, &machine);
	if (r == 0 && (machine.st_size <= 0 || machine.st_size > (off_t)MACHINE_MAX))
		r = -EFBIG;
	if (r == 0)
		r = sum_machine(machine_fd, (uint64_t)machine.st_size, &template.machine_sum);
	if (r < 0)
		return cay_error_errno(err, r, "writing the template %s", directory);
	r = json_parse(shape, strlen(shape), "a shape", &template.shape, err);
	if (r < 0)
		return r;
	template.created_ns = clock_now_ns();
	template.memory_size = (uint64_t)memory.st_size;
	template.memory_time_ns = time_of(&memory);
	template.machine_size = (uint64_t)machine.st_size;
	text = print_document(&template);
	return file_write_atomic(path, text, strlen(text), 0400, err);
}
