/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay of the shares' messages. A frame on the port is
 *
 *   { uint32 size, uint32 share, payload[size] }	little-endian
 *
 * with one FUSE message (linux/fuse.h) as its payload, in both directions.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	RELAY_HEADER_SIZE = 8,
	RELAY_PAYLOAD_MAX = 1024 * 1024 + 64 * 1024,
	RELAY_FRAME_MAX = RELAY_HEADER_SIZE + RELAY_PAYLOAD_MAX,
};

/*
 * Runs in a process of its own. `control` is a SOCK_SEQPACKET socket, from which messages of a
 * share's number (uint32) and a descriptor of /dev/fuse come. The process ends when the host closes
 * the port or breaks the protocol, which ends the mounts' connections: accesses give ENOTCONN.
 */
_Noreturn void relay_run(int control);
/* The same on a port that is open. */
_Noreturn void relay_serve(int port, int control);

/*
 * Of the bytes that have come from the host: the size of the frame at their start, 0 while it is
 * not whole, or -EPROTO for what is none. *ret_share is the share it is for.
 */
ptrdiff_t relay_frame(const uint8_t *data, size_t size, uint32_t *ret_share);
