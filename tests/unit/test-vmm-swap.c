/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange of disks, against a socket that plays QEMU: messages, descriptors, failures. */
#include "test.h"

#include "vmm/swap.h"

#include "base/alloc.h"
#include "base/json.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { MESSAGES_MAX = 32, DESCRIPTORS_MAX = 8 };

struct exchange {
	uv_loop_t loop;
	struct qmp *qmp;
	int peer;
	char directory[64];
	struct vm_extent extents[3];
	struct vm_disk disks[2];
	/* What QEMU has got. */
	struct buf input, text;
	int fds[DESCRIPTORS_MAX];
	size_t fd_count;
	unsigned int calls; /* of done */
	struct cay_error err;
};

static void on_event(struct qmp *qmp, const char *name, json_t *data, void *user)
{
	fail_msg("the event %s came", name);
}

static void on_close(struct qmp *qmp, const struct cay_error *why, void *user)
{
}

static void on_done(const struct cay_error *err, void *user)
{
	struct exchange *exchange = user;

	exchange->calls++;
	if (err)
		exchange->err = *err;
}

static void make_extent(struct exchange *exchange, size_t index, off_t size)
{
	char *path = xasprintf("%s/%zu", exchange->directory, index);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, size), 0);
	(void)close(fd);
	exchange->extents[index] = (struct vm_extent){ path, (uint64_t)size };
}

static void begin(struct exchange *exchange)
{
	static const struct qmp_events events = { .on_event = on_event, .on_close = on_close };
	int pair[2];

	*exchange = (struct exchange){ .fd_count = 0 };
	make_test_directory(exchange->directory);
	make_extent(exchange, 0, 8192);
	make_extent(exchange, 1, 4096);
	make_extent(exchange, 2, (off_t)VMM_DISK_SIZE);
	exchange->disks[0] = (struct vm_disk){ exchange->extents, 2, true };
	exchange->disks[1] = (struct vm_disk){ exchange->extents + 2, 1, false };
	assert_int_equal(uv_loop_init(&exchange->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
	exchange->peer = pair[1];
	exchange->qmp = qmp_new(&exchange->loop, pair[0], &events, exchange);
}

static void end(struct exchange *exchange)
{
	struct cay_error err = { 0 };

	(void)close(exchange->peer);
	(void)uv_run(&exchange->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&exchange->loop), 0);
	for (size_t i = 0; i < exchange->fd_count; i++)
		(void)close(exchange->fds[i]);
	for (size_t i = 0; i < ARRAY_SIZE(exchange->extents); i++)
		free((char *)exchange->extents[i].path);
	buf_done(&exchange->input);
	buf_done(&exchange->text);
	assert_ok(remove_tree(exchange->directory, &err));
}

/* Reads as QEMU does, a byte at a time with the descriptor that comes with it; false: none. */
static bool read_byte(struct exchange *exchange)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec bytes = { &byte, 1 };
	struct msghdr message = { .msg_iov = &bytes,
				  .msg_iovlen = 1,
				  .msg_control = control.space,
				  .msg_controllen = sizeof(control.space) };
	const struct cmsghdr *header;

	if (recvmsg(exchange->peer, &message, MSG_CMSG_CLOEXEC) != 1)
		return false;
	header = CMSG_FIRSTHDR(&message);
	if (header) {
		assert_true(exchange->fd_count < DESCRIPTORS_MAX);
		memcpy(&exchange->fds[exchange->fd_count++], CMSG_DATA(header), sizeof(int));
	}
	buf_putc(&exchange->input, byte);
	return true;
}

/* Takes in what was sent and answers each command; the one named is refused. */
static void answer(struct exchange *exchange, const char *refused)
{
	for (unsigned int i = 0; i < MESSAGES_MAX; i++) {
		_cleanup_json_ json_t *command = NULL;
		_cleanup_free_ char *reply = NULL;
		struct cay_error err = { 0 };
		const char *name;
		long long id;

		(void)uv_run(&exchange->loop, UV_RUN_NOWAIT);
		buf_clear(&exchange->input);
		while (read_byte(exchange))
			if (buf_text(&exchange->input)[exchange->input.length - 1] == '\n')
				break;
		if (exchange->input.length == 0)
			return;
		assert_ok(json_parse(exchange->input.data, exchange->input.length, "it", &command,
				     &err));
		id = (long long)json_integer_value(json_object_get(command, "id"));
		name = json_string_value(json_object_get(command, "execute"));
		assert_int_equal(json_object_del(command, "id"), 0);
		if (strcmp(name, "qmp_capabilities") != 0) {
			json_print_to(command, &exchange->text);
			buf_putc(&exchange->text, '\n');
		}
		if (refused && strcmp(name, refused) == 0)
			reply = xasprintf("{\"id\":%lld,\"error\":{\"desc\":\"no\"}}\n", id);
		else if (strcmp(name, "query-fdsets") == 0)
			reply = xasprintf("{\"id\":%lld,\"return\":[{\"fdset-id\":1003},"
					  "{\"fdset-id\":4},{\"x\":1},7,{\"fdset-id\":3}]}\n",
					  id);
		else
			reply = xasprintf("{\"id\":%lld,\"return\":{}}\n", id);
		assert_int_equal(write_full(exchange->peer, reply, strlen(reply)), 0);
	}
}

