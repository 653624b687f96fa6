/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a DNS server as fast as it answers and prints the answers a second, for
 * bench/dns.py: dns-load ADDRESS PORT SECONDS OUTSTANDING NAMES SUFFIX
 *
 * So many questions are under way at once, for the addresses of h0SUFFIX to
 * h<NAMES-1>SUFFIX in turn; one that stays without an answer for a second is
 * counted as lost and replaced. Each answer must have an address.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { LOST_MS = 1000, OUTSTANDING_MAX = 1000, MESSAGE_MAX = 512 };

struct load {
	int fd;
	uint64_t names, outstanding, sent, answered, lost, wrong;
	const char *suffix;
	int64_t asked_ms[OUTSTANDING_MAX]; /* by slot, which is the question's number */
};

static void send_question(struct load *load, uint64_t slot)
{
	uint8_t data[MESSAGE_MAX] = { (uint8_t)(slot >> 8), (uint8_t)slot, 1, 0, 0, 1 };
	char name[256];
	size_t at = 12;
	struct str label, rest;

	(void)snprintf(name, sizeof(name), "h%llu%s",
		       (unsigned long long)(load->sent++ % load->names), load->suffix);
	for (rest = str_from(name); rest.length > 0;) {
		label = str_split(rest, '.', &rest);
		data[at++] = (uint8_t)label.length;
		memcpy(data + at, label.data, label.length);
		at += label.length;
	}
	data[at + 2] = 1; /* behind the root's empty label: type A, class IN */
	data[at + 4] = 1;
	load->asked_ms[slot] = clock_monotonic_ms();
	if (send(load->fd, data, at + 5, 0) < 0 && errno != ECONNREFUSED)
		die("sending: %s", errno_text(errno));
}

static void read_answers(struct load *load)
{
	uint8_t data[MESSAGE_MAX];
	ssize_t size;

	while ((size = recv(load->fd, data, sizeof(data), MSG_DONTWAIT)) >= 12) {
		uint64_t slot = (uint64_t)data[0] << 8 | data[1];

		if (slot >= load->outstanding)
			continue;
		load->answered++;
		if ((data[3] & 15) != 0 || data[7] == 0)
			load->wrong++;
		send_question(load, slot);
	}
}

static void replace_lost(struct load *load)
{
	int64_t now = clock_monotonic_ms();

	for (uint64_t slot = 0; slot < load->outstanding; slot++)
		if (now - load->asked_ms[slot] > LOST_MS) {
			load->lost++;
			send_question(load, slot);
		}
}

int main(int argc, char **argv)
{
	struct load load = { .fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
	struct sockaddr_in server = { .sin_family = AF_INET };
	uint64_t port, seconds;
	int64_t began, ends, checked;

	log_init("dns-load", LOG_LEVEL_INFO);
	if (argc != 7 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 ||
	    parse_u64(argv[2], UINT16_MAX, &port) < 0 || parse_u64(argv[3], 3600, &seconds) < 0 ||
	    parse_u64(argv[4], OUTSTANDING_MAX, &load.outstanding) < 0 ||
	    parse_u64(argv[5], UINT16_MAX, &load.names) < 0 || load.names == 0)
		die("usage: dns-load ADDRESS PORT SECONDS OUTSTANDING NAMES SUFFIX");
	load.suffix = argv[6];
	server.sin_port = htons((uint16_t)port);
	if (load.fd < 0 || connect(load.fd, (struct sockaddr *)&server, sizeof(server)) < 0)
		die("%s: %s", argv[1], errno_text(errno));
	began = checked = clock_monotonic_ms();
	ends = began + (int64_t)seconds * 1000;
	for (uint64_t slot = 0; slot < load.outstanding; slot++)
		send_question(&load, slot);
	while (clock_monotonic_ms() < ends) {
		struct pollfd item = { .fd = load.fd, .events = POLLIN };

		(void)poll(&item, 1, 100);
		read_answers(&load);
		if (clock_monotonic_ms() - checked > 100) {
			replace_lost(&load);
			checked = clock_monotonic_ms();
		}
	}
	printf("%llu answers/s, %llu lost, %llu wrong\n",
	       (unsigned long long)(load.answered * 1000 /
				    (uint64_t)(clock_monotonic_ms() - began)),
	       (unsigned long long)load.lost, (unsigned long long)load.wrong);
	return load.answered > 0 && load.wrong == 0 ? 0 : 1;
}
