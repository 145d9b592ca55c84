/* SPDX-License-Identifier: MIT */
/*
 * Where a pointer has 32 bits, the C library has a second function for files that need more,
 * which stands for the first: what takes the place of that takes its own.
 */
#ifndef TESTS_LARGE_FILES_H
#define TESTS_LARGE_FILES_H

#include <features.h>

#ifdef __USE_FILE_OFFSET64

#define __wrap_fcntl     __wrap_fcntl64
#define __real_fcntl     __real_fcntl64
#define __wrap_fopen     __wrap_fopen64
#define __real_fopen     __real_fopen64
#define __wrap_fstat     __wrap_fstat64
#define __real_fstat     __real_fstat64
#define __wrap_fstatat   __wrap_fstatat64
#define __real_fstatat   __real_fstatat64
#define __wrap_getrlimit __wrap_getrlimit64
#define __real_getrlimit __real_getrlimit64
#define __wrap_mmap      __wrap_mmap64
#define __real_mmap      __real_mmap64
#define __wrap_open      __wrap_open64
#define __real_open      __real_open64
#define __wrap_openat    __wrap_openat64
#define __real_openat    __real_openat64
#define __wrap_setrlimit __wrap_setrlimit64
#define __real_setrlimit __real_setrlimit64
#define __wrap_stat      __wrap_stat64
#define __real_stat      __real_stat64

#endif

#endif
