/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small init that a container may ask for as its PID 1: it runs the
 * command, passes signals on to it, reaps what is left to it, and ends with
 * the command's status.
 */
#pragma once

/* The name vminitd is executed by to be it. */
#define INIT_NAME "cay-init"

/*
 * argv is the name, the number of a socket (see guest/launch.h) on which a command that can't be
 * executed is reported, the command's path and its arguments. Returns the exit status.
 */
int init_main(int argc, char **argv);
