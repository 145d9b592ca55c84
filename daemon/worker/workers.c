/* SPDX-License-Identifier: MIT */
/*
 * The beginning and the end of the workers, for lifecycle.c.
 */
#include "daemon/worker/workers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

static int init(struct service *service, unsigned int pipes_a_worker,
		const struct worker_handlers *handlers)
{
	unsigned int n = service->process.workers;

	service->workers = calloc(n, sizeof(*service->workers));
	if (service->workers == NULL)
		return -ENOMEM;
	for (; service->n_workers < n; service->n_workers++) {
		struct worker *worker = &service->workers[service->n_workers];
		int r = worker_init(worker, service, service->n_workers, pipes_a_worker);

		if (r < 0)
			return r;
		worker->polling.deliver = handlers->polling;
		worker->switched.deliver = handlers->switched;
		worker->accepted.deliver = handlers->accepted;
		worker->idle.deliver = handlers->idle;
	}
	return 0;
}

/*
 * Signals are the main thread's: workers inherit a mask that blocks them all.
 * All are set up before one starts, since they post to each other.
 */
int workers_start(struct service *service, unsigned int pipes_a_worker,
		  const struct worker_handlers *handlers)
{
	sigset_t all, before;
	int r = init(service, pipes_a_worker, handlers);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = service->n_workers; i-- > 0 && r == 0;)
		r = worker_start(&service->workers[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

void workers_stop(struct service *service)
{
	for (unsigned int i = 0; i < service->n_workers; i++)
		worker_stop(&service->workers[i]);
	free(service->workers);
	service->workers = NULL;
	service->n_workers = 0;
}
