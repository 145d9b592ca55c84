/* SPDX-License-Identifier: MIT */
/*
 * Between acceptor.c and the workers: see dispatch.h.
 */
#include "daemon/worker/dispatch.h"

#include <stdlib.h>

#include "daemon/proxy/proxy.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

bool dispatch_is_ready(struct dispatch *dispatch)
{
	struct process *process = dispatch->process;

	if (process->n_workers > 1 && !dispatch->spare)
		dispatch->spare = malloc(sizeof(*dispatch->spare));
	return session_host_is_ready(&process->workers[0].host) &&
	       (process->n_workers == 1 || dispatch->spare);
}

static struct worker *least_loaded(struct process *process)
{
	struct worker *least = &process->workers[0];

	for (unsigned int i = 1; i < process->n_workers; i++)
		if (atomic_load(&process->workers[i].load) < atomic_load(&least->load))
			least = &process->workers[i];
	return least;
}

void dispatch_connection(struct dispatch *dispatch, struct proxy *proxy, size_t socket,
			 const struct sfront_connection *connection)
{
	struct process *process = dispatch->process;
	struct worker *to = least_loaded(process);

	atomic_fetch_add(&to->load, 1);
	proxy_ref(proxy);
	process_connections_changed(process);
	if (to == &process->workers[0]) {
		worker_serve(to, proxy, socket, connection);
		return;
	}
	*dispatch->spare =
		(struct arrival){ .proxy = proxy, .socket = socket, .connection = *connection };
	worker_send(to, dispatch->spare);
	dispatch->spare = NULL;
}

void dispatch_clear(struct dispatch *dispatch)
{
	free(dispatch->spare);
}
