/* SPDX-License-Identifier: MIT */
/*
 * For every unit test: the headers that cmocka wants, and a count of the open
 * descriptors around each test, so that a leak fails the test that made it.
 */
#ifndef TESTS_DESCRIPTORS_H
#define TESTS_DESCRIPTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* How many descriptors are open, beside the one that counts them. */
static inline int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = -3; /* ".", ".." and the directory itself */

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int descriptors_before;

static inline int descriptors_setup(void **state)
{
	(void)state;
	descriptors_before = count_descriptors();
	return 0;
}

static inline int descriptors_teardown(void **state)
{
	(void)state;
	assert_int_equal(count_descriptors(), descriptors_before);
	return 0;
}

/* A test that must leave as many descriptors open as it found. */
#define counted(test) cmocka_unit_test_setup_teardown(test, descriptors_setup, descriptors_teardown)

/* Ends a test that cannot run here, and says why. */
static inline void skip_unless(bool is_met, const char *need)
{
	if (is_met)
		return;
	print_message("needs %s\n", need);
	skip();
}

/* Fails with both texts if @part is not within @text. */
#define assert_contains(text, part) assert_contains_at(text, part, __FILE__, __LINE__)

static inline void assert_contains_at(const char *text, const char *part, const char *file,
				      int line)
{
	if (strstr(text, part))
		return;
	print_error("\"%s\" is not within \"%s\"\n", part, text);
	_fail(file, line);
}

#endif
