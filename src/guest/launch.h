/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container's process. vminitd forks a child, which does everything
 * that may block or fail in namespaces of its own, reports, waits for the word
 * to start, becomes the user and executes the program. This is the protocol
 * between the two, and the fork.
 *
 * The child writes struct launch_message as its report: LAUNCH_READY once all
 * is prepared (with the terminal's master attached where there is one), or
 * LAUNCH_FAILED; after the word to start, LAUNCH_FAILED, or nothing: the
 * report ends when the program is executed. The word is any one byte.
 *
 * Report and word are two pipes, or the two directions of a socket where a
 * descriptor is to be attached. A container has pipes anyway, and the emulator
 * translates a kernel's code when it first runs.
 */
#pragma once

#include "guest/oci.h"

#include "base/error.h"
#include "base/strv.h"

#include <vminitd.pb-c.h>

struct guest;

enum launch_kind { LAUNCH_READY = 1, LAUNCH_FAILED };

struct launch_message {
	uint32_t kind;
	int32_t code, err; /* of struct cay_error */
	char message[CAY_ERROR_MESSAGE_MAX];
};

/* What the child is to do. Everything is borrowed and used only until launch() returns. */
struct launch {
	const struct guest *guest;
	const struct oci_process *process;
	const struct oci_seccomp *seccomp; /* or NULL */
	const char *user;                  /* docker's form, or "" for that of `process` */
	const struct strv *additional_groups;
	bool stdin_pipe; /* else /dev/null; of no meaning with a terminal */
	int cgroup_fd;

	/* A container's first process. */
	const struct oci_config *config; /* NULL for the others */
	Cay__Vminitd__V1__Mount **mounts;
	size_t mount_count;
	Cay__Vminitd__V1__File **files;
	size_t file_count;
	Cay__Vminitd__V1__Fill **fills;
	size_t fill_count;
	bool use_init;
	/*
	 * Only its root is built, with no more mounted in it than is bound there. The child ends
	 * when that is done: LAUNCH_READY comes with the mount namespace's descriptor attached.
	 */
	bool files_only;

	/* The others join the namespaces of this one. */
	int pidfd;
	int namespaces; /* CLONE_NEW… */
};

struct launched {
	pid_t pid; /* in the guest's first pid namespace */
	int pidfd;
	int report, word;         /* our ends */
	int input, output, error; /* our ends of the pipes, or -1 */
};

/* Forks the child. Does not block. */
int launch(const struct launch *launch, struct launched *ret_launched, struct cay_error *err);

/* Whether the child's report comes with a descriptor. */
bool launch_attaches(const struct launch *launch);

/*
 * Takes one message of a report: 1 and *ret_message (and *ret_fd, a descriptor or -1); 0 at its
 * end; -EAGAIN while there is none. `attaches` is launch_attaches() of it.
 */
int launch_receive(int report, bool attaches, struct launch_message *ret_message, int *ret_fd);
