/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, asking and ending the shim of one VM of the pool. */
#include "daemon/pool-member.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/containers.h"
#include "daemon/launch-warm.h"
#include "daemon/shim.h"
#include "daemon/usage.h"
#include "image/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
	READY_MS = 60000,
	WARM_MS = 330000, /* the shim gives up before that */
	CLAIM_MS = 2000,  /* a start waits for it, and goes another way if it takes that long */
	GONE_MS = 2000,
	END_MS = 8000, /* for a shim whose leash was let go, then it is killed */
};

/* ---- making ---- */

static int prepare(struct member *member, const struct sandbox_config *like,
		   const struct image_disk *image, const char *config_path, struct cay_error *err)
{
	struct daemon *daemon = member->daemon;
	const uid_t uid = geteuid() == 0 ? containers_choose_uid(daemon->containers) : 0;
	_cleanup_(sandbox_config_free_p) struct sandbox_config *config = launch_copy_machine(like);
	_cleanup_free_ char *scratch = path_join(member->directory, "scratch.ext4");
	_cleanup_free_ char *document = NULL;
	const struct launch_warm warm = {
		.id = member->id,
		.run_directory = member->run_directory,
		.uid = uid,
		.directory = member->directory,
	};
	int r = launch_as_member(daemon, config, &warm, image, like->template_directory, err);

	if (r < 0)
		return r;
	config->translations = xstrdup(like->translations);
	config->recording = xstrdup(like->recording);
	if (mkdir(member->directory, 0700) < 0)
		return cay_error_errno(err, errno, "making %s", member->directory);
	if (mkdir(member->run_directory, 0700) < 0)
		return cay_error_errno(err, errno, "making %s", member->run_directory);
	r = scratch_create(daemon->options.root, scratch, 0, uid > 0 ? uid : geteuid(), err);
	if (r < 0)
		return r;
	document = sandbox_config_print(config);
	return file_write_volatile(config_path, document, strlen(document), 0600, err);
}

static int spawn(struct member *member, const char *config_path, const char *log_path,
		 struct cay_error *err)
{
	_cleanup_close_ int held = -1;
	int pipe_fds[2], r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return cay_error_errno(err, errno, "making a leash");
	held = pipe_fds[0];
	member->leash = pipe_fds[1];
	/* No child of ours, since it may outlive this daemon as a container's. */
	const struct shim_program program = {
		.config_path = config_path,
		.log_path = log_path,
		.leash_fd = held,
	};

	r = shim_execute(&member->daemon->options, &program, &member->pid, err);
	if (r < 0)
		return r;
	member->pidfd = (int)syscall(SYS_pidfd_open, member->pid, 0);
	/* One that has ended already is told of by the socket that never comes. */
	return 0;
}

int member_new(struct daemon *daemon, const char *directory, const struct sandbox_config *like,
	       const char *key, const struct image_disk *image, struct member **ret_member,
	       struct cay_error *err)
{
	struct member *member = xcalloc(1, sizeof(*member));
	_cleanup_free_ char *config_path = NULL, *log_path = NULL, *socket = NULL;
	int r;

	member->daemon = daemon;
	member->begun_ms = clock_monotonic_ms();
	member->pidfd = member->leash = -1;
	memcpy(member->key, key, sizeof(member->key));
	id_make(member->id);
	member->directory = path_join(directory, member->id);
	member->run_directory = path_join(daemon->options.run, member->id);
	config_path = path_join(member->directory, "shim-config.json");
	log_path = path_join(member->directory, "shim.log");
	socket = path_join(member->run_directory, "shim.sock");
	r = prepare(member, like, image, config_path, err);
	if (r == 0)
		r = spawn(member, config_path, log_path, err);
	if (r == 0)
		r = shim_wait_ready(socket, member->pid, log_path, READY_MS, &member->client, err);
	if (r < 0) {
		member_drop(member);
		return r;
	}
	*ret_member = member;
	return 0;
}

/* ---- life ---- */

int member_wait_warm(struct member *member, Cay__Shim__V1__StateResponse **ret_state,
		     struct cay_error *err)
{
	Cay__Shim__V1__WaitWarmRequest request = CAY__SHIM__V1__WAIT_WARM_REQUEST__INIT;
	int r = rpc_client_call(member->client, &cay__shim__v1__shim__descriptor, "WaitWarm",
				&request.base, WARM_MS, NULL, err);

	if (r == 0)
		r = shim_state(member->client, ret_state, err);
	if (r == 0)
		member->memory = usage_of(member->pid).memory_bytes;
	if (r == 0)
		member->vm_pid = (*ret_state)->vm_pid;
	return r;
}

void member_let_go(struct member *member)
{
	cay_close_p(&member->leash);
	member->leash = -1;
}

void member_kill(const struct member *member)
{
	if (member->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, member->pidfd, SIGKILL, NULL, 0);
}

int member_claim(struct member *member, const char *config_path, struct cay_error *err)
{
	Cay__Shim__V1__ClaimRequest request = CAY__SHIM__V1__CLAIM_REQUEST__INIT;
	int r;

	request.config_path = (char *)config_path;
	r = rpc_client_call(member->client, &cay__shim__v1__shim__descriptor, "Claim",
			    &request.base, CLAIM_MS, NULL, err);
	member->is_claimed = r == 0;
	return r;
}

void member_stop_at_once(const struct member *member)
{
	member_kill(member);
	/* QEMU sees its shim go and ends; until then it has the container's disks and taps. */
	if (!shim_wait_gone(member->pid, GONE_MS) || !shim_wait_gone(member->vm_pid, GONE_MS))
		log_warning("a VM of the pool, process %d, does not end", (int)member->vm_pid);
}

static void end(struct member *member)
{
	member_let_go(member);
	if (member->pid <= 0 || shim_wait_gone(member->pid, END_MS))
		return;
	log_warning("a VM of the pool does not end, killing its shim, process %d",
		    (int)member->pid);
	member_kill(member);
	(void)shim_wait_gone(member->pid, END_MS);
}

void member_drop(struct member *member)
{
	struct cay_error err = { 0 };

	rpc_client_free(member->client);
	if (!member->is_claimed)
		end(member);
	cay_close_p(&member->leash);
	cay_close_p(&member->pidfd);
	if (remove_tree(member->directory, &err) < 0 ||
	    remove_tree(member->run_directory, &err) < 0)
		log_warning("%s", err.message);
	shim_remove_cgroup(member->id); /* which a claimed VM leaves as well */
	free(member->directory);
	free(member->run_directory);
	free(member);
}
