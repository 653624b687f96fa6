/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a container: the name, its volumes, the directory with its scratch
 * disk, the row, the place in the table, in that order; what fails takes back
 * what was made. After a crash a directory without a row is cleared away.
 */
#include "daemon/lifecycle.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/daemon.h"
#include "daemon/database.h"
#include "daemon/host.h"
#include "daemon/mounts.h"
#include "daemon/networks.h"
#include "image/scratch.h"
#include "image/store.h"

#include <errno.h>
#include <sys/stat.h>

/* As docker: a platform that is not here is answered like an image that is not. */
static int find_image(struct daemon *daemon, const json_t *body, const char *platform,
		      struct image **ret_image, struct cay_error *err)
{
	const char *name = json_string_value(json_object_get(body, "Image"));

	if (!name || name[0] == '\0')
		return cay_error_set(err, CAY_INVALID, EINVAL, "no image was named");
	if (!platform || platform[0] == '\0')
		return image_store_find(daemon->images, name, ret_image, err);
	return image_store_find_platform(daemon->images, name, platform, ret_image, err);
}

/* It may have been removed after it was found and before it was held. */
static int check_held(struct daemon *daemon, const char *id, struct cay_error *err)
{
	_cleanup_(image_free_p) struct image *image = NULL;

	return image_store_find(daemon->images, id, &image, err);
}

static int make_directory(struct container *container, struct cay_error *err)
{
	_cleanup_free_ char *scratch = container_path(container, "scratch.ext4");

	if (mkdir(container->directory, 0700) < 0)
		return cay_error_errno(err, errno, "making %s", container->directory);
	return scratch_create(container->daemon->options.root, scratch,
			      container->request->storage_size,
			      container->vm_uid > 0 ? container->vm_uid : geteuid(), err);
}

static int store(const struct container *container, struct cay_error *err)
{
	_cleanup_free_ char *request = request_print(container->request);
	const struct database_container row = {
		.id = container->id,
		.name = container->name,
		.image_id = container->image_id,
		.image_name = container->image_name,
		.created_ns = container->created_ns,
		.vm_uid = container->vm_uid,
		.request = request,
		.status = container_status_name(CONTAINER_CREATED),
		.error = "",
		.fleeting = container->request->auto_remove,
	};

	return networks_store_container(container->daemon->networks, container, &row, err);
}

/* The container exists in memory and holds its name and image. */
static int make_lasting(struct container *container, struct cay_error *err)
{
	struct cay_error cleanup = { 0 };
	int r = make_directory(container, err);

	if (r == 0)
		r = store(container, err);
	if (r < 0 && remove_tree(container->directory, &cleanup) < 0)
		log_warning("container %.12s: %s", container->id, cleanup.message);
	return r;
}

int container_create(struct daemon *daemon, const char *name, const char *platform,
		     const json_t *body, struct container **ret_container, struct strv *warnings,
		     struct cay_error *err)
{
	_cleanup_(image_free_p) struct image *image = NULL;
	_cleanup_request_ struct request *request = NULL;
	_cleanup_container_ struct container *container = NULL;
	_cleanup_free_ char *reserved = NULL;
	char id[ID_SIZE];
	bool mounts = false;
	int r;

	r = find_image(daemon, body, platform, &image, err);
	if (r == 0)
		r = request_parse(body, image->config, host_cpus(daemon->host), &request, warnings,
				  err);
	if (r < 0)
		return r;
	id_make(id);
	r = containers_reserve(daemon->containers, name, id, &reserved, err);
	if (r < 0)
		return r;
	container =
		container_new(daemon, id, reserved, image->id,
			      json_string_value(json_object_get(body, "Image")), TAKE_PTR(request));
	container->created_ns = clock_now_ns();
	container->vm_uid = geteuid() == 0 ? containers_choose_uid(daemon->containers) : 0;
	image_store_hold(daemon->images, image->id, id);
	r = check_held(daemon, image->id, err);
	if (r == 0) {
		r = mounts_prepare(daemon, container->request, id, err);
		mounts = r == 0;
	}
	if (r == 0)
		r = networks_add_container(daemon->networks, container, err);
	if (r == 0)
		r = make_lasting(container, err);
	if (r < 0) {
		networks_forget_container(daemon->networks, container);
		if (mounts)
			mounts_release(daemon, container->request, id, true);
		image_store_release(daemon->images, image->id, id);
		containers_release(daemon->containers, reserved, id);
		/* What is wrong with its mounts is said in docker's words alone. */
		return mounts ? cay_error_prefix(err, "creating container %s", reserved) : r;
	}
	networks_warn_ports(daemon->networks, container, warnings);
	containers_add(daemon->containers, container);
	container_emit(container, "create", NULL);
	*ret_container = TAKE_PTR(container);
	return 0;
}
