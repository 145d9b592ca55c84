/* SPDX-License-Identifier: MIT */
/*
 * The beginning and the end of the workers, for lifecycle.c.
 */
#include "daemon/worker/workers.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "daemon/worker/acceptor.h"
#include "daemon/worker/process.h"
#include "daemon/worker/worker.h"

static int init(struct process *process, unsigned int pipes_a_worker,
		const struct worker_handlers *handlers)
{
	unsigned int n = process->settings.workers;

	process->workers = calloc(n, sizeof(*process->workers));
	if (!process->workers)
		return -ENOMEM;
	for (; process->n_workers < n; process->n_workers++) {
		struct worker *worker = &process->workers[process->n_workers];
		int r = worker_init(worker, process, pipes_a_worker);

		if (r < 0)
			return r;
		worker->polling.deliver = handlers->polling;
		worker->idle.deliver = handlers->idle;
	}
	process->acceptor = acceptor_new(process);
	if (!process->acceptor)
		return -ENOMEM;
	process->acceptor->draining.deliver = handlers->accepting_drains;
	process->acceptor->stopped.deliver = handlers->accepting_stopped;
	return 0;
}

/*
 * Signals are the main thread's: workers inherit a mask that blocks them all.
 * All are set up before one starts, since they post to each other.
 */
int workers_start(struct process *process, unsigned int pipes_a_worker,
		  const struct worker_handlers *handlers)
{
	sigset_t all, before;
	int r = init(process, pipes_a_worker, handlers);

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = process->n_workers; i-- > 0 && r == 0;)
		r = worker_start(&process->workers[i]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

void workers_stop(struct process *process)
{
	for (unsigned int i = 0; i < process->n_workers; i++)
		worker_join(&process->workers[i]);
	acceptor_free(process->acceptor);
	process->acceptor = NULL;
	for (unsigned int i = 0; i < process->n_workers; i++)
		worker_clear(&process->workers[i]);
	free(process->workers);
	process->workers = NULL;
	process->n_workers = 0;
}
