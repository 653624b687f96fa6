/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child before the word to start: the guest's mounts and files for a new
 * container, namespaces, the root, and who to be. All of it runs as root; what
 * a container's processes may have changed is looked at only from inside its
 * own namespaces.
 */
#include "guest/launch-internal.h"

#include "guest/capability.h"
#include "guest/fill.h"
#include "guest/guest.h"
#include "guest/machine.h"
#include "guest/mounts.h"
#include "guest/rootfs.h"
#include "guest/share.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Every network namespace begins with its loopback down. One without it is left so. */
static void raise_loopback(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0 || (request.ifr_flags & IFF_UP))
		return;
	request.ifr_flags |= IFF_UP;
	(void)ioctl(fd, SIOCSIFFLAGS, &request);
}

static int write_file(const Cay__Vminitd__V1__File *file, struct cay_error *err)
{
	_cleanup_free_ char *parent = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (file->path[0] != '/')
		return cay_error_set(err, CAY_INVALID, EINVAL, "the file \"%s\" is not absolute",
				     file->path);
	parent = xstrndup(file->path, (size_t)(path_last(file->path) - file->path));
	r = make_dirs(parent, 0755, err);
	if (r < 0)
		return r;
	fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return cay_error_errno(err, errno, "making %s", file->path);
	r = write_full(fd, file->data.data, file->data.len);
	if (r < 0 || fchmod(fd, file->mode & 07777) < 0)
		return cay_error_errno(err, r < 0 ? r : errno, "writing %s", file->path);
	return 0;
}

static int mount_one(const struct launch *launch, const Cay__Vminitd__V1__Mount *mount,
		     struct cay_error *err)
{
	const struct strv options = { mount->options, mount->n_options };

	if (strcmp(mount->type, SHARE_TYPE) == 0)
		return share_mount(mount->source, mount->target, &options, err);
	return mount_guest(mount->type, mount->source, mount->target, &options, err);
}

