/* SPDX-License-Identifier: MIT */
/*
 * Whether clients can be served: see healthz.h.
 */
#include "daemon/status/healthz.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/backend.h"
#include "daemon/proxy/generation.h"
#include "daemon/status/status.h"
#include "daemon/worker/process.h"

/* The first proxy that is known to have no server for its clients; NULL: there is none. */
static const struct proxy *find_dead(const struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct backend *backend = proxy_backend(generation->proxies[i]);
		bool is_down = backend_is_known_down(backend);

		backend_unref(backend);
		if (is_down)
			return generation->proxies[i];
	}
	return NULL;
}

bool healthz_is_healthy(const struct status *status, char *reason, size_t size)
{
	const struct proxy *dead;

	if (status->is_draining) {
		snprintf(reason, size, "the process is stopping");
		return false;
	}
	dead = find_dead(status->process->generation);
	if (dead)
		snprintf(reason, size, "every server of proxy %s is down", dead->config.name);
	return !dead;
}

static void *begin(struct status *status, const struct answer_request *request, int *ret_code,
		   const char **ret_type)
{
	char reason[160];

	(void)request;
	(void)ret_type;
	if (healthz_is_healthy(status, reason, sizeof(reason)))
		return strdup("ok");
	*ret_code = 503;
	return strdup(reason);
}

static bool more(void *answer, struct evbuffer *out)
{
	evbuffer_add_printf(out, "%s\n", (const char *)answer);
	return false;
}

const struct answer_route healthz_route = {
	.path = "/healthz",
	.begin = begin,
	.more = more,
	.end = free,
};
