/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few macros the whole tree uses: cleanup attributes for what must be
 * released on every way out of a scope, and the "take" forms that hand a
 * resource over without releasing it.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define cay_printf(text, first)         __attribute__((format(printf, text, first)))
#define cay_unused                      __attribute__((unused))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Runs func(&variable) when the variable goes out of scope. */
#define _cleanup_(func) __attribute__((cleanup(func)))

/* Defines func##_p(), the cleanup form of a destructor that takes a pointer and accepts NULL. */
#define DEFINE_CLEANUP(type, func) \
	static inline cay_unused void func##_p(type *pointer) \
	{ \
		if (*pointer) \
			func(*pointer); \
	} \
	static_assert(1, "")

static inline void cay_free_p(void *pointer)
{
	free(*(void **)pointer);
}

/* Closes a descriptor that may be -1; errno is left as it was. */
void cay_close_p(const int *fd);

DEFINE_CLEANUP(FILE *, fclose);

#define _cleanup_free_   _cleanup_(cay_free_p)
#define _cleanup_close_  _cleanup_(cay_close_p)
#define _cleanup_fclose_ _cleanup_(fclose_p)

/* The value of a pointer (or descriptor), which is NULL (or -1) afterwards: ownership moves. */
#define TAKE_PTR(pointer) \
	({ \
		__typeof__(pointer) *take_ = &(pointer); \
		__typeof__(pointer) taken_ = *take_; \
		*take_ = NULL; \
		taken_; \
	})
#define TAKE_FD(fd) \
	({ \
		int *take_ = &(fd); \
		int taken_ = *take_; \
		*take_ = -1; \
		taken_; \
	})

/* Built with AddressSanitizer, whose own memory and system calls no limit of ours fits. */
#if defined(__SANITIZE_ADDRESS__)
#define CAY_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAY_SANITIZED 1
#endif
#endif
