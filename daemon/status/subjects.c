/* SPDX-License-Identifier: MIT */
/*
 * What the status tells of: see subjects.h.
 */
#include "daemon/status/subjects.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/server_counts.h"
#include "daemon/base/counters.h"
#include "daemon/proxy/generation.h"
#include "daemon/proxy/proxy_counts.h"

int subjects_take(struct subjects *subjects, const struct generation *generation)
{
	*subjects = (struct subjects){
		.of = calloc(generation->n_proxies + 1, sizeof(*subjects->of)),
	};
	if (!subjects->of)
		return -ENOMEM;
	for (; subjects->n < generation->n_proxies; subjects->n++) {
		struct proxy *proxy = generation->proxies[subjects->n];

		subjects->of[subjects->n] = (struct subject){
			.proxy = proxy_ref(proxy),
			.backend = proxy_backend(proxy),
		};
	}
	return 0;
}

void subjects_drop(struct subjects *subjects)
{
	for (size_t i = 0; i < subjects->n; i++) {
		backend_unref(subjects->of[i].backend);
		proxy_drop(subjects->of[i].proxy);
	}
	free(subjects->of);
	*subjects = (struct subjects){ 0 };
}

bool subject_repeats_server(const struct subject *subject, size_t index)
{
	const char *text = backend_server(subject->backend, index)->text;

	for (size_t i = 0; i < index; i++)
		if (strcmp(backend_server(subject->backend, i)->text, text) == 0)
			return true;
	return false;
}

/* ---- part by part ---- */

const struct subject *subject_at(const struct subjects *subjects,
				 const struct subject_cursor *cursor)
{
	return cursor->subject < subjects->n ? &subjects->of[cursor->subject] : NULL;
}

/* How many there are of the part that it is at. */
static size_t count_of(const struct subject *subject, enum subject_part part)
{
	switch (part) {
	case SUBJECT_SOCKET:
		return subject->proxy->n_sockets;
	case SUBJECT_SERVER:
		return backend_n_servers(subject->backend);
	default:
		return 1;
	}
}

static void step(struct subject_cursor *cursor, const struct subjects *subjects)
{
	const struct subject *subject = subject_at(subjects, cursor);

	cursor->index++;
	while (cursor->part < SUBJECT_TAIL && cursor->index >= count_of(subject, cursor->part)) {
		cursor->part++;
		cursor->index = 0;
	}
	if (cursor->index > 0 && cursor->part == SUBJECT_TAIL)
		*cursor = (struct subject_cursor){ .subject = cursor->subject + 1 };
}

static bool is_repeated(const struct subject *subject, const struct subject_cursor *cursor)
{
	if (cursor->part == SUBJECT_SOCKET)
		return subject->proxy->sockets[cursor->index].is_repeated;
	return cursor->part == SUBJECT_SERVER && subject_repeats_server(subject, cursor->index);
}

void subject_cursor_next(struct subject_cursor *cursor, const struct subjects *subjects)
{
	const struct subject *subject;

	do {
		step(cursor, subjects);
		subject = subject_at(subjects, cursor);
	} while (subject && is_repeated(subject, cursor));
}

/* ---- numbers ---- */

static uint64_t sum_draining(const struct counters *counts, unsigned int from, unsigned int n)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += counters_sum_draining(counts, from + i);
	return sum;
}

uint64_t subject_open(const struct subject *subject)
{
	const struct counters *counts = subject->proxy->counts;
	uint64_t begun = counters_sum_draining(counts, PROXY_ACCEPTED);
	uint64_t ended = sum_draining(counts, PROXY_ENDED, N_ENDS);

	/* Two looks at what changes: more may have ended than had begun. */
	return atomic_load(&subject->proxy->limit->connections.used) +
	       (begun > ended ? begun - ended : 0);
}

uint64_t subject_held(const struct subject *subject)
{
	const struct counters *counts = subject->proxy->counts;
	uint64_t no_more = counters_sum(counts, PROXY_HELD_NO_MORE);
	uint64_t held = counters_sum(counts, PROXY_HELD);

	return held > no_more ? held - no_more : 0;
}

static uint64_t sum_range(const struct counters *counts, unsigned int from, unsigned int to)
{
	uint64_t sum = 0;

	for (unsigned int i = from; i < to; i++)
		sum += counters_sum(counts, i);
	return sum;
}

uint64_t subject_refused(const struct subject *subject)
{
	return sum_range(subject->proxy->counts, PROXY_ENDED + FIRST_REFUSED, PROXY_ENDED + N_ENDS);
}

uint64_t subject_ended(const struct subject *subject)
{
	return sum_range(subject->proxy->counts, PROXY_ENDED, PROXY_ENDED + FIRST_REFUSED);
}

uint64_t subject_server_failures(const struct server *server)
{
	return sum_range(server->counts, SERVER_FAILED_FIRST, SERVER_FAILED_LAST + 1);
}
