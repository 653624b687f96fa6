/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of vhost-message.h received and answered. */
#include "files/vhost-message.h"

#include "base/file.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static void take_fds(struct msghdr *from, struct vhost_message *message)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(from); control;
	     control = CMSG_NXTHDR(from, control)) {
		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		/* There is room for no more than these. */
		message->fd_count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(message->fds, CMSG_DATA(control), message->fd_count * sizeof(int));
	}
}

static ssize_t receive_header(int fd, struct vhost_message *message)
{
	struct iovec header = { &message->header, sizeof(message->header) };
	union {
		char bytes[CMSG_SPACE(sizeof(message->fds))];
		struct cmsghdr align;
	} control;
	struct msghdr from = {
		.msg_iov = &header,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do
		n = recvmsg(fd, &from, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno != ECONNRESET ? -errno : 0;
	take_fds(&from, message);
	if (from.msg_flags & MSG_CTRUNC)
		return -EPROTO;
	return n;
}

int vhost_receive(int fd, struct vhost_message *message)
{
	uint8_t *header = (uint8_t *)&message->header;
	ssize_t n;

	memset(message, 0, sizeof(*message));
	n = receive_header(fd, message);
	if (n <= 0)
		return (int)n;
	if (n < (ssize_t)sizeof(message->header)) {
		ssize_t rest = read_full(fd, header + n, sizeof(message->header) - (size_t)n);

		if (rest != (ssize_t)sizeof(message->header) - n)
			return rest < 0 ? (int)rest : 0;
	}
	if ((message->header.flags & VHOST_VERSION_MASK) != VHOST_VERSION ||
	    message->header.size > sizeof(message->bytes))
		return -EPROTO;
	n = read_full(fd, message->bytes, message->header.size);
	if (n != (ssize_t)message->header.size)
		return n < 0 ? (int)n : 0;
	return 1;
}

void vhost_message_done(struct vhost_message *message)
{
	for (size_t i = 0; i < message->fd_count; i++)
		cay_close_p(&message->fds[i]);
	message->fd_count = 0;
}

int vhost_reply(int fd, const struct vhost_message *message, uint32_t size)
{
	struct {
		uint32_t request, flags, size;
		uint8_t bytes[sizeof(message->bytes)];
	} reply = { message->header.request, VHOST_VERSION | VHOST_REPLY, size, { 0 } };

	assert(size <= sizeof(reply.bytes));
	memcpy(reply.bytes, message->bytes, size);
	return write_full(fd, &reply, offsetof(typeof(reply), bytes) + size);
}
