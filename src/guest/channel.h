/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel: finds the virtio-serial port that the host named, keeps it open,
 * and turns each session that the host begins on it into a gRPC connection.
 */
#pragma once

#include "base/error.h"

struct channel;
struct guest;

/*
 * Opens the port, waiting for the kernel to find it (its discovery is not finished when the first
 * program starts), and listens. Blocks for that time, at most ten seconds.
 */
int channel_open(struct guest *guest, struct channel **ret_channel, struct cay_error *err);
