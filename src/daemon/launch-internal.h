/* SPDX-License-Identifier: Apache-2.0 */
/* What the sandboxes of containers and those that wait for one have in common. */
#pragma once

#include "daemon/daemon.h"
#include "image/store.h"
#include "sandbox/config.h"

/* Told here, by name, and not by a program that fails on it later. */
int launch_check_part(const char *what, const char *path, const char *option,
		      struct cay_error *err);

/*
 * Fills in what all machines of this daemon share: kernel, initramfs, QEMU, acceleration. Fails
 * where a part is missing; blocks until the host's acceleration is known.
 */
int launch_machine(struct daemon *daemon, struct sandbox_config *config, struct cay_error *err);

/* The memory of a VM in which a container may have so much. */
uint64_t launch_memory(uint64_t wanted);
/* What a container's VM has where the container asks for nothing. */
uint64_t launch_usual_memory(const struct daemon *daemon);
unsigned int launch_usual_cpus(const struct daemon *daemon, const char *acceleration);

/* The first two disks: the image's pieces, and the scratch at `scratch`, which is taken over. */
void launch_fill_disks(struct sandbox_config *config, const struct image_disk *image,
		       char *scratch);
/* The mounts that make a container's root of the first two disks. */
void launch_add_root(struct sandbox_container *target, const char *id);
