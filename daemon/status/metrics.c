/* SPDX-License-Identifier: MIT */
/*
 * Metrics for Prometheus, in its text format or as OpenMetrics: one table of families, each
 * with the function that writes its samples.  An answer goes from family to family, and in
 * each over whatever it tells of, in turns.
 */
#include "daemon/status/metrics.h"

#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/server_counts.h"
#include "daemon/backend/unit.h"
#include "daemon/base/counters.h"
#include "daemon/base/log.h"
#include "daemon/base/utf8.h"
#include "daemon/proxy/generation.h"
#include "daemon/proxy/proxy_counts.h"
#include "daemon/proxy/source_table.h"
#include "daemon/status/answer.h"
#include "daemon/status/self.h"
#include "daemon/status/status.h"
#include "daemon/status/subjects.h"
#include "daemon/status/turn.h"
#include "daemon/status/word.h"
#include "daemon/worker/process.h"
#include "daemon/worker/process_counts.h"
#include "daemon/worker/totals.h"

enum type { GAUGE, COUNTER, HISTOGRAM };

enum scope { OF_PROCESS, OF_PROXY, OF_SOCKET, OF_SERVER };

struct answer {
	const struct process *process;
	struct subjects subjects;
	struct self self;
	bool is_open_metrics;
	size_t family, subject, part; /* the next ones */
	struct evbuffer *out;         /* of this turn */
};

/* What a sample tells of. */
struct of {
	const struct process *process;
	const struct self *self;
	const struct subject *subject; /* NULL: the process */
	size_t socket;
	const struct server *server;
};

struct family {
	const char *name; /* of a counter: without _total */
	enum type type;
	enum scope scope;
	const char *help;
	void (*write)(const struct answer *answer, const struct family *family,
		      const struct of *of);
};

/* ---- samples ---- */

static void put_escaped(struct evbuffer *out, const char *text)
{
	size_t length;

	for (; *text; text += length > 0 ? length : 1) {
		length = utf8_length(text);
		if (length == 0)
			evbuffer_add(out, "\xef\xbf\xbd", 3); /* U+FFFD: that byte is no text */
		else if (*text == '\n')
			evbuffer_add(out, "\\n", 2);
		else if (*text == '"' || *text == '\\')
			evbuffer_add_printf(out, "\\%c", *text);
		else
			evbuffer_add(out, text, length);
	}
}

static void put_label(struct evbuffer *out, const char **separator, const char *name,
		      const char *value)
{
	evbuffer_add_printf(out, "%s%s=\"", *separator, name);
	put_escaped(out, value);
	evbuffer_add(out, "\"", 1);
	*separator = ",";
}

static void put_subject(const struct answer *answer, const struct family *family,
			const struct of *of, const char **separator)
{
	const struct proxy *proxy = of->subject->proxy;

	put_label(answer->out, separator, "proxy", proxy->config.name);
	if (family->scope == OF_SOCKET)
		put_label(answer->out, separator, "listener",
			  proxy_socket_at(proxy, of->socket)->text);
	if (family->scope == OF_SERVER)
		put_label(answer->out, separator, "server", of->server->text);
}

/*
 * One line.
 *
 * @suffix: of the name
 * @label:  one more, beside those that say what it is of; NULL: none
 */
static void put_sample(const struct answer *answer, const struct family *family,
		       const struct of *of, const char *suffix, const char *label,
		       const char *label_value, const char *value)
{
	const char *separator = "{";

	evbuffer_add_printf(answer->out, "%s%s", family->name, suffix);
	if (of->subject)
		put_subject(answer, family, of, &separator);
	if (label)
		put_label(answer->out, &separator, label, label_value);
	evbuffer_add_printf(answer->out, "%s %s\n", *separator == ',' ? "}" : "", value);
}

static void put_labelled(const struct answer *answer, const struct family *family,
			 const struct of *of, const char *label, const char *label_value,
			 uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	put_sample(answer, family, of, family->type == COUNTER ? "_total" : "", label, label_value,
		   text);
}

