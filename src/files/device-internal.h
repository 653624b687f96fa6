/* SPDX-License-Identifier: Apache-2.0 */
/* Between device.c, whose queues are at work, and device-setup.c, which has them set up. */
#pragma once

#include "files/device.h"

/* Lets a thread look whether there is something in the queues. */
void device_wake(struct device *device);
/* From now on the queue's kick wakes a thread; -errno where it can't be waited for. */
int device_watch_kick(struct device *device, unsigned int queue);
