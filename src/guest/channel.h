/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel: finds the virtio-serial port that the host named, keeps it open,
 * and turns each session that the host begins on it into a gRPC connection.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct channel;
struct guest;

/*
 * Opens the port, waiting for the kernel to find it (its discovery is not finished when the first
 * program starts), and listens. Blocks for that time, at most ten seconds.
 */
int channel_open(struct guest *guest, struct channel **ret_channel, struct cay_error *err);

/*
 * The first session after the machine was frozen may be a copy's, of which there are others. Its
 * line is not answered at once: the loop stops, and here is the number that the host has drawn for
 * it. What is to differ between copies is changed before channel_go_on().
 */
bool channel_is_thawed(const struct channel *channel, uint64_t *ret_number);
void channel_go_on(struct channel *channel);

/* SIGIO, which the guest takes for it, has come. */
void channel_signalled(struct channel *channel);