static void put(const struct answer *answer, const struct family *family, const struct of *of,
		uint64_t value)
{
	put_labelled(answer, family, of, NULL, NULL, value);
}

static void put_real(const struct answer *answer, const struct family *family, const struct of *of,
		     double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.15g", value);
	put_sample(answer, family, of, family->type == COUNTER ? "_total" : "", NULL, NULL, text);
}

/* As both formats write it: with a point, always. */
static void format_bound(uint64_t us, char *buf, size_t size)
{
	snprintf(buf, size, "%.15g", (double)us / 1e6);
	if (!strchr(buf, '.'))
		strcat(buf, ".0");
}

static void put_histogram(const struct answer *answer, const struct family *family,
			  const struct of *of, const struct histogram *histogram,
			  const struct counters *counts, unsigned int first)
{
	char bound[32], text[32];
	uint64_t so_far = 0;

	for (unsigned int i = 0; i <= histogram->n; i++) {
		so_far += counters_sum(counts, first + i);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)so_far);
		if (i < histogram->n)
			format_bound(histogram->bounds_us[i], bound, sizeof(bound));
		put_sample(answer, family, of, "_bucket", "le", i < histogram->n ? bound : "+Inf",
			   text);
	}
	put_sample(answer, family, of, "_count", NULL, NULL, text);
	snprintf(text, sizeof(text), "%.15g",
		 (double)counters_sum(counts, first + histogram->n + 1) / 1e6);
	put_sample(answer, family, of, "_sum", NULL, NULL, text);
}

/* ---- the process ---- */

static void write_build(const struct answer *answer, const struct family *family,
			const struct of *of)
{
	put_labelled(answer, family, of, "version", SOCKFRONT_VERSION, 1);
}

static void write_config_time(const struct answer *answer, const struct family *family,
			      const struct of *of)
{
	put_real(answer, family, of, (double)of->process->generation->opened);
}

static void write_results(const struct answer *answer, const struct family *family,
			  const struct of *of, unsigned int done, unsigned int failed)
{
	const struct counters *counts = atomic_load(&of->process->counts);

	put_labelled(answer, family, of, "result", "success", counters_sum(counts, done));
	put_labelled(answer, family, of, "result", "failure", counters_sum(counts, failed));
}

static void write_reloads(const struct answer *answer, const struct family *family,
			  const struct of *of)
{
	write_results(answer, family, of, PROCESS_RELOADS, PROCESS_RELOADS_FAILED);
}

static void write_upgrades(const struct answer *answer, const struct family *family,
			   const struct of *of)
{
	write_results(answer, family, of, PROCESS_UPGRADES, PROCESS_UPGRADES_FAILED);
}

static void write_pauses(const struct answer *answer, const struct family *family,
			 const struct of *of)
{
	const struct counters *counts = atomic_load(&of->process->counts);

	put_labelled(answer, family, of, "reason", "max-connections",
		     counters_sum(counts, PROCESS_PAUSES_FULL));
	put_labelled(answer, family, of, "reason", "resources",
		     counters_sum(counts, PROCESS_PAUSES_RESOURCES));
}

static void write_draining(const struct answer *answer, const struct family *family,
			   const struct of *of)
{
	put(answer, family, of, counters_look_after());
}

static void write_open(const struct answer *answer, const struct family *family,
		       const struct of *of)
{
	put(answer, family, of, atomic_load(&of->process->limit.used));
}

static void write_max(const struct answer *answer, const struct family *family, const struct of *of)
{
	put(answer, family, of, atomic_load(&of->process->limit.max));
}

static void write_awaited(const struct answer *answer, const struct family *family,
			  const struct of *of)
{
	put(answer, family, of, atomic_load(&of->process->awaited.used));
}

static void write_held(const struct answer *answer, const struct family *family,
		       const struct of *of)
{
	put(answer, family, of, total_held(of->process));
}

