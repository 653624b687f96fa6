/* SPDX-License-Identifier: Apache-2.0 */
/* Signals by the names that docker's clients and images use. */
#pragma once

/* "SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1": its number, or -EINVAL. */
int signal_parse(const char *text);
