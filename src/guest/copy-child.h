/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child of vminitd that looks at a container's files. It runs as root, in
 * the container's mount namespace with the container's root as its own (or in
 * the guest's, with another root), with the capabilities that files need and no
 * others. What the container's processes do to the names meanwhile changes
 * which of their own files it finds, never whose: it has no way out of that
 * root but the descriptors it was born with.
 *
 * Its working directory is its own entry in the guest's /proc: by a path below
 * that ("fd/N") it reaches the very file that a descriptor stands for, which
 * several system calls have no other way to name.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <sys/stat.h>

struct copy_child {
	int proc_fd; /* its own directory in the guest's /proc */
	int root_fd; /* "/" */
	int in, out; /* the data; -1 where there is none */
};

/* Where a child is to go. */
struct copy_place {
	int namespace_fd; /* whose mounts to see: a pidfd or a mount namespace; -1: the guest's */
	const char *root; /* with the guest's mounts: the new root; NULL: its own */
	bool trusted;     /* it is to see trusted attributes, which are overlayfs's */
};

/*
 * Child: goes there and gives up what it needs no more. child->proc_fd is the guest's /proc and
 * becomes its own directory in it.
 */
int copy_child_enter(struct copy_child *child, const struct copy_place *place,
		     struct cay_error *err);

/* "fd/N", for calls relative to child->proc_fd or to the working directory. */
enum { COPY_LINK_SIZE = 24 };
const char *copy_link(int fd, char link[COPY_LINK_SIZE]);
/* The names in a directory but "." and "..", sorted. -errno. */
struct strv;
int copy_list(int fd, struct strv *names);

/* Bytes on their way out, some tens of KiB at a time. */
struct copy_output {
	int fd;
	size_t length;
	char data[64 * 1024];
};
/* A tar_sink; `user` is the struct copy_output. */
int copy_output_put(void *user, const void *data, size_t size, struct cay_error *err);
int copy_output_flush(struct copy_output *output, struct cay_error *err);
