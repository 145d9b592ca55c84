/* SPDX-License-Identifier: MIT */
/*
 * What stands on every answer of the status address: that nobody keeps it, and nothing in it may
 * do anything.  Those that evhttp gives by itself, to what is no request, have it too.
 */
#ifndef DAEMON_STATUS_HTTP_HEADERS_H
#define DAEMON_STATUS_HTTP_HEADERS_H

struct bufferevent;
struct evbuffer_cb_entry;
struct evhttp_request;

/*
 * On an answer of our own.
 *
 * @policy: its Content-Security-Policy; NULL: the one that allows nothing
 */
void http_headers_add(struct evhttp_request *request, const char *type, const char *policy);

/*
 * On whatever evhttp may answer, until http_headers_forget(): before answers of our own.
 *
 * Returns what that wants, or NULL when out of memory.
 */
struct evbuffer_cb_entry *http_headers_watch(struct bufferevent *bev);

void http_headers_forget(struct bufferevent *bev, struct evbuffer_cb_entry *watch);

#endif
