/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outer tar of an image archive, split into frames for the daemon: it
 * never sees tar headers or compressed data, only a frame's fixed fields, a
 * clean path and as many bytes as the frame says.
 */
#pragma once

#include "base/error.h"
#include "image/archive-format.h"
#include "image/worker/stream.h"

/* Reads the stream to its end and writes the frames. The last one is ARCHIVE_END. */
int archive_split(struct stream *stream, int out_fd, struct cay_error *err);
