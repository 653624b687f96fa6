/* SPDX-License-Identifier: Apache-2.0 */
/* From a sandbox's configuration to the machine that QEMU is started with. */
#include "sandbox/sandbox-internal.h"

#include "sandbox/template.h"
#include "vmm/translations.h"

#include "base/alloc.h"
#include "base/process.h"

struct vm_machine sandbox_describe(const struct sandbox_config *config, struct vm_extent **extents)
{
	struct vm_machine machine = {
		.id = config->id,
		.qemu = config->qemu,
		.kernel = config->kernel,
		.initramfs = config->initramfs,
		.jail_directory = config->run_directory,
		.tsc_khz = config->tsc_khz,
		.stock_kernel = config->stock_kernel,
		.vcpus = config->vcpus,
		.memory_bytes = config->memory_bytes,
		.uid = config->vm_uid,
		.disk_count = config->disk_count,
	};
	size_t count = 0;

	if (vmm_accel_parse(config->acceleration, &machine.accel) < 0)
		abort(); /* sandbox_config_parse() has checked it */
	for (size_t i = 0; i < config->disk_count; i++)
		count += config->disks[i].extent_count;
	*extents = xcalloc(count + 1, sizeof(**extents));
	count = 0;
	for (size_t i = 0; i < config->disk_count; i++) {
		const struct sandbox_disk *disk = &config->disks[i];

		machine.disks[i] =
			(struct vm_disk){ *extents + count, disk->extent_count, disk->read_only };
		for (size_t j = 0; j < disk->extent_count; j++)
			(*extents)[count++] =
				(struct vm_extent){ disk->extents[j].path, disk->extents[j].size };
	}
	return machine;
}

int sandbox_shape(const struct sandbox_config *config, char **ret_text, struct cay_error *err)
{
	_cleanup_free_ struct vm_extent *extents = NULL;
	struct vm_machine machine = sandbox_describe(config, &extents);

	nics_describe(config, machine.nics);
	machine.nic_count = config->interface_count;
	return template_shape(&machine, ret_text, err);
}

char *sandbox_translations_shape(const struct sandbox_config *config)
{
	_cleanup_free_ struct vm_extent *extents = NULL;
	_cleanup_free_ char *library = process_find_part(SANDBOX_QEMU_LIBRARY);
	struct vm_machine machine = sandbox_describe(config, &extents);

	machine.preload = library;
	return translations_shape(&machine);
}
