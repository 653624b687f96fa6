/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers: random ones for containers and execs, and the check of names a client gives. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A container's or exec's id: 32 random bytes in hexadecimal, as Docker has them. */
enum { ID_LENGTH = 64, ID_SIZE = ID_LENGTH + 1, ID_SHORT_LENGTH = 12 };

/* May block only in the first moments of the host's life, before its random pool is filled. */
void id_make(char ret_id[ID_SIZE]);
bool id_is_valid(const char *id);

/* Docker's rule for names: [a-zA-Z0-9][a-zA-Z0-9_.-]+, here with at most NAME_MAX_LENGTH
 * characters. */
enum { NAME_MAX_LENGTH = 255 };
bool name_is_valid(const char *name);

/* Lower-case hexadecimal with a NUL after it; text holds 2 * size + 1 bytes. */
void hex_encode(const void *data, size_t size, char *ret_text);
/* The value of a hexadecimal digit of either case, or -1. */
int hex_digit(char c);
