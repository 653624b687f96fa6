/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole mount of a guest's, with a share that may be written and one that may
 * not, of one scratch directory: each message is two bytes of length and then
 * what it is. The header's own length is put right and the opcode and the node
 * kept in the range of those that exist, most of the time, so that what follows
 * is looked at. Beside the tree lies a file that nothing may change.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "files/connection.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 200, SHARES = 2, ROOM = 4096 };

static char tree[64], witness[64];

static void nobody_asks(void *token, int error)
{
}

static void set_up(struct share *shares)
{
	char path[] = "/tmp/cay-fuzz-XXXXXX";
	int fd;

	if (!mkdtemp(path))
		die("a scratch directory");
	(void)snprintf(tree, sizeof(tree), "%s/tree", path);
	(void)snprintf(witness, sizeof(witness), "%s/witness", path);
	fd = open(witness, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	(void)!write(fd, "untouched", 9);
	(void)close(fd);
	for (unsigned int i = 0; i < SHARES; i++)
		shares[i] = (struct share){ .path = tree, .root_fd = -1, .read_only = i > 0 };
}

static void make_tree(struct share *shares)
{
	struct cay_error err = { 0 };
	int fd;

	if (remove_tree(tree, &err) < 0 || mkdir(tree, 0755) < 0)
		die("%s: %s", tree, err.message);
	for (unsigned int i = 0; i < SHARES; i++)
		shares[i].root_fd = open(tree, O_PATH | O_CLOEXEC);
	fd = openat(shares[0].root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	(void)mkdirat(fd, "d", 0755);
	(void)!symlinkat("../witness", fd, "l");
	(void)close(openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	(void)close(fd);
}

static void check_witness(void)
{
	struct stat st;

	if (stat(witness, &st) < 0 || st.st_size != 9 || st.st_mode != (S_IFREG | 0640))
		__builtin_trap();
}

static void send(struct connection *connection, struct identity *identity, const uint8_t *data,
		 size_t size)
{
	static uint8_t answers[ANSWER_MAX], room[ROOM];
	struct iovec where = { room, sizeof(room) }, written;
	struct answer answer = { .data = answers, .room = { &where, 1, sizeof(room) } };
	/* At an aligned address, and no byte longer than it is. */
	_cleanup_free_ uint8_t *message = xmemdup(data, size);
	struct request request = { .bytes = message, .held = size, .size = size };

	if (size >= sizeof(struct fuse_in_header)) {
		struct fuse_in_header *header = (struct fuse_in_header *)message;

		header->len = (uint32_t)size;
		header->total_extlen = 0;
		header->opcode = header->opcode % 256 == 255 ? header->opcode : header->opcode % 52;
		header->nodeid = header->nodeid % 16 |
			(header->nodeid / 16 + 1) % (SHARES + 2) << SESSION_NODE_BITS;
		if (header->opcode == FUSE_WRITE && size > MESSAGE_WRITE_HEAD) {
			request.held = MESSAGE_WRITE_HEAD;
			written = (struct iovec){ message + request.held, size - request.held };
			request.written = (struct pieces){ &written, 1, written.iov_len };
		}
	}
	(void)connection_handle(connection, identity, &request, &answer);
	if (answer.size > (answer.placed ? ROOM : ANSWER_MAX))
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct share shares[SHARES];
	const struct share_list list = { shares, SHARES };
	struct cay_error err = { 0 };
	struct connection connection;
	struct identity identity = { 0 };

	_cleanup_close_ int home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (!tree[0])
		set_up(shares);
	make_tree(shares);
	if (home < 0 || chdir("/proc/self/fd") < 0)
		die("/proc/self/fd");
	if (connection_init(&connection, &list, false, nobody_asks, &err) < 0)
		die("%s", err.message);
	for (unsigned int i = 0; size > 2 && i < MESSAGES_MAX; i++) {
		size_t length = MIN((size_t)data[0] | (size_t)(data[1] & 0x0f) << 8, size - 2);

		send(&connection, &identity, data + 2, length);
		data += 2 + length;
		size -= 2 + length;
	}
	connection_done(&connection);
	for (unsigned int i = 0; i < SHARES; i++) {
		cay_close_p(&shares[i].root_fd);
		shares[i].root_fd = -1;
	}
	check_witness();
	return fchdir(home); /* which the fuzzer's own files are below */
}
