/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server of the status address: evhttp on the listeners of [status].  Whatever those
 * who ask do, they are 64 at most, and those past that wait in the kernel's queue.  The main
 * thread's.
 */
#ifndef DAEMON_STATUS_HTTP_H
#define DAEMON_STATUS_HTTP_H

/* At once; and the descriptors that each listener takes beside its own. */
#define HTTP_CLIENTS_MAX          64
#define HTTP_DESCRIPTORS_A_SOCKET 3

struct answer_route;
struct event_base;
struct http;
struct status;
struct status_section;

/*
 * @routes: what there is to ask for, NULL after the last one; borrowed
 * @status: handed to them
 *
 * Returns it, or NULL when out of memory.
 */
struct http *http_new(struct event_base *base, const struct answer_route *const *routes,
		      struct status *status);

/*
 * From now on, the listeners of @section are answered on, under its rules, and no others;
 * those that were before and are still there go on.  Answers of the others that are under way
 * are completed, and streams ended.  One that cannot be answered on is said in the log.
 *
 * @section: borrowed until the next call; NULL: none
 */
void http_listen(struct http *http, const struct status_section *section);

/* Ends every connection.  NULL is allowed. */
void http_free(struct http *http);

#endif
