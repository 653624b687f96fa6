/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image of one static program, for sandboxes of cay's own. It is no image
 * of the store's: it is in no list, has no name and is never pulled or pushed.
 */
#pragma once

#include "base/error.h"
#include "image/store.h"

/* What the program is called in the image's root. */
#define PROGRAM_IMAGE_NAME "cay-warm"

enum { PROGRAM_IMAGE_MAX = 64 << 20 }; /* bytes of the program */

/*
 * Makes the disk of an image whose root holds `program` and the usual directories, by the layer
 * worker at `worker`, in `directory`, a folder for nothing else; uses what is there already if it
 * is of the same program, and removes what is of another. Blocks. The caller frees the disk by
 * image_disk_done().
 */
int program_image_make(const char *directory, const char *worker, const char *program,
		       struct image_disk *ret_disk, struct cay_error *err);
