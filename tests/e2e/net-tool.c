// SPDX-License-Identifier: Apache-2.0
/*
 * The other end of the network tests, static so that it runs in any image.
 *
 *   serve PORT
 *	answers TCP and UDP, IPv4 and IPv6, with "ADDRESS PORT TEXT": whom it
 *	sees as its client, and what that one sent
 *   ask tcp|udp ADDRESS PORT TEXT
 *	prints the answer of such a server; gives up after two seconds
 *   send LINK
 *	sends the frames that it reads as lines of hexadecimal digits
 *   listen LINK SECONDS
 *	prints the frames that arrive meanwhile, in the same form
 *   round ADDRESS PORT COUNT
 *	a byte there and back, so many times; the median in microseconds
 */

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 64
#define PATIENCE_S  3
#define MAX_FRAME   2048
#define WINDOW      64
#define MAX_ROUNDS  100000

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* "::ffff:10.0.0.1" is how a socket for both families shows an IPv4 client. */
static int describe(const struct sockaddr_in6 *peer, char *out, size_t size)
{
	char address[INET6_ADDRSTRLEN] = "";

	if (IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr))
		inet_ntop(AF_INET, &peer->sin6_addr.s6_addr[12], address, sizeof(address));
	else
		inet_ntop(AF_INET6, &peer->sin6_addr, address, sizeof(address));
	return snprintf(out, size, "%s %u ", address, (unsigned)ntohs(peer->sin6_port));
}

static int bind_socket(int type, int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	int fd = socket(AF_INET6, type, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		fail("bind");
	return fd;
}

static void answer_datagram(int fd)
{
	struct sockaddr_in6 peer;
	socklen_t length = sizeof(peer);
	char text[4096];
	int prefix;
	ssize_t count;
	char in[2048];

	count = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&peer, &length);
	if (count < 0)
		return;
	prefix = describe(&peer, text, sizeof(text));
	memcpy(text + prefix, in, (size_t)count);
	sendto(fd, text, (size_t)(prefix + count), 0, (struct sockaddr *)&peer, length);
}

static bool answer_stream(int fd)
{
	struct sockaddr_in6 peer;
	socklen_t length = sizeof(peer);
	char text[4096];
	int prefix;
	ssize_t count;
	char in[2048];

	count = read(fd, in, sizeof(in));
	if (count <= 0 || getpeername(fd, (struct sockaddr *)&peer, &length) < 0)
		return false;
	/* A single byte is "round", which wants nothing but that byte. */
	prefix = count == 1 ? 0 : describe(&peer, text, sizeof(text));
	memcpy(text + prefix, in, (size_t)count);
	return send(fd, text, (size_t)(prefix + count), MSG_NOSIGNAL) > 0;
}

static _Noreturn void serve(int port)
{
	struct pollfd fds[2 + MAX_CLIENTS] = { { 0 } };
	size_t count = 2;

	fds[0].fd = bind_socket(SOCK_STREAM, port);
	fds[1].fd = bind_socket(SOCK_DGRAM, port);
	if (listen(fds[0].fd, MAX_CLIENTS) < 0)
		fail("listen");
	puts("serving");
	fflush(stdout);
	for (;;) {
		for (size_t i = 0; i < count; i++)
			fds[i].events = POLLIN;
		if (poll(fds, count, -1) < 0)
			fail("poll");
		if (fds[1].revents)
			answer_datagram(fds[1].fd);
		for (size_t i = count; i-- > 2;) {
			if (!fds[i].revents || answer_stream(fds[i].fd))
				continue;
			close(fds[i].fd);
			fds[i] = fds[--count];
		}
		if (fds[0].revents && count < 2 + MAX_CLIENTS) {
			int fd = accept(fds[0].fd, NULL, NULL);

			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
			fds[count].revents = 0;
			fds[count++].fd = fd;
		}
	}
}

/* A socket that leads to an address; on failure it says why and ends the program. */
static int dial(int type, const char *host, const char *port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)number(port)) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = v4.sin_port };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	bool is_v4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
	int fd;

	if (!is_v4 && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1) {
		fprintf(stderr, "%s is no address\n", host);
		exit(1);
	}
	fd = socket(is_v4 ? AF_INET : AF_INET6, type, 0);
	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		    is_v4 ? sizeof(v4) : sizeof(v6)) < 0)
		fail(host);
	return fd;
}

static int ask(const char *kind, const char *host, const char *port, const char *text)
{
	int fd = dial(strcmp(kind, "udp") ? SOCK_STREAM : SOCK_DGRAM, host, port);
	char answer[4096];
	ssize_t count;

	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
		fail("send");
	count = recv(fd, answer, sizeof(answer), 0);
	if (count < 0)
		fail(host);
	if (!count) {
		fprintf(stderr, "%s: closed without an answer\n", host);
		return 1;
	}
	printf("%.*s\n", (int)count, answer);
	return 0;
}

static int packet_socket(const char *link)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET,
				       .sll_protocol = htons(3) /* all */ };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(3));

	if (fd < 0)
		fail("packet socket");
	address.sll_ifindex = (int)if_nametoindex(link);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail(link);
	return fd;
}

static int send_frames(const char *link)
{
	int fd = packet_socket(link);
	char line[MAX_FRAME * 2 + 2];
	int sent = 0;

	while (fgets(line, sizeof(line), stdin)) {
		unsigned char frame[MAX_FRAME];
		size_t length = 0;
		unsigned byte;

		while (length < sizeof(frame) && sscanf(line + 2 * length, "%2x", &byte) == 1)
			frame[length++] = (unsigned char)byte;
		if (send(fd, frame, length, 0) < 0)
			fail("send");
		sent++;
	}
	printf("%d sent\n", sent);
	return 0;
}

static int listen_frames(const char *link, double seconds)
{
	int fd = packet_socket(link);
	double end = now() + seconds;

	puts("listening");
	fflush(stdout);
	for (;;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		unsigned char frame[MAX_FRAME];
		double left = end - now();
		ssize_t count;

		if (left <= 0)
			return 0;
		if (poll(&wait, 1, (int)(left * 1000) + 1) <= 0)
			continue;
		count = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &size);
		if (count < 0 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		for (ssize_t i = 0; i < count; i++)
			printf("%02x", frame[i]);
		putchar('\n');
		fflush(stdout);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int round_trips(const char *host, const char *port, int count)
{
	static double times[MAX_ROUNDS];
	int fd = dial(SOCK_STREAM, host, port);
	char byte = 'x';

	if (count < 1 || count > MAX_ROUNDS)
		return 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	for (int i = 0; i < count; i++) {
		double began = now();

		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1)
			fail("round");
		times[i] = now() - began;
	}
	qsort(times, (size_t)count, sizeof(*times), compare);
	printf("%.1f\n", times[count / 2] * 1e6);
	return 0;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";

	if (!strcmp(verb, "serve") && argc == 3)
		serve(number(argv[2]));
	if (!strcmp(verb, "ask") && argc == 6)
		return ask(argv[2], argv[3], argv[4], argv[5]);
	if (!strcmp(verb, "send") && argc == 3)
		return send_frames(argv[2]);
	if (!strcmp(verb, "listen") && argc == 4)
		return listen_frames(argv[2], atof(argv[3]));
	if (!strcmp(verb, "round") && argc == 5)
		return round_trips(argv[2], argv[3], number(argv[4]));
	fputs("usage: see the head of net-tool.c\n", stderr);
	return 1;
}