static int fill_volumes(const struct launch *launch, struct cay_error *err)
{
	_cleanup_close_ int root =
		open(launch->config->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (root < 0)
		return cay_error_errno(err, errno, "opening the root %s",
				       launch->config->root_path);
	for (size_t i = 0; r == 0 && i < launch->fill_count; i++)
		r = fill_volume(root, launch->fills[i]->path, launch->fills[i]->target, err);
	return r;
}

/* Child, in the guest's mount namespace. */
static int prepare_guest(const struct launch *launch, struct cay_error *err)
{
	int r;

	for (size_t i = 0; i < launch->mount_count; i++) {
		r = mount_one(launch, launch->mounts[i], err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < launch->file_count; i++) {
		r = write_file(launch->files[i], err);
		if (r < 0)
			return r;
	}
	return launch->fill_count > 0 ? fill_volumes(launch, err) : 0;
}

/* Child: joins the namespaces that the configuration names by path, makes the others. */
static int make_namespaces(const struct oci_config *config, bool loopback_up, struct cay_error *err)
{
	int fresh = oci_new_namespaces(config) & ~CLONE_NEWPID; /* it was born in that */
	bool joined_network = false;

	for (size_t i = 0; i < config->namespace_count; i++) {
		const struct oci_namespace *ns = &config->namespaces[i];
		_cleanup_close_ int fd = -1;

		if (!ns->path || ns->flag == CLONE_NEWPID)
			continue;
		fd = open(ns->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (fd < 0 || setns(fd, ns->flag) < 0)
			return cay_error_errno(err, errno, "joining the namespace %s", ns->path);
		joined_network |= ns->flag == CLONE_NEWNET;
	}
	if (fresh && unshare(fresh) < 0)
		return cay_error_errno(err, errno, "making namespaces");
	if (!joined_network && (!loopback_up || (fresh & CLONE_NEWNET)))
		raise_loopback();
	return 0;
}

/* Child, in the container's namespaces, with the guest's /proc still in sight. */
static int set_names(const struct oci_config *config, struct cay_error *err)
{
	int r;

	if (config->hostname && config->hostname[0] &&
	    sethostname(config->hostname, strlen(config->hostname)) < 0)
		return cay_error_errno(err, errno, "setting the host name \"%.100s\"",
				       config->hostname);
	if (config->domainname && config->domainname[0] &&
	    setdomainname(config->domainname, strlen(config->domainname)) < 0)
		return cay_error_errno(err, errno, "setting the domain name \"%.100s\"",
				       config->domainname);
	for (size_t i = 0; i < config->sysctl_count; i++) {
		r = machine_set_sysctl(config->sysctls[i].name, config->sysctls[i].value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Child: enters a container that runs. Its root and its working directory become the container's.
 */
static int join_container(const struct launch *launch, struct cay_error *err)
{
	int flags = launch->namespaces & ~CLONE_NEWPID; /* it was born in that */

	if (setns(launch->pidfd, flags) < 0)
		return cay_error_set(err, errno == ESRCH ? CAY_CONFLICT : CAY_INTERNAL, errno,
				     "joining the container: %s", errno_text(errno));
	return 0;
}

static bool has_variable(const struct strv *env, const char *prefix)
{
	for (size_t i = 0; i < env->count; i++)
		if (starts_with(env->items[i], prefix))
			return true;
	return false;
}

/* Child: who to be when the configuration names users and groups by number. */
static int take_numbers(struct child *child, struct cay_error *err)
{
	const struct oci_process *process = child->launch->process;

	child->user.uid = process->uid;
	child->user.gid = process->gid;
	for (size_t i = 0; i < process->group_count; i++)
		if (user_add_group(&child->user, process->groups[i]) < 0)
			return cay_error_set(err, CAY_TOO_LARGE, E2BIG, "too many groups");
	return 0;
}

/* Child: who to be, by the container's own files. */
static int resolve_user(struct child *child, struct cay_error *err)
{
	const struct launch *launch = child->launch;
	bool by_name = launch->user && launch->user[0];
	_cleanup_buf_ struct buf passwd = { 0 }, group = { 0 };
	struct str passwd_text, group_text;
	int r = 0;

	if (by_name || !has_variable(&launch->process->env, "HOME="))
		r = user_read_file("/etc/passwd", &passwd, err);
	/* Where it is only about a home directory, a broken file is as good as none. */
	if (r < 0 && by_name)
		return r;
	if ((by_name || launch->additional_groups->count > 0) &&
	    (r = user_read_file("/etc/group", &group, err)) < 0)
		return r;
	passwd_text = (struct str){ buf_text(&passwd), passwd.length };
	group_text = (struct str){ buf_text(&group), group.length };
	if (by_name)
		return user_resolve(launch->user, launch->additional_groups, passwd_text,
				    group_text, &child->user, err);
	if ((r = take_numbers(child, err)) < 0)
		return r;
	child->user.home = user_home(child->user.uid, passwd_text);
	return user_add_groups(&child->user, launch->additional_groups, group_text, err);
}

static int open_slave(struct child *child, int master, struct cay_error *err)
{
	const struct oci_process *process = child->launch->process;

	if (process->columns > 0 && process->rows > 0) {
		struct winsize size = { .ws_col = (unsigned short)process->columns,
					.ws_row = (unsigned short)process->rows };

		(void)ioctl(master, TIOCSWINSZ, &size); /* only a size */
	}
	child->terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (child->terminal < 0)
		return cay_error_errno(err, errno, "opening the terminal");
	return 0;
}

static int enter_container(struct child *child, int *ret_master, struct cay_error *err)
{
	const struct launch *launch = child->launch;
	_cleanup_close_ int root = -1;
	int r;

	if (launch->config) {
		if ((r = prepare_guest(launch, err)) < 0 ||
		    (r = make_namespaces(launch->config, launch->guest->loopback_up, err)) < 0 ||
		    (r = set_names(launch->config, err)) < 0 ||
		    (r = rootfs_enter(launch->config, launch->process->terminal, ret_master, err)) <
			    0)
			return r;
		return make_dirs(launch->process->cwd, 0755, err);
	}
	if ((r = join_container(launch, err)) < 0 || !launch->process->terminal)
		return r;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return cay_error_errno(err, errno, "opening the container's root");
	r = terminal_open(root, err);
	if (r < 0)
		return r;
	*ret_master = r;
	return 0;
}

int launch_prepare(struct child *child, int *ret_master, struct cay_error *err)
{
	_cleanup_close_ int master = -1;
	int r;

	child->last_capability = capability_last(child->proc_fd);
	if ((r = enter_container(child, &master, err)) < 0 || (r = resolve_user(child, err)) < 0 ||
	    (master >= 0 && (r = open_slave(child, master, err)) < 0))
		return r;
	strv_copy(&child->env, &child->launch->process->env);
	if (!has_variable(&child->env, "HOME="))
		strv_addf(&child->env, "HOME=%s", child->user.home);
	*ret_master = TAKE_FD(master);
	return 0;
}

int launch_prepare_files(struct child *child, int *ret_namespace, struct cay_error *err)
{
	int fd, r = prepare_guest(child->launch, err);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWNS) < 0)
		return cay_error_errno(err, errno, "making a mount namespace");
	r = rootfs_enter_files(child->launch->config, err);
	if (r < 0)
		return r;
	fd = openat(child->proc_fd, "self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cay_error_errno(err, errno, "opening the mount namespace");
	*ret_namespace = fd;
	return 0;
}
