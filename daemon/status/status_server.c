/* SPDX-License-Identifier: MIT */
/*
 * What there is to ask for, and when: see status_server.h.
 */
#include "daemon/status/status_server.h"

#include <stddef.h>

#include "daemon/base/log.h"
#include "daemon/proxy/generation.h"
#include "daemon/proxy/status_section.h"
#include "daemon/status/events.h"
#include "daemon/status/healthz.h"
#include "daemon/status/http.h"
#include "daemon/status/metrics.h"
#include "daemon/status/overview.h"
#include "daemon/status/page.h"
#include "daemon/status/terminal.h"
#include "daemon/worker/process.h"

static const struct answer_route *const routes[] = {
	&page_route,    &metrics_route, &overview_route, &terminal_route, &events_route,
	&healthz_route, NULL,
};

unsigned int status_server_descriptors(const struct generation *generation)
{
	const struct status_section *section = generation->status;

	if (!section)
		return 0;
	return HTTP_CLIENTS_MAX + HTTP_DESCRIPTORS_A_SOCKET * (unsigned int)section->n_listeners;
}

static bool open_http(struct status_server *server)
{
	if (!server->http)
		server->http = http_new(server->status.process->loop.base, routes, &server->status);
	if (!server->http)
		log_line(LOG_ERR, "[status] gives no answers: out of memory");
	return server->http;
}

void status_server_follow(struct status_server *server)
{
	const struct status_section *section;

	if (!server->status.process)
		return;
	section = server->status.process->generation->status;
	if (server->http || (section && open_http(server)))
		http_listen(server->http, section);
}

void status_server_start(struct status_server *server, struct process *process)
{
	server->status.process = process;
	status_server_follow(server);
}

void status_server_drain(struct status_server *server)
{
	server->status.is_draining = true;
}

void status_server_leave(struct status_server *server)
{
	if (server->http)
		http_listen(server->http, NULL);
}

void status_server_stop(struct status_server *server)
{
	http_free(server->http);
	server->http = NULL;
}

void status_server_clear(void)
{
	events_clear();
}
