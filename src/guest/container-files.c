/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container has for those who copy its files. One that is there for
 * that alone has no process: a child builds its root in a mount namespace,
 * hands that over and ends; the namespace lives until the container is deleted.
 */
#include "guest/container-internal.h"

#include "guest/guest.h"
#include "guest/launch.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "rpc/watch.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

/* The value of "<name>=<value>" among a mount's options, or NULL. */
static char *option_value(const Cay__Vminitd__V1__Mount *mount, const char *name)
{
	for (size_t i = 0; i < mount->n_options; i++)
		if (starts_with(mount->options[i], name))
			return xstrdup(mount->options[i] + strlen(name));
	return NULL;
}

void container_take_files(struct container *container, const struct oci_config *config,
			  const Cay__Vminitd__V1__CreateContainerRequest *request)
{
	container->files_only = request->files_only;
	container->root_path = xstrdup(config->root_path);
	container->user = xstrdup(request->init ? request->init->user : "");
	for (size_t i = 0; i < request->n_mounts; i++) {
		const Cay__Vminitd__V1__Mount *mount = request->mounts[i];

		if (strcmp(mount->type, "overlay") != 0 ||
		    strcmp(mount->target, config->root_path) != 0)
			continue;
		container->upper = option_value(mount, "upperdir=");
		container->lower = option_value(mount, "lowerdir=");
	}
}

static void stop_preparing(struct container *container)
{
	watch_close(TAKE_PTR(container->preparing));
	if (container->preparing_pidfd >= 0)
		(void)close(TAKE_FD(container->preparing_pidfd));
}

/* The child has said how it went, or died. */
static void on_prepared(struct watch *watch, int events, void *user)
{
	Cay__Vminitd__V1__CreateContainerResponse response =
		CAY__VMINITD__V1__CREATE_CONTAINER_RESPONSE__INIT;
	struct container *container = user;
	struct launch_message message;
	struct cay_error err = { 0 };
	int fd, r = launch_receive(watch_fd(watch), true, &message, &fd);

	(void)events;
	if (r == -EAGAIN)
		return;
	stop_preparing(container);
	if (container->state != CONTAINER_CREATING) {
		if (fd >= 0)
			(void)close(fd);
		container_destroy_step(container);
		return;
	}
	if (r > 0 && message.kind == LAUNCH_READY && fd >= 0) {
		container->files_fd = fd;
		container_set_state(container, CONTAINER_CREATED);
		held_reply(TAKE_PTR(container->creating), &response.base);
		return;
	}
	if (r > 0)
		(void)cay_error_set(&err, (enum cay_code)message.code, message.err, "%s",
				    message.message);
	else
		(void)cay_error_set(&err, CAY_INTERNAL, ECHILD,
				    "the process that prepared the container died");
	container_fail_creation(container, &err);
}

int container_prepare_files(struct container *container, const struct launch *launch_spec,
			    struct cay_error *err)
{
	struct launched launched;
	int r = launch(launch_spec, &launched, err);

	if (r < 0)
		return r;
	(void)close(launched.word); /* there is nothing to wait for */
	container->preparing_pidfd = launched.pidfd;
	r = watch_new(&container->guest->loop, launched.report, on_prepared, container,
		      &container->preparing);
	if (r < 0)
		return cay_error_errno(err, r, "watching a process");
	watch_set(container->preparing, UV_READABLE);
	return 0;
}

bool container_leave_files(struct container *container)
{
	if (container->preparing_pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, container->preparing_pidfd, SIGKILL, NULL, 0);
	copy_jobs_kill(&container->copies);
	if (container->preparing || !TAILQ_EMPTY(&container->copies))
		return false;
	/* The last that holds its mounts. */
	if (container->files_fd >= 0)
		(void)close(TAKE_FD(container->files_fd));
	return true;
}

void container_done_files(struct container *container)
{
	stop_preparing(container);
	free(container->root_path);
	free(container->user);
	free(container->upper);
	free(container->lower);
}
