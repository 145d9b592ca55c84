/* SPDX-License-Identifier: MIT */
/*
 * Which requests are refused, whatever they ask for.  A page elsewhere in a browser on this
 * machine can send requests here: by its own name, made to lead here, and openly.  The first is
 * seen by Host, the second by Sec-Fetch-Site.
 */
#ifndef DAEMON_STATUS_HTTP_GUARD_H
#define DAEMON_STATUS_HTTP_GUARD_H

struct evhttp_request;
struct host_list;

struct http_refusal {
	int code;
	const char *phrase; /* of the code */
	const char *text;   /* what is said, one line */
};

/* Why @request is refused, static; NULL: it is not.  @hosts: names beside localhost. */
const struct http_refusal *http_guard_check(struct evhttp_request *request,
					    const struct host_list *hosts);

#endif