static void write_pipes(const struct answer *answer, const struct family *family,
			const struct of *of)
{
	put(answer, family, of, total_pipes(of->process));
}

static void write_workers(const struct answer *answer, const struct family *family,
			  const struct of *of)
{
	put(answer, family, of, of->process->n_workers);
}

static void write_lost(const struct answer *answer, const struct family *family,
		       const struct of *of)
{
	put(answer, family, of, log_lost());
}

static void write_cpu(const struct answer *answer, const struct family *family, const struct of *of)
{
	put_real(answer, family, of, of->self->cpu_seconds);
}

static void write_resident(const struct answer *answer, const struct family *family,
			   const struct of *of)
{
	put(answer, family, of, of->self->resident_bytes);
}

static void write_virtual(const struct answer *answer, const struct family *family,
			  const struct of *of)
{
	put(answer, family, of, of->self->virtual_bytes);
}

static void write_fds(const struct answer *answer, const struct family *family, const struct of *of)
{
	put(answer, family, of, self_count_fds());
}

static void write_max_fds(const struct answer *answer, const struct family *family,
			  const struct of *of)
{
	put(answer, family, of, of->self->max_fds);
}

static void write_start(const struct answer *answer, const struct family *family,
			const struct of *of)
{
	put_real(answer, family, of, of->self->started);
}

/* ---- proxies ---- */

static uint64_t proxy_sum(const struct of *of, unsigned int which)
{
	return counters_sum(of->subject->proxy->counts, which);
}

static void write_proxy_accepted(const struct answer *answer, const struct family *family,
				 const struct of *of)
{
	put(answer, family, of, proxy_sum(of, PROXY_ACCEPTED));
}

static void write_proxy_open(const struct answer *answer, const struct family *family,
			     const struct of *of)
{
	put(answer, family, of, subject_open(of->subject));
}

static void write_proxy_held(const struct answer *answer, const struct family *family,
			     const struct of *of)
{
	put(answer, family, of, subject_held(of->subject));
}

static void write_ends(const struct answer *answer, const struct family *family,
		       const struct of *of, enum connection_end from, enum connection_end to)
{
	for (enum connection_end end = from; end < to; end++)
		put_labelled(answer, family, of, "reason", connection_end_word(end),
			     proxy_sum(of, PROXY_ENDED + end));
}

static void write_proxy_ended(const struct answer *answer, const struct family *family,
			      const struct of *of)
{
	write_ends(answer, family, of, 0, FIRST_REFUSED);
}

static void write_proxy_refused(const struct answer *answer, const struct family *family,
				const struct of *of)
{
	write_ends(answer, family, of, FIRST_REFUSED, N_ENDS);
}

static void write_proxy_bytes(const struct answer *answer, const struct family *family,
			      const struct of *of)
{
	put_labelled(answer, family, of, "direction", "up", proxy_sum(of, PROXY_UP));
	put_labelled(answer, family, of, "direction", "down", proxy_sum(of, PROXY_DOWN));
}

static void write_proxy_retries(const struct answer *answer, const struct family *family,
				const struct of *of)
{
	put(answer, family, of, proxy_sum(of, PROXY_RETRIES));
}

static void write_proxy_duration(const struct answer *answer, const struct family *family,
				 const struct of *of)
{
	put_histogram(answer, family, of, &duration_histogram, of->subject->proxy->counts,
		      PROXY_DURATION);
}

static void write_proxy_overflows(const struct answer *answer, const struct family *family,
				  const struct of *of)
{
	struct source_table *sources = of->subject->proxy->limit->sources;

	if (sources)
		put(answer, family, of, source_table_overflows(sources));
}

static void write_proxy_unit(const struct answer *answer, const struct family *family,
			     const struct of *of)
{
	static const enum unit_state told[] = { UNIT_STOPPED, UNIT_STARTING, UNIT_UP, UNIT_STOPPING,
						UNIT_FAILED };
	const struct unit *unit = backend_unit(of->subject->backend);

	for (size_t i = 0; unit && i < sizeof(told) / sizeof(*told); i++)
		put_labelled(answer, family, of, "state", word_of_unit(told[i]),
			     strcmp(word_of_unit(unit_state(unit)), word_of_unit(told[i])) == 0);
}

