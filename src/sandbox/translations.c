/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU need not translate again, and where it writes down what it translates. */
#include "sandbox/sandbox-internal.h"

#include "vmm/translations.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>

/* They only save time: without them QEMU translates. */
static void open_finished(const char *path, struct vm_machine *machine)
{
	struct cay_error err = { 0 };
	const int fd = translations_open(path, &err);

	if (fd >= 0)
		machine->translations_fd = fd;
	else
		log_warning("the VM starts without translations: %s", err.message);
}

static int open_recording(const char *path, struct vm_machine *machine, struct cay_error *err)
{
	const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return cay_error_errno(err, errno, "making %s", path);
	machine->recording_fd = fd;
	return 0;
}

int sandbox_open_translations(const struct sandbox_config *config, struct vm_machine *machine,
			      struct cay_error *err)
{
	if (config->translations)
		open_finished(config->translations, machine);
	log_debug("the VM starts %s translations",
		  machine->translations_fd > 0 ? "with" : "without");
	return config->recording ? open_recording(config->recording, machine, err) : 0;
}

void sandbox_close_translations(struct vm_machine *machine)
{
	if (machine->translations_fd > 0)
		cay_close_p(&machine->translations_fd);
	if (machine->recording_fd > 0)
		cay_close_p(&machine->recording_fd);
}
