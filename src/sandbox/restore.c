/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox cloned from a template: QEMU is started with the same machine, the
 * template's memory mapped copy-on-write and nothing to boot, and is told over
 * QMP to take up the devices' state. From then on it is a guest that waits for
 * a session's line, like one that has just booted.
 *
 * A template is never needed. Whatever goes wrong before the guest has
 * answered, QEMU is put away and the sandbox boots as if there had been none;
 * the log and sandbox_template_error() tell.
 */
#include "sandbox/sandbox-internal.h"

#include "sandbox/config-internal.h"
#include "sandbox/template.h"

#include "base/alloc.h"
#include "base/json.h"
#include "base/log.h"

/*
 * QEMU takes up no state where a device can't be migrated (qemu_loadvm_state()), and vhost-user-fs
 * can't; nor can that device be added afterwards, as virtio-mmio knows no hotplug. Besides, a
 * guest's memory that is shared with a server is no copy-on-write one.
 */
bool sandbox_may_be_cloned(const struct sandbox_config *config)
{
	return config->share_count == 0;
}

static int open_template(struct sandbox *sandbox, struct cay_error *err)
{
	const char *directory = sandbox->config->template_directory;
	_cleanup_free_ char *shape = NULL;
	int r = sandbox_shape(sandbox->config, &shape, err);

	if (r == 0)
		r = template_open(directory, &sandbox->template, err);
	if (r == 0) {
		r = template_fits(&sandbox->template, shape, err);
		if (r < 0)
			(void)cay_error_prefix(err, "%s", directory);
	}
	return r;
}

void sandbox_give_up_template(struct sandbox *sandbox, const struct cay_error *why)
{
	log_error("starting from a template: %s; the VM boots instead", why->message);
	(void)snprintf(sandbox->template_error, sizeof(sandbox->template_error), "%s",
		       why->message);
	template_close(&sandbox->template);
	sandbox->restoring = false;
}

void sandbox_use_template(struct sandbox *sandbox, struct vm_machine *machine)
{
	struct cay_error err = { 0 };

	if (!sandbox->config->template_directory || sandbox->template_error[0] != '\0' ||
	    !sandbox_may_be_cloned(sandbox->config))
		return;
	if (open_template(sandbox, &err) < 0) {
		sandbox_give_up_template(sandbox, &err);
		return;
	}
	machine->memory_fd = sandbox->template.memory_fd;
	machine->state_fd = sandbox->template.machine_fd;
	sandbox->restoring = true;
}

static void on_answer(json_t *result, const struct cay_error *err, void *user)
{
	struct sandbox *sandbox = user;
	struct cay_error why;

	if (!err || !sandbox->restoring)
		return;
	why = *err;
	sandbox_fail(sandbox, &why); /* where QEMU has ended by itself, its own words count */
}

json_t *sandbox_migration_capabilities(const char *const *names, size_t count)
{
	json_t *arguments = json_object(), *list = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *capability = json_object();

		json_set_string(capability, "capability", names[i]);
		json_set_bool(capability, "state", true);
		config_append(list, capability);
	}
	json_set(arguments, "capabilities", list);
	return arguments;
}

void sandbox_restore(struct sandbox *sandbox)
{
	static const char *const capabilities[] = { "x-ignore-shared" };
	json_t *arguments = json_object();
	char source[32];

	template_close(&sandbox->template); /* QEMU has its copies */
	(void)snprintf(source, sizeof(source), "fd:%d", sandbox->vm.state_number);
	json_set_string(arguments, "uri", source);
	sandbox_open_qmp(sandbox);
	qmp_command(sandbox->qmp, "migrate-set-capabilities",
		    sandbox_migration_capabilities(capabilities, ARRAY_SIZE(capabilities)),
		    on_answer, sandbox);
	qmp_command(sandbox->qmp, "migrate-incoming", arguments, on_answer, sandbox);
	for (size_t i = 0; i < sandbox->config->interface_count; i++)
		sandbox_frozen_mac(i, sandbox->card_macs[i]);
}