/* ---- listeners ---- */

static void write_socket_accepted(const struct answer *answer, const struct family *family,
				  const struct of *of)
{
	put(answer, family, of,
	    counters_sum(of->subject->proxy->sockets[of->socket].counts, LISTENER_ACCEPTED));
}

static void write_socket_bytes(const struct answer *answer, const struct family *family,
			       const struct of *of)
{
	const struct counters *counts = of->subject->proxy->sockets[of->socket].counts;

	put_labelled(answer, family, of, "direction", "up", counters_sum(counts, LISTENER_UP));
	put_labelled(answer, family, of, "direction", "down", counters_sum(counts, LISTENER_DOWN));
}

/* ---- servers ---- */

static uint64_t server_sum(const struct of *of, unsigned int which)
{
	return counters_sum(of->server->counts, which);
}

static void write_server_up(const struct answer *answer, const struct family *family,
			    const struct of *of)
{
	put(answer, family, of, server_is_up(of->server));
}

static void write_server_open(const struct answer *answer, const struct family *family,
			      const struct of *of)
{
	put(answer, family, of, server_active(of->server));
}

static void write_server_connected(const struct answer *answer, const struct family *family,
				   const struct of *of)
{
	put(answer, family, of, server_sum(of, SERVER_CONNECTED));
}

static void write_server_bytes(const struct answer *answer, const struct family *family,
			       const struct of *of)
{
	put_labelled(answer, family, of, "direction", "up", server_sum(of, SERVER_UP));
	put_labelled(answer, family, of, "direction", "down", server_sum(of, SERVER_DOWN));
}

static void write_server_failures(const struct answer *answer, const struct family *family,
				  const struct of *of)
{
	for (enum server_count which = SERVER_FAILED_FIRST; which <= SERVER_FAILED_LAST; which++)
		put_labelled(answer, family, of, "reason", server_failure_word(which),
			     server_sum(of, which));
}

static void write_server_checks(const struct answer *answer, const struct family *family,
				const struct of *of)
{
	put_labelled(answer, family, of, "result", "success", server_sum(of, SERVER_CHECKS_PASSED));
	put_labelled(answer, family, of, "result", "failure", server_sum(of, SERVER_CHECKS_FAILED));
}

static void write_server_connect(const struct answer *answer, const struct family *family,
				 const struct of *of)
{
	put_histogram(answer, family, of, &connect_histogram, of->server->counts,
		      SERVER_CONNECT_TIME);
}

/* ---- the table ---- */

