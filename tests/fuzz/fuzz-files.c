/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole session of a guest's, on a scratch directory: each message is two
 * bytes of length and then what it is. The header's own length is put right
 * and the opcode kept in the range of those that exist, most of the time, so
 * that what follows is looked at. Beside the tree lies a file that nothing may change.
 */
#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "files/session.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 200 };

static char tree[64], witness[64];

static void nobody_asks(void *user, unsigned int share, uint64_t unique, int error)
{
}

static void set_up(struct share *share, struct lock_answers *answers)
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
	lock_answers_init(answers, nobody_asks, NULL);
	*share = (struct share){ .path = tree, .root_fd = -1 };
}

static void make_tree(struct share *share)
{
	struct cay_error err = { 0 };
	int fd;

	if (remove_tree(tree, &err) < 0 || mkdir(tree, 0755) < 0)
		die("%s: %s", tree, err.message);
	share->root_fd = open(tree, O_PATH | O_CLOEXEC);
	fd = openat(share->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

static void send(struct session *session, struct identity *identity, const uint8_t *data,
		 size_t size)
{
	static uint8_t room[MESSAGE_DATA_MAX];
	struct answer answer = { .data = room };
	/* At an aligned address, and no byte longer than it is. */
	_cleanup_free_ uint8_t *message = xmemdup(data, size);
	uint64_t unique;

	if (size >= sizeof(struct fuse_in_header)) {
		struct fuse_in_header *header = (struct fuse_in_header *)message;

		header->len = (uint32_t)size;
		header->total_extlen = 0;
		header->opcode = header->opcode % 256 == 255 ? header->opcode : header->opcode % 52;
		header->nodeid %= 16;
	}
	(void)session_handle(session, identity, message, size, &unique, &answer);
	if (answer.size > MESSAGE_DATA_MAX)
		__builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct share share;
	static struct lock_answers answers;
	struct session_totals totals;
	struct cay_error err = { 0 };
	struct session session;
	struct identity identity = { 0 };

	_cleanup_close_ int home = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (!tree[0])
		set_up(&share, &answers);
	make_tree(&share);
	if (home < 0 || chdir("/proc/self/fd") < 0)
		die("/proc/self/fd");
	session_totals_init(&totals);
	if (session_init(&session, &share, 0, false, &totals, &answers, &err) < 0)
		die("%s", err.message);
	for (unsigned int i = 0; size > 2 && i < MESSAGES_MAX; i++) {
		size_t length = MIN((size_t)data[0] | (size_t)(data[1] & 0x0f) << 8, size - 2);

		send(&session, &identity, data + 2, length);
		data += 2 + length;
		size -= 2 + length;
	}
	session_done(&session);
	cay_close_p(&share.root_fd);
	check_witness();
	return fchdir(home); /* which the fuzzer's own files are below */
}
