/* SPDX-License-Identifier: MIT */
/*
 * For every fuzzer: what libFuzzer calls, and how a broken promise is told from
 * a refused input.  A promise that does not hold ends the program, and libFuzzer
 * keeps the input that did it.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sockfront/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PROMISE(condition)                                                                      \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* The input as a string of its own, so that a step past its end is seen.  The caller frees it. */
static inline char *text_of(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	PROMISE(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* Fills it with what no message may keep. */
static inline void error_clear(struct sfront_error *err)
{
	memset(err->message, '\n', sizeof(err->message));
}

/* A refusal says why, in one terminated line that does not stop in front of the reason. */
static inline void error_explains(const struct sfront_error *err)
{
	PROMISE(err->message[0] != '\n' && err->message[0] != '\0');
	PROMISE(memchr(err->message, '\0', sizeof(err->message)));
}

#endif