static const struct family families[] = {
	{ "sockfront_build_info", GAUGE, OF_PROCESS, "The version of the program, as a label.",
	  write_build },
	{ "sockfront_config_timestamp_seconds", GAUGE, OF_PROCESS,
	  "When the configuration in force was read.", write_config_time },
	{ "sockfront_reloads", COUNTER, OF_PROCESS, "Reloads of the configuration.",
	  write_reloads },
	{ "sockfront_upgrades", COUNTER, OF_PROCESS,
	  "Upgrades: another process has taken over, or not.", write_upgrades },
	{ "sockfront_draining_processes", GAUGE, OF_PROCESS,
	  "Processes that an upgrade has replaced and that still relay; they are counted in all "
	  "counters.",
	  write_draining },
	{ "sockfront_workers", GAUGE, OF_PROCESS, "Threads that serve connections.",
	  write_workers },
	{ "sockfront_connections", GAUGE, OF_PROCESS, "Connections of this process.", write_open },
	{ "sockfront_connections_max", GAUGE, OF_PROCESS,
	  "How many connections there may be: further clients wait in the kernel's queue.",
	  write_max },
	{ "sockfront_connections_held", GAUGE, OF_PROCESS, "Clients that wait for their backend.",
	  write_held },
	{ "sockfront_connections_awaiting_header", GAUGE, OF_PROCESS,
	  "Clients that owe a PROXY protocol header.", write_awaited },
	{ "sockfront_accept_pauses", COUNTER, OF_PROCESS,
	  "How often accepting has paused: for lack of slots, or of descriptors or memory.",
	  write_pauses },
	{ "sockfront_pipes", GAUGE, OF_PROCESS, "Pipes for splicing, used and idle.", write_pipes },
	{ "sockfront_log_lines_lost", COUNTER, OF_PROCESS,
	  "Lines of the logs for which there was no room.", write_lost },

	{ "sockfront_proxy_accepted", COUNTER, OF_PROXY,
	  "Clients that were accepted, refused ones included.", write_proxy_accepted },
	{ "sockfront_proxy_connections", GAUGE, OF_PROXY,
	  "Connections, those of draining processes included.", write_proxy_open },
	{ "sockfront_proxy_connections_held", GAUGE, OF_PROXY, "Clients that wait for the backend.",
	  write_proxy_held },
	{ "sockfront_proxy_ended", COUNTER, OF_PROXY, "Connections that have ended, by reason.",
	  write_proxy_ended },
	{ "sockfront_proxy_refused", COUNTER, OF_PROXY,
	  "Clients that were sent away before a backend was asked for, by reason.",
	  write_proxy_refused },
	{ "sockfront_proxy_bytes", COUNTER, OF_PROXY,
	  "Bytes relayed, up to the backend and down to the client.", write_proxy_bytes },
	{ "sockfront_proxy_connect_retries", COUNTER, OF_PROXY,
	  "Addresses that were tried besides the one that answered.", write_proxy_retries },
	{ "sockfront_proxy_duration_seconds", HISTOGRAM, OF_PROXY,
	  "How long connections have lasted.", write_proxy_duration },
	{ "sockfront_proxy_source_overflows", COUNTER, OF_PROXY,
	  "Clients for whose source there was no place in the table of limits.",
	  write_proxy_overflows },
	{ "sockfront_proxy_unit_state", GAUGE, OF_PROXY,
	  "Whether the backend's unit is in that state.", write_proxy_unit },

	{ "sockfront_listener_accepted", COUNTER, OF_SOCKET,
	  "Clients that were accepted, refused ones included.", write_socket_accepted },
	{ "sockfront_listener_bytes", COUNTER, OF_SOCKET,
	  "Bytes relayed, up to the backend and down to the client.", write_socket_bytes },

	{ "sockfront_server_up", GAUGE, OF_SERVER, "Whether the server is known to answer.",
	  write_server_up },
	{ "sockfront_server_connections", GAUGE, OF_SERVER,
	  "Connections of this process to the server, and attempts at one.", write_server_open },
	{ "sockfront_server_connected", COUNTER, OF_SERVER, "Clients that the server has answered.",
	  write_server_connected },
	{ "sockfront_server_bytes", COUNTER, OF_SERVER,
	  "Bytes relayed, up to the server and down from it.", write_server_bytes },
	{ "sockfront_server_connect_failures", COUNTER, OF_SERVER,
	  "Attempts to connect that have failed, by reason; checks are counted apart.",
	  write_server_failures },
	{ "sockfront_server_checks", COUNTER, OF_SERVER, "Checks and probes of our own.",
	  write_server_checks },
	{ "sockfront_server_connect_seconds", HISTOGRAM, OF_SERVER,
	  "How long connecting has taken.", write_server_connect },

	{ "process_cpu_seconds", COUNTER, OF_PROCESS, "Processor time of the process.", write_cpu },
	{ "process_resident_memory_bytes", GAUGE, OF_PROCESS, "Resident memory.", write_resident },
	{ "process_virtual_memory_bytes", GAUGE, OF_PROCESS, "Virtual memory.", write_virtual },
	{ "process_open_fds", GAUGE, OF_PROCESS, "Open descriptors.", write_fds },
	{ "process_max_fds", GAUGE, OF_PROCESS, "How many descriptors there may be.",
	  write_max_fds },
	{ "process_start_time_seconds", GAUGE, OF_PROCESS, "When the process began.", write_start },
};

