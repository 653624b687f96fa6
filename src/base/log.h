/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line an event, to standard error with the syslog priority
 * prefix that journald understands when it is the reader ("<3>…"), with a
 * time stamp otherwise. The level and the program's name are the only mutable
 * globals in cay. Thread-safe: a line is one write().
 */
#pragma once

#include "base/error.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Call once, early in main(). `program` must outlive the process. */
void log_init(const char *program, enum log_level level);
/* "error", "warning", "info", "debug"; -EINVAL for other words. */
int log_level_parse(const char *text, enum log_level *ret_level);

void log_line(enum log_level level, const char *format, ...) cay_printf(2, 3);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Says why the program cannot go on and exits with 125. For main() and between fork and exec. */
_Noreturn void die(const char *format, ...) cay_printf(1, 2);