static const char commands[] =
	"{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":1000}}\n"
	"{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":1001}}\n"
	"{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":1002}}\n"
	"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"vmdk\",\"file\":{\"driver\":"
	"\"file\",\"filename\":\"/dev/fdset/1002\"},\"node-name\":\"new0\",\"read-only\":true}}\n"
	"{\"execute\":\"add-fd\",\"arguments\":{\"fdset-id\":1003}}\n"
	"{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"file\",\"filename\":"
	"\"/dev/fdset/1003\",%s\"node-name\":\"new1\",\"discard\":\"unmap\"}}\n"
	"{\"execute\":\"blockdev-reopen\",\"arguments\":{\"options\":[{\"driver\":\"raw\","
	"\"node-name\":\"disk0\",\"file\":\"new0\",\"read-only\":true},{\"driver\":\"raw\","
	"\"node-name\":\"disk1\",\"file\":\"new1\",\"discard\":\"unmap\",\"detect-zeroes\":"
	"\"unmap\"}]}}\n"
	"{\"execute\":\"query-fdsets\"}\n"
	"{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":4}}\n"
	"{\"execute\":\"remove-fd\",\"arguments\":{\"fdset-id\":3}}\n";

static void test_exchange(void **state)
{
	struct exchange exchange;
	struct cay_error err = { 0 };
	_cleanup_free_ char *expected = NULL;
	struct stat st[2];
	char text[512] = "";

	begin(&exchange);
	assert_ok(vm_swap_disks(exchange.qmp, exchange.disks, 2, on_done, &exchange, &err));
	assert_int_equal(exchange.calls, 0);
	answer(&exchange, NULL);
	assert_int_equal(exchange.calls, 1);
	assert_int_equal(exchange.err.code, CAY_OK);
	expected = xasprintf(commands,
			     strstr(buf_text(&exchange.text), "io_uring") ? "\"aio\":\"io_uring\","
									  : "");
	assert_string_equal(buf_text(&exchange.text), expected);
	/* The files themselves, in the order of their sets, and what joins the first two. */
	assert_int_equal(exchange.fd_count, 4);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(fstat(exchange.fds[i], &st[0]), 0);
		assert_int_equal(stat(exchange.extents[i].path, &st[1]), 0);
		assert_int_equal(st[0].st_ino, st[1].st_ino);
		assert_int_equal(fcntl(exchange.fds[i], F_GETFL) & O_ACCMODE, O_RDONLY);
	}
	assert_true(pread(exchange.fds[2], text, sizeof(text) - 1, 0) > 0);
	assert_non_null(strstr(text, "RW 16 FLAT \"/dev/fdset/1000\" 0\n"));
	assert_non_null(strstr(text, "RW 2147483632 FLAT \"/dev/fdset/1001\" 0\n")); /* to 1 TiB */
	assert_int_equal(fcntl(exchange.fds[3], F_GETFL) & O_ACCMODE, O_RDWR);
	end(&exchange);
}

static void test_refusals(void **state)
{
	static const char *const refused[] = { "add-fd", "blockdev-add", "blockdev-reopen" };
	struct cay_error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct exchange exchange;

		begin(&exchange);
		assert_ok(vm_swap_disks(exchange.qmp, exchange.disks, 2, on_done, &exchange, &err));
		answer(&exchange, refused[i]);
		assert_int_equal(exchange.calls, 1);
		assert_string_equal(exchange.err.message, "exchanging the disks: QEMU: no");
		assert_null(strstr(buf_text(&exchange.text), "remove-fd"));
		end(&exchange);
	}
}

/* QEMU ends in the middle of it. */
static void test_lost(void **state)
{
	struct exchange exchange;
	struct cay_error err = { 0 };

	begin(&exchange);
	assert_ok(vm_swap_disks(exchange.qmp, exchange.disks, 2, on_done, &exchange, &err));
	end(&exchange);
	assert_int_equal(exchange.calls, 1);
	assert_int_equal(exchange.err.code, CAY_UNAVAILABLE);
}

/* Before QEMU hears of anything. */
static void test_missing_disk(void **state)
{
	struct exchange exchange;
	struct cay_error err = { 0 };

	begin(&exchange);
	assert_int_equal(unlink(exchange.extents[2].path), 0);
	assert_true(vm_swap_disks(exchange.qmp, exchange.disks, 2, on_done, &exchange, &err) < 0);
	assert_int_equal(err.code, CAY_NOT_FOUND);
	answer(&exchange, NULL);
	assert_int_equal(exchange.calls, 0);
	assert_string_equal(buf_text(&exchange.text), "");
	end(&exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_missing_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
