/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates on disk. A template is a directory of three files:
 *
 *   memory         the guest's memory, sparse
 *   machine        what QEMU's devices and processors were like, its migration
 *                  stream without the memory (x-ignore-shared)
 *   template.json  what the other two are, written last: a directory without
 *                  it is no template
 *
 * template.json has "format"; "shape", an object with everything a template
 * depends on (template_shape()); "created_ns"; "memory_size", "memory_time_ns"
 * (when it was last written to), "memory_sum"; "machine_size", "machine_sum".
 *
 * The files belong to the user that cay runs as and nobody else can read or
 * write them. That is what makes them trustworthy; the sums are there for
 * damage.
 */
#pragma once

#include "vmm/vm.h"

#include "base/error.h"

#include <jansson.h>

enum { TEMPLATE_FORMAT = 1, TEMPLATE_JSON_MAX = 64 * 1024 };

struct template
{
	int memory_fd, machine_fd; /* for reading only */
	json_t *shape;
	int64_t created_ns;
	uint64_t memory_size; /* of the file, without regard to its holes */
	uint64_t machine_size;
	uint64_t stored_bytes; /* what the three take up on the disk */
	/* What template.json says, beside. */
	int64_t memory_time_ns;
	uint64_t memory_sum, machine_sum;
};
#define TEMPLATE_NONE ((struct template){ .memory_fd = -1, .machine_fd = -1 })

/*
 * What a template of this machine depends on, as one line of JSON: two machines with the same text
 * can be cloned from the same template. Kernel, initramfs and QEMU are known by path, size and time
 * of change; of disks their number and which are read-only; of cards their kind, queues and MTU;
 * and of QEMU's whole argument list there is a sum (vm_arguments()). With KVM the host's boot id is
 * a part.
 * The machine needs nothing that is open. Looks at files, and at nothing that they hold. The caller
 * frees.
 */
int template_shape(const struct vm_machine *machine, char **ret_text, struct cay_error *err);

/*
 * Opens a template after a look at what costs little: the document, the files' owner, sizes and
 * times, and the machine's sum. CAY_NOT_FOUND where there is none, CAY_CORRUPT where there is but a
 * damaged one. The caller closes it.
 */
int template_open(const char *directory, struct template *ret_template, struct cay_error *err);
void template_close(struct template *template);

/* CAY_CONFLICT with what differs where the template is not of this shape. */
int template_fits(const struct template *template, const char *shape, struct cay_error *err);

/* template_open(), and reads the whole memory too. */
int template_verify(const char *directory, struct cay_error *err);

/* Makes the two files of a template to be, in an empty directory, and opens them for writing. */
int template_create(const char *directory, uint64_t memory_size, int *ret_memory_fd,
		    int *ret_machine_fd, struct cay_error *err);
/*
 * The machine was frozen into the two: gives back what is only zeros, takes the sums, syncs all and
 * writes the document. Blocks.
 */
int template_finish(const char *directory, int memory_fd, int machine_fd, const char *shape,
		    struct cay_error *err);

/* The document alone, for what has no files. Checks everything in it that needs none. */
int template_parse(const char *text, size_t size, struct template *ret_template,
		   struct cay_error *err);
