/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay between a port and FUSE's devices. A socket pair stands for the
 * port; one that keeps messages apart, as the device does, stands for that.
 */
#include "test.h"

#include "guest/relay.h"
#include "guest/share.h"

#include "base/alloc.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

struct setup {
	pid_t pid;
	int host;    /* the port's other end */
	int control; /* where vminitd's children send descriptors */
};

static void make_pair(int type, int *ret_ours, int *ret_theirs)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
}

static void begin(struct setup *setup)
{
	int port, control;

	make_pair(SOCK_STREAM, &setup->host, &port);
	make_pair(SOCK_SEQPACKET, &setup->control, &control);
	setup->pid = fork();
	assert_true(setup->pid >= 0);
	if (setup->pid == 0) {
		(void)close(setup->host);
		(void)close(setup->control);
		(void)alarm(60);
		relay_serve(port, control);
	}
	(void)close(port);
	(void)close(control);
}

static int end(struct setup *setup)
{
	int status;

	(void)close(setup->control);
	assert_int_equal(process_wait(setup->pid, &status), 0);
	(void)close(setup->host); /* not before, or that would be what it ended for */
	return process_exit_code(status);
}

/* Gives the relay a share; our end of it. */
static int add_share(struct setup *setup, uint32_t number)
{
	struct iovec part = { &number, sizeof(number) };
	union {
		char data[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr header = { .msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.data,
				 .msg_controllen = sizeof(control.data) };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	int ours, theirs;

	make_pair(SOCK_SEQPACKET, &ours, &theirs);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(theirs));
	memcpy(CMSG_DATA(rights), &theirs, sizeof(theirs));
	assert_int_equal(sendmsg(setup->control, &header, 0), sizeof(number));
	(void)close(theirs);
	return ours;
}

static void send_answer(int fd, uint32_t share, uint64_t unique, size_t size)
{
	const uint32_t header[2] = { (uint32_t)size, share };
	struct fuse_out_header out = { .len = (uint32_t)size, .unique = unique };
	_cleanup_free_ char *text = xcalloc(1, size);

	memcpy(text, &out, sizeof(out));
	assert_int_equal(write_full(fd, header, sizeof(header)), 0);
	assert_int_equal(write_full(fd, text, size), 0);
}

static void expect_answer(int fuse, uint64_t unique, size_t size)
{
	_cleanup_free_ char *text = xmalloc(RELAY_PAYLOAD_MAX);
	struct fuse_out_header out;

	assert_int_equal(read(fuse, text, RELAY_PAYLOAD_MAX), size);
	memcpy(&out, text, sizeof(out));
	assert_int_equal(out.unique, unique);
}

/* Each share's messages go to it and to no other, requests under its number. */
static void test_both_ways(void **state)
{
	struct setup setup;
	uint32_t header[2];
	char text[5];
	int first, second;

	begin(&setup);
	first = add_share(&setup, 0);
	second = add_share(&setup, 7);
	assert_int_equal(write(second, "hello", 5), 5);
	assert_int_equal(read_full(setup.host, header, sizeof(header)), sizeof(header));
	assert_int_equal(header[0], 5);
	assert_int_equal(header[1], 7);
	assert_int_equal(read_full(setup.host, text, 5), 5);
	assert_memory_equal(text, "hello", 5);
	assert_int_equal(write(first, "a", 1), 1);
	assert_int_equal(read_full(setup.host, header, sizeof(header)), sizeof(header));
	assert_int_equal(header[1], 0);
	/* Both are known to the relay now. One for a share that is not mounted is dropped. */
	send_answer(setup.host, 9, 1, 16);
	send_answer(setup.host, 7, 2, 4000);
	send_answer(setup.host, 0, 4, 20000);
	send_answer(setup.host, 7, 0, 40); /* a notification: nobody takes those */
	send_answer(setup.host, 7, 6, 16);
	expect_answer(second, 2, 4000);
	expect_answer(second, 6, 16);
	expect_answer(first, 4, 20000);
	(void)close(first);
	(void)close(second);
	assert_int_equal(end(&setup), 0);
}

/* A host that takes no request still gets its answers through. */
static void test_directions_do_not_wait(void **state)
{
	_cleanup_free_ char *large = xcalloc(1, 100000);
	struct setup setup;
	unsigned int sent = 0;
	uint32_t header[2];
	struct pollfd room = { .events = POLLOUT };
	int fuse, probe;

	begin(&setup);
	fuse = room.fd = add_share(&setup, 1);
	assert_int_equal(fcntl(fuse, F_SETFL, O_NONBLOCK), 0);
	probe = add_share(&setup, 2);
	assert_int_equal(write(probe, "x", 1), 1); /* so that both are known ... */
	assert_int_equal(read_full(setup.host, header, sizeof(header)), sizeof(header));
	assert_int_equal(read_full(setup.host, large, 1), 1);
	/* ... and then as many requests as all buffers hold, none of which is read. */
	while (sent < 1000 && poll(&room, 1, 500) > 0)
		if (write(fuse, large, 100000) > 0)
			sent++;
	assert_in_range(sent, 1, 999);
	send_answer(setup.host, 2, 2, RELAY_PAYLOAD_MAX / 16);
	expect_answer(probe, 2, RELAY_PAYLOAD_MAX / 16);
	for (unsigned int i = 0; i < sent; i++) {
		assert_int_equal(read_full(setup.host, header, sizeof(header)), sizeof(header));
		assert_int_equal(header[0], 100000);
		assert_int_equal(read_full(setup.host, large, 100000), 100000);
	}
	(void)close(fuse);
	(void)close(probe);
	assert_int_equal(end(&setup), 0);
}

/* What breaks the protocol ends the relay, and with it every connection. */
static void expect_end(const void *data, size_t size)
{
	struct setup setup;
	char byte;
	int fuse;

	begin(&setup);
	fuse = add_share(&setup, 0);
	assert_int_equal(write_full(setup.host, data, size), 0);
	if (size == 0)
		(void)shutdown(setup.host, SHUT_WR);
	assert_int_equal(read(fuse, &byte, 1), 0);
	(void)close(fuse);
	assert_int_not_equal(end(&setup), 0);
}

static void test_broken_host(void **state)
{
	static const uint32_t short_one[2] = { 15, 0 }, large[2] = { RELAY_PAYLOAD_MAX + 1, 0 };
	static const uint32_t foreign[2] = { 16, SHARES_MAX };

	expect_end("", 0);
	expect_end(short_one, sizeof(short_one));
	expect_end(large, sizeof(large));
	expect_end(foreign, sizeof(foreign));
}

/* A share that was unmounted may be mounted again; one that is mounted may not. */
static void test_again(void **state)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };
	struct setup setup;
	uint32_t header[2];
	char byte;
	int fuse, twin;

	begin(&setup);
	fuse = add_share(&setup, 3);
	twin = add_share(&setup, 3);
	assert_int_equal(read(twin, &byte, 1), 0);
	(void)close(twin);
	/* Until the relay has seen the end, it takes no other and closes what it is given. */
	do {
		(void)close(TAKE_FD(fuse));
		fuse = add_share(&setup, 3);
		(void)send(fuse, "ok", 2, MSG_NOSIGNAL);
		fds[0].fd = setup.host;
		fds[1].fd = fuse;
		assert_true(poll(fds, 2, 30000) > 0);
	} while (!(fds[0].revents & POLLIN));
	assert_int_equal(read_full(setup.host, header, sizeof(header)), sizeof(header));
	assert_int_equal(header[1], 3);
	(void)close(fuse);
	assert_int_equal(end(&setup), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_directions_do_not_wait),
		cmocka_unit_test(test_broken_host),
		cmocka_unit_test(test_again),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