#define N_FAMILIES (sizeof(families) / sizeof(*families))

/* ---- an answer ---- */

static void write_head(const struct answer *answer, const struct family *family)
{
	static const char *const types[] = {
		[GAUGE] = "gauge",
		[COUNTER] = "counter",
		[HISTOGRAM] = "histogram",
	};
	const char *suffix = family->type == COUNTER && !answer->is_open_metrics ? "_total" : "";

	evbuffer_add_printf(answer->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", family->name, suffix,
			    family->help, family->name, suffix, types[family->type]);
}

/* Of the subject that it is at. */
static size_t count_parts(const struct answer *answer, const struct family *family)
{
	const struct subject *subject = &answer->subjects.of[answer->subject];

	switch (family->scope) {
	case OF_SOCKET:
		return subject->proxy->n_sockets;
	case OF_SERVER:
		return backend_n_servers(subject->backend);
	default:
		return 1;
	}
}

static bool is_repeated(const struct family *family, const struct subject *subject, size_t part)
{
	if (family->scope == OF_SOCKET)
		return subject->proxy->sockets[part].is_repeated;
	return family->scope == OF_SERVER && subject_repeats_server(subject, part);
}

static void write_part(const struct answer *answer, const struct family *family)
{
	const struct subject *subject =
		family->scope == OF_PROCESS ? NULL : &answer->subjects.of[answer->subject];
	struct of of = {
		.process = answer->process,
		.self = &answer->self,
		.subject = subject,
		.socket = answer->part,
	};

	if (subject && is_repeated(family, subject, answer->part))
		return;
	if (family->scope == OF_SERVER)
		of.server = backend_server(subject->backend, answer->part);
	family->write(answer, family, &of);
}

static void next_subject(struct answer *answer)
{
	answer->part = 0;
	answer->subject++;
}

static void next_family(struct answer *answer)
{
	answer->subject = answer->part = 0;
	answer->family++;
}

/* One more part.  False: that was all. */
static bool step(struct answer *answer)
{
	const struct family *family = &families[answer->family];
	size_t n = family->scope == OF_PROCESS ? 1 : answer->subjects.n;

	if (answer->subject == 0 && answer->part == 0)
		write_head(answer, family);
	if (answer->subject >= n) {
		next_family(answer);
	} else if (answer->part >= count_parts(answer, family)) {
		next_subject(answer);
	} else {
		write_part(answer, family);
		answer->part++;
	}
	return answer->family < N_FAMILIES;
}

static bool more(void *data, struct evbuffer *out)
{
	struct answer *answer = data;
	struct turn turn = turn_begin(out);

	answer->out = out;
	while (step(answer))
		if (turn_is_over(&turn, out))
			return true;
	if (answer->is_open_metrics)
		evbuffer_add_printf(out, "# EOF\n");
	return false;
}

static void *begin(struct status *status, const struct answer_request *request, int *ret_code,
		   const char **ret_type)
{
	struct answer *answer = calloc(1, sizeof(*answer));

	if (!answer)
		return NULL;
	if (subjects_take(&answer->subjects, status->process->generation) < 0) {
		free(answer);
		return NULL;
	}
	(void)counters_look_after();
	self_look(&answer->self);
	answer->process = status->process;
	answer->is_open_metrics =
		request->accept && strstr(request->accept, "application/openmetrics-text");
	*ret_code = 200;
	*ret_type = answer->is_open_metrics
			    ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
			    : "text/plain; version=0.0.4; charset=utf-8";
	return answer;
}

static void end(void *data)
{
	struct answer *answer = data;

	subjects_drop(&answer->subjects);
	free(answer);
}

const struct answer_route metrics_route = {
	.path = "/metrics",
	.begin = begin,
	.more = more,
	.end = end,
};
