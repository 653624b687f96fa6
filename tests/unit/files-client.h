/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest in place of the kernel's: a real cay-files on a scratch tree, and the
 * messages of FUSE sent to it, honest ones and others.
 */
#pragma once

#include "test.h"

#include "../tools/vhost-front.h"
#include "base/alloc.h"
#include "base/process.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	CLIENT_MOUNT = 0xffff, /* for a share: what is about none, or the mount's own root */
	CLIENT_NODE_BITS = 48,
};

struct client {
	pid_t pid;
	struct front front;
	uint64_t unique;
	uint32_t uid, gid;
	/* the last reply */
	struct fuse_out_header header;
	alignas(8) uint8_t data[FRONT_ROOM];
	size_t size;
};

static inline cay_unused char *files_program(void)
{
	char path[PATH_MAX];

	assert_non_null(realpath(program_invocation_name, path));
	*strrchr(path, '/') = '\0';
	return xasprintf("%s/../cay-files", path);
}

/* Starts it; what it said before it failed, or NULL. `arguments`: flags and paths, then NULL. */
static inline cay_unused char *client_try(struct client *client, const char *const *arguments)
{
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_buf_ struct buf said = { 0 };
	struct cay_error err = { 0 };
	int pair[2], status[2];

	strv_take(&argv, files_program());
	for (; *arguments; arguments += 2) {
		strv_add(&argv, "--share");
		strv_add(&argv, arguments[0]);
		strv_add(&argv, arguments[1]);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(status, O_CLOEXEC), 0);
	const struct process_fd fds[] = { { 2, 1 }, { 2, 2 }, { pair[1], 3 }, { status[1], 4 } };

	*client = (struct client){ .unique = 2 };
	assert_int_equal(front_make(&client->front, pair[0]), 0);
	/* Leaks can't be looked for in a jail without /proc; the fuzzer's sessions are. */
	(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	assert_ok(process_spawn(
		&(struct process_spec){ .argv = &argv, .fds = fds, .fd_count = ARRAY_SIZE(fds) },
		&client->pid, &err));
	(void)close(pair[1]);
	(void)close(status[1]);
	assert_ok(fd_read(status[0], "its status", 4096, &said, &err));
	(void)close(status[0]);
	return said.length > 0 ? buf_steal(&said) : NULL;
}

/* The number of a node as the guest has it, from one in a share: 1 is the share's root. */
static inline cay_unused uint64_t client_node(uint32_t share, uint64_t node)
{
	return share == CLIENT_MOUNT || node >> CLIENT_NODE_BITS
		? node
		: (uint64_t)(share + 1) << CLIENT_NODE_BITS | node;
}

static inline cay_unused unsigned int client_queue(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT
		? FRONT_HIPRIO
		: FRONT_REQUESTS;
}

/* Sends a message: the operation's structure, then what follows it. The result is its number. */
static inline cay_unused uint64_t client_send(struct client *client, uint32_t share,
					      uint32_t opcode, uint64_t node, const void *in,
					      size_t in_size, const void *tail, size_t tail_size)
{
	const size_t size = sizeof(struct fuse_in_header) + in_size + tail_size;
	const unsigned int queue = client_queue(opcode);
	uint32_t length;
	uint8_t *bytes;
	int slot;

	while (queue == FRONT_HIPRIO && front_take(&client->front, queue, &length) >= 0)
		;
	slot = front_find_slot(&client->front, queue);
	assert_true(slot >= 0);
	assert_true(size <= FRONT_ROOM);
	bytes = front_message(&client->front, queue, (unsigned int)slot);
	client->unique += 2;
	*(struct fuse_in_header *)bytes = (struct fuse_in_header){
		.len = (uint32_t)size,
		.opcode = opcode,
		.unique = client->unique,
		.nodeid = client_node(share, node),
		.uid = client->uid,
		.gid = client->gid,
		.pid = 1,
	};
	if (in_size > 0)
		memcpy(bytes + sizeof(struct fuse_in_header), in, in_size);
	if (tail_size > 0)
		memcpy(bytes + sizeof(struct fuse_in_header) + in_size, tail, tail_size);
	front_send(&client->front, queue, (unsigned int)slot, (uint32_t)size,
		   queue == FRONT_REQUESTS ? FRONT_ROOM : 0);
	return client->unique;
}

/* The next reply; false when the server has ended. */
static inline cay_unused bool client_receive(struct client *client)
{
	const uint8_t *answer;
	uint32_t length = 0;
	int slot = front_receive(&client->front, FRONT_REQUESTS, &length);

	if (slot < 0 || length == 0)
		return false;
	answer = front_answer(&client->front, FRONT_REQUESTS, (unsigned int)slot);
	assert_in_range(length, sizeof(client->header), FRONT_ROOM);
	memcpy(&client->header, answer, sizeof(client->header));
	assert_int_equal(client->header.len, length);
	client->size = length - sizeof(client->header);
	memcpy(client->data, answer + sizeof(client->header), client->size);
	return true;
}

/* A message and its reply: 0 or -errno. */
static inline cay_unused int client_call(struct client *client, uint32_t share, uint32_t opcode,
					 uint64_t node, const void *in, size_t in_size,
					 const void *tail, size_t tail_size)
{
	uint64_t unique = client_send(client, share, opcode, node, in, in_size, tail, tail_size);

	assert_true(client_receive(client));
	assert_int_equal(client->header.unique, unique);
	return client->header.error;
}

/* With a name behind the structure. */
static inline cay_unused int client_name(struct client *client, uint32_t share, uint32_t opcode,
					 uint64_t node, const void *in, size_t in_size,
					 const char *name)
{
	return client_call(client, share, opcode, node, in, in_size, name, strlen(name) + 1);
}

static inline cay_unused int client_init(struct client *client)
{
	const struct fuse_init_in in = {
		.major = 7,
		.minor = 37,
		.max_readahead = 1 << 20,
		.flags = ~0U,
		.flags2 = 0,
	};

	return client_call(client, CLIENT_MOUNT, FUSE_INIT, 0, &in, sizeof(in), NULL, 0);
}

static inline cay_unused void client_start(struct client *client, const char *const *arguments)
{
	_cleanup_free_ char *said = client_try(client, arguments);

	if (said)
		fail_msg("cay-files: %s", said);
	assert_true(front_start(&client->front));
	assert_int_equal(client_init(client), 0);
}

/* Its exit code. */
static inline cay_unused int client_stop(struct client *client)
{
	int status = 0;

	front_done(&client->front);
	assert_int_equal(process_wait(client->pid, &status), 0);
	return process_exit_code(status);
}

/* The node of a name: its number, or -errno. */
static inline cay_unused int64_t client_lookup(struct client *client, uint64_t directory,
					       const char *name)
{
	int r = client_name(client, 0, FUSE_LOOKUP, directory, NULL, 0, name);

	return r < 0 ? r : (int64_t)((const struct fuse_entry_out *)client->data)->nodeid;
}

/* Opens a node: a handle, or 0 with the error in client->header. */
static inline cay_unused uint64_t client_open(struct client *client, int64_t node, uint32_t flags)
{
	const struct fuse_open_in in = { .flags = flags };

	assert_true(node > 0);
	return client_call(client, 0, FUSE_OPEN, (uint64_t)node, &in, sizeof(in), NULL, 0) < 0
		? 0
		: ((const struct fuse_open_out *)client->data)->fh;
}

static inline cay_unused int client_create(struct client *client, uint64_t directory,
					   const char *name, uint32_t flags, uint32_t mode,
					   uint64_t *ret_node, uint64_t *ret_handle)
{
	const struct fuse_create_in in = { .flags = flags, .mode = S_IFREG | mode };
	int r = client_name(client, 0, FUSE_CREATE, directory, &in, sizeof(in), name);

	*ret_node = *ret_handle = 0; /* the compiler does not see that a test ends then */
	if (r == 0) {
		*ret_node = ((const struct fuse_entry_out *)client->data)->nodeid;
		*ret_handle = ((const struct fuse_open_out *)(client->data +
							      sizeof(struct fuse_entry_out)))
				      ->fh;
	}
	return r;
}

static inline cay_unused int client_write(struct client *client, uint64_t handle, uint64_t offset,
					  const char *text, uint32_t write_flags)
{
	const struct fuse_write_in in = {
		.fh = handle,
		.offset = offset,
		.size = (uint32_t)strlen(text),
		.write_flags = write_flags,
	};

	return client_call(client, 0, FUSE_WRITE, 1, &in, sizeof(in), text, strlen(text));
}

static inline cay_unused int client_read(struct client *client, uint64_t handle, uint64_t offset,
					 uint32_t size)
{
	const struct fuse_read_in in = { .fh = handle, .offset = offset, .size = size };

	return client_call(client, 0, FUSE_READ, 1, &in, sizeof(in), NULL, 0);
}

static inline cay_unused int client_setattr(struct client *client, int64_t node,
					    struct fuse_setattr_in in)
{
	return client_call(client, 0, FUSE_SETATTR, (uint64_t)node, &in, sizeof(in), NULL, 0);
}

/* A scratch tree: "tree" in it is served, "secret" beside it is not. */
struct scratch {
	char path[64];
	char tree[80], secret[80];
};

static inline cay_unused void scratch_make(struct scratch *scratch)
{
	int fd;

	make_test_directory(scratch->path);
	(void)snprintf(scratch->tree, sizeof(scratch->tree), "%s/tree", scratch->path);
	(void)snprintf(scratch->secret, sizeof(scratch->secret), "%s/secret", scratch->path);
	assert_int_equal(mkdir(scratch->tree, 0755), 0);
	fd = open(scratch->secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write_full(fd, "secret", 6), 0);
	(void)close(fd);
}

/* The path of a name in the tree, good until the next but three. */
static inline cay_unused const char *in_tree(const struct scratch *scratch, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % ARRAY_SIZE(paths)];

	(void)snprintf(path, PATH_MAX, "%s/%s", scratch->tree, name);
	return path;
}

static inline cay_unused void put_file(const struct scratch *scratch, const char *name,
				       const char *text)
{
	int fd = open(in_tree(scratch, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static inline cay_unused void assert_contents(const char *path, const char *text)
{
	_cleanup_buf_ struct buf contents = { 0 };
	struct cay_error err = { 0 };

	assert_ok(file_read(path, MIB, &contents, &err));
	assert_string_equal(buf_text(&contents), text);
}

static inline cay_unused void scratch_remove(struct scratch *scratch)
{
	struct cay_error err = { 0 };

	assert_ok(remove_tree(scratch->path, &err));
}
