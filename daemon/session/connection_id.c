/* SPDX-License-Identifier: MIT */
/*
 * Ids of connections: see connection_id.h.  They count up from a number that each process
 * draws when it needs the first one.
 */
#include "daemon/session/connection_id.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/base/clock.h"

static _Atomic uint64_t next;

static void draw_first(void)
{
	uint64_t first;

	/* Before the kernel has any chance to give, which is at boot: time and number do. */
	if (getrandom(&first, sizeof(first), GRND_NONBLOCK) != (ssize_t)sizeof(first))
		first = (clock_exact_ms() << 32) + ((uint64_t)getpid() << 16);
	atomic_store(&next, first);
}

struct connection_id connection_id_of(const char *text)
{
	struct connection_id id = { .size = strnlen(text, sizeof(id.bytes)) };

	memcpy(id.bytes, text, id.size);
	return id;
}

struct connection_id connection_id_next(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char text[17];

	pthread_once(&once, draw_first);
	snprintf(text, sizeof(text), "%016" PRIx64, atomic_fetch_add(&next, 1));
	return connection_id_of(text);
}

void connection_id_format(const struct connection_id *id, char buf[CONNECTION_ID_TEXT_SIZE])
{
	size_t at = 0;

	for (size_t i = 0; i < id->size; i++) {
		unsigned char byte = id->bytes[i];
		bool plain = byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\';

		at += (size_t)snprintf(buf + at, CONNECTION_ID_TEXT_SIZE - at,
				       plain ? "%c" : "\\x%02x", byte);
	}
	buf[at] = '\0';
}
