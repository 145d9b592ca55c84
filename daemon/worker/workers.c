/* SPDX-License-Identifier: MIT */
/*
 * The beginning and the end of the workers, for lifecycle.c.
 */
#include "daemon/worker/workers.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

#include "daemon/base/counters.h"
#include "daemon/base/loop_thread.h"
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

/* Whether the one worker runs on the thread that started the process. */
static bool is_alone(const struct process *process)
{
	return process->n_workers == 1 && process->loop.poll_fd >= 0;
}

/* All are set up before one starts, since they post to each other. */
int workers_start(struct process *process, unsigned int pipes_a_worker,
		  const struct worker_handlers *handlers)
{
	int r = init(process, pipes_a_worker, handlers);

	if (is_alone(process))
		return r;
	for (unsigned int i = process->n_workers; i-- > 0 && r == 0;)
		r = worker_start(&process->workers[i]);
	return r;
}

void workers_run(struct process *process)
{
	struct loop_thread thread;

	if (!is_alone(process)) {
		event_base_dispatch(process->loop.base);
		return;
	}
	loop_thread_begin(&thread, &process->loop, &process->workers[0].host.loop);
	worker_run(&process->workers[0]);
	loop_thread_end(&thread);
	counters_use_main_row();
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
