/* SPDX-License-Identifier: MIT */
/*
 * All workers of the service: set up, started and stopped together.
 */
#ifndef DAEMON_WORKER_WORKERS_H
#define DAEMON_WORKER_WORKERS_H

struct message;
struct process;

/* What the main thread makes of their messages: see worker.h and acceptor.h. */
struct worker_handlers {
	void (*polling)(struct message *message);
	void (*accepting_drains)(struct message *message);
	void (*accepting_stopped)(struct message *message);
	void (*idle)(struct message *message);
};

/*
 * Starts as many as the service is configured to have.  Returns 0, or -errno:
 * some may have been started then, and the process has to end.
 */
int workers_start(struct process *process, unsigned int pipes_a_worker,
		  const struct worker_handlers *handlers);

/*
 * Runs the main loop until it is left.  Where there is one worker, this thread is its, and the
 * main loop has one only while it has something to do.
 */
void workers_run(struct process *process);

/* Ends them; they must be idle. */
void workers_stop(struct process *process);

#endif
