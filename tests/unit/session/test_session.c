/* SPDX-License-Identifier: MIT */
/*
 * The states of a session and its deadlines, without a socket and on simulated time.  The
 * stand-ins below play the backend's attempt, the relay and the kernel, and note what
 * the session does.
 */
#include "daemon/session/refusal.h"
#include "daemon/session/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/connect.h"
#include "daemon/proxy/proxy.h"
#include "daemon/relay/relay.h"
#include "daemon/session/access_log.h"
#include "daemon/session/header.h"
#include "daemon/session/host.h"
#include "daemon/session/state.h"
#include "tests/unit/simulated.h"

#define CLIENT_FD     100
#define CLIENT_OUT_FD 102 /* where its streams are two */
#define BACKEND_FD    101

static char nowhere[] = "", server_text[] = "backend";

static struct {
	struct session_host host;
	struct proxy proxy;
	struct listener listener;
	struct listener_socket listener_socket;
	struct proxy_socket proxy_socket;
	struct listener *listeners[1];
	struct server server; /* the one that answers */
	struct server_state server_state;
	bool is_backend_closed;
	unsigned int n_started, n_not_held;
	int n_refs;                                         /* to the backend */
	unsigned int n_connected, n_left, n_gone, n_resets; /* of its connections */
	struct session *session;                            /* NULL once it is closed */
	char done[8192];                                    /* what it has done, in words */

	/* What it will meet. */
	int attempt; /* what attempt_start() returns */
	attempt_done *answer;
	void *answer_arg;
	enum relay_result result; /* of the next turns and flushes */
	int error;
	bool keeps; /* RELAY_NO_MEMORY with bytes that are pending */
	uint64_t unsent[2];
	int broken[2];
	bool gone[2], left_nothing, awaits_window;
	unsigned int maps_to_fail;
	enum header_result header; /* that has come */
	bool no_buffer;            /* for the header to the backend */
	bool memory_is_short;
	bool wants_client; /* the backend does, for where it is connected from */
} rig;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
	size_t len = strlen(rig.done);
	va_list args;

	va_start(args, format);
	assert_true(len + 200 < sizeof(rig.done));
	vsnprintf(rig.done + len, sizeof(rig.done) - len, format, args);
	va_end(args);
	strcat(rig.done, " ");
}

static const char *name(const struct endpoint *end)
{
	return end->is_backend ? "backend" : "client";
}

/* ---- stand-ins ---- */

int __wrap_attempt_start(struct loop *loop, struct backend *backend,
			 const struct attempt_client *client, attempt_done *done, void *arg,
			 struct attempt **ret_attempt, struct outcome *ret_outcome);
int __wrap_attempt_start(struct loop *loop, struct backend *backend,
			 const struct attempt_client *client, attempt_done *done, void *arg,
			 struct attempt **ret_attempt, struct outcome *ret_outcome)
{
	(void)loop;
	(void)backend;
	(void)ret_outcome;
	assert_int_equal(client->source, 0);
	assert_int_equal(client->addr.len > 0, rig.wants_client);
	if (client->addr.len > 0)
		note("from:%s", inet_ntoa(client->addr.sa.in.sin_addr));
	note("connect");
	rig.answer = done;
	rig.answer_arg = arg;
	if (rig.attempt == -EINPROGRESS)
		*ret_attempt = (struct attempt *)&rig;
	return rig.attempt;
}

bool __wrap_backend_wants_client(const struct backend *backend);
bool __wrap_backend_wants_client(const struct backend *backend)
{
	(void)backend;
	return rig.wants_client;
}

void __wrap_access_note_address(const struct access_note *note, const struct endpoint *client,
				struct sfront_sockaddr *ret);
void __wrap_access_note_address(const struct access_note *note, const struct endpoint *client,
				struct sfront_sockaddr *ret)
{
	(void)note;
	assert_false(client->is_backend);
	*ret = (struct sfront_sockaddr){ .len = sizeof(ret->sa.in) };
	ret->sa.in.sin_family = AF_INET;
	ret->sa.in.sin_addr.s_addr = htonl(0x0a070701);
}

void __wrap_attempt_cancel(struct attempt *attempt);
void __wrap_attempt_cancel(struct attempt *attempt)
{
	if (attempt)
		note("cancel");
}

void __wrap_attempt_follow(struct attempt *attempt);
void __wrap_attempt_follow(struct attempt *attempt)
{
	assert_non_null(attempt);
	note("follow");
}

const char *__wrap_backend_text(const struct backend *backend);
const char *__wrap_backend_text(const struct backend *backend)
{
	(void)backend;
	return "backend";
}

const char *__wrap_backend_word(const struct backend *backend);
const char *__wrap_backend_word(const struct backend *backend)
{
	(void)backend;
	return "backend";
}

bool __wrap_backend_wants_source(const struct backend *backend);
bool __wrap_backend_wants_source(const struct backend *backend)
{
	(void)backend;
	return false;
}

struct backend *__wrap_proxy_backend(const struct proxy *proxy);
struct backend *__wrap_proxy_backend(const struct proxy *proxy)
{
	assert_ptr_equal(proxy, &rig.proxy);
	rig.n_refs++;
	return NULL;
}

struct backend *__wrap_backend_ref(struct backend *backend);
struct backend *__wrap_backend_ref(struct backend *backend)
{
	rig.n_refs++;
	return backend;
}

void __wrap_backend_unref(struct backend *backend);
void __wrap_backend_unref(struct backend *backend)
{
	(void)backend;
	rig.n_refs--;
}

void __wrap_backend_leave(struct backend *backend, struct server *server);
void __wrap_backend_leave(struct backend *backend, struct server *server)
{
	(void)backend;
	assert_ptr_equal(server, &rig.server);
	/* Who takes the room connects at once: the server must not have one more for a moment. */
	assert_true(rig.is_backend_closed);
	rig.n_left++;
}

/* Whoever has had a server has had the unit behind it too. */
void __wrap_backend_client_goes(struct backend *backend);
void __wrap_backend_client_goes(struct backend *backend)
{
	(void)backend;
	rig.n_gone++;
	assert_int_equal(rig.n_gone, rig.n_left);
}

void __wrap_backend_note_reset(struct backend *backend, struct server *server);
void __wrap_backend_note_reset(struct backend *backend, struct server *server)
{
	(void)backend;
	assert_ptr_equal(server, &rig.server);
	rig.n_resets++;
}

void __wrap_proxy_unref(struct proxy *proxy);
void __wrap_proxy_unref(struct proxy *proxy)
{
	assert_ptr_equal(proxy, &rig.proxy);
}

static void make_pending(struct endpoint *end)
{
	end->pending = calloc(1, sizeof(*end->pending));
	assert_non_null(end->pending);
	end->pending->pipe[0] = -1;
}

static enum relay_result relayed(struct endpoint *from, int *ret_error)
{
	*ret_error = rig.error;
	if (rig.result == RELAY_MOVED || rig.result == RELAY_BLOCKED)
		from->moved += 10;
	if (!from->pending &&
	    (rig.result == RELAY_BLOCKED || (rig.result == RELAY_NO_MEMORY && rig.keeps))) {
		make_pending(from);
	} else if (from->pending && rig.result == RELAY_MOVED) {
		pending_drop(&rig.host.pipes, from->pending);
		from->pending = NULL;
	}
	return rig.result;
}

enum relay_result __wrap_relay_turn(struct pipe_pool *pool, struct endpoint *from, int *ret_error);
enum relay_result __wrap_relay_turn(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	(void)pool;
	assert_null(from->pending);
	assert_false(from->ended);
	note("read:%s", name(from));
	return relayed(from, ret_error);
}

enum relay_result __wrap_relay_flush(struct pipe_pool *pool, struct endpoint *from, int *ret_error);
enum relay_result __wrap_relay_flush(struct pipe_pool *pool, struct endpoint *from, int *ret_error)
{
	(void)pool;
	assert_non_null(from->pending);
	note("flush:%s", name(from));
	return relayed(from, ret_error);
}

void __wrap_endpoint_finish(struct endpoint *end);
void __wrap_endpoint_finish(struct endpoint *end)
{
	note("finish:%s", name(end));
	if (!is_socket(end->write_stream)) {
		for (size_t i = 0; i < SIMULATED_EVENTS; i++)
			if (simulated.events[i].event)
				assert_int_not_equal(event_get_fd(simulated.events[i].event),
						     end->write_fd);
		end->write_fd = -1;
	}
}

void __wrap_endpoint_close(struct endpoint *end, bool reset);
void __wrap_endpoint_close(struct endpoint *end, bool reset)
{
	note("%s:%s", reset ? "reset" : "close", name(end));
	rig.is_backend_closed |= end->is_backend;
}

uint64_t __wrap_endpoint_unsent(const struct endpoint *end);
uint64_t __wrap_endpoint_unsent(const struct endpoint *end)
{
	return rig.unsent[end->is_backend];
}

uint64_t __wrap_endpoint_undelivered(const struct endpoint *end);
uint64_t __wrap_endpoint_undelivered(const struct endpoint *end)
{
	return rig.unsent[end->is_backend];
}

bool __wrap_endpoint_awaits_window(const struct endpoint *end);
bool __wrap_endpoint_awaits_window(const struct endpoint *end)
{
	(void)end;
	return rig.awaits_window;
}

int __wrap_endpoint_error(const struct endpoint *end);
int __wrap_endpoint_error(const struct endpoint *end)
{
	return rig.broken[end->is_backend];
}

bool __wrap_endpoint_is_gone(const struct endpoint *end);
bool __wrap_endpoint_is_gone(const struct endpoint *end)
{
	return rig.gone[end->is_backend];
}

bool __wrap_endpoint_left_nothing(const struct endpoint *end);
bool __wrap_endpoint_left_nothing(const struct endpoint *end)
{
	assert_false(end->is_backend);
	return rig.left_nothing;
}

void __wrap_endpoint_probe(const struct endpoint *end);
void __wrap_endpoint_probe(const struct endpoint *end)
{
	note("probe:%s", name(end));
}

struct access_note *__wrap_access_note_new(const struct sfront_connection *connection,
					   const struct connection_id *id);
struct access_note *__wrap_access_note_new(const struct sfront_connection *connection,
					   const struct connection_id *id)
{
	(void)connection;
	(void)id;
	return NULL;
}

static void drop_partial(struct session *session)
{
	pending_drop(&rig.host.pipes, session->client.pending);
	session->client.pending = NULL;
}

enum header_result __wrap_header_take(struct session *session, struct refusal *refusal);
enum header_result __wrap_header_take(struct session *session, struct refusal *refusal)
{
	note("look");
	if (rig.header == HEADER_NO_MEMORY)
		return HEADER_NO_MEMORY;
	drop_partial(session);
	if (rig.header == HEADER_AWAITED ||
	    (rig.header == HEADER_READ && session->proxy->config.send_proxy_protocol > 0))
		make_pending(&session->client);
	refusal->end = END_REFUSED_HEADER;
	snprintf(refusal->reason, sizeof(refusal->reason), "no header");
	return rig.header;
}

bool __wrap_header_prepare(struct session *session);
bool __wrap_header_prepare(struct session *session)
{
	if (session->proxy->config.send_proxy_protocol == 0 || session->client.pending)
		return true;
	note(rig.no_buffer ? "unprepared" : "prepare");
	if (!rig.no_buffer)
		make_pending(&session->client);
	return !rig.no_buffer;
}

void __wrap_header_format_missing(const struct session *session, const char *within,
				  struct refusal *refusal);
void __wrap_header_format_missing(const struct session *session, const char *within,
				  struct refusal *refusal)
{
	(void)session;
	refusal->end = END_REFUSED_HEADER;
	snprintf(refusal->reason, sizeof(refusal->reason), "nothing within %s", within);
}

void __wrap_access_log_format_client(const struct access_note *note, const struct endpoint *client,
				     char *buf, size_t size);
void __wrap_access_log_format_client(const struct access_note *note, const struct endpoint *client,
				     char *buf, size_t size)
{
	(void)note;
	(void)client;
	snprintf(buf, size, "client");
}

void __wrap_access_log_write(const struct access_record *record, enum access_log form);
void __wrap_access_log_write(const struct access_record *record, enum access_log form)
{
	assert_int_equal(form, ACCESS_LOG_LOGFMT);
	note("up=%d down=%d \"%s\"", (int)record->up, (int)record->down, record->reason);
}

void __wrap_log_line(int level, const char *format, ...);
void __wrap_log_line(int level, const char *format, ...)
{
	(void)level;
	(void)format;
	note("said");
}

void *__real_mmap(void *addr, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *addr, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (rig.maps_to_fail > 0) {
		rig.maps_to_fail--;
		return MAP_FAILED;
	}
	return __real_mmap(addr, size, protection, flags, fd, offset);
}

static void host_ended(struct session_host *host, struct proxy *proxy)
{
	(void)host;
	assert_ptr_equal(proxy, &rig.proxy);
	rig.session = NULL;
}

static void host_failed(struct session_host *host)
{
	(void)host;
	note("failed");
}

static void host_cut(struct session_host *host)
{
	(void)host;
	note("cut");
}

static void host_settled_header(struct session_host *host, struct proxy *proxy)
{
	(void)host;
	(void)proxy;
	note("settled");
}

static void host_holds_no_more(struct session_host *host, struct proxy *proxy)
{
	(void)host;
	assert_ptr_equal(proxy, &rig.proxy);
	rig.n_not_held++;
}

static const struct session_host_ops ops = {
	.ended = host_ended,
	.header_settled = host_settled_header,
	.not_held = host_holds_no_more,
	.failed = host_failed,
	.cut = host_cut,
};

/* ---- the rig ---- */

static int set_up(void **state)
{
	(void)state;
	simulated_reset();
	memset(&rig, 0, sizeof(rig));
	rig.listener_socket.text = nowhere;
	rig.listener.sockets = &rig.listener_socket;
	rig.listeners[0] = &rig.listener;
	rig.proxy_socket = (struct proxy_socket){ .listener = &rig.listener };
	rig.proxy = (struct proxy){
		.config.idle_timeout_ms = SFRONT_INFINITY_MS,
		.config.half_close_timeout_ms = SFRONT_INFINITY_MS,
		.config.connection_timeout_ms = SFRONT_INFINITY_MS,
		.access_log = ACCESS_LOG_LOGFMT,
		.listeners = rig.listeners,
		.n_listeners = 1,
		.sockets = &rig.proxy_socket,
		.n_sockets = 1,
	};
	rig.server.text = server_text;
	rig.server.state = &rig.server_state;
	health_init(&rig.server_state.health, false);
	rig.attempt = -EINPROGRESS;
	assert_int_equal(session_host_init(&rig.host, &ops, 0, 0), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rig.done[0] = '\0';
	if (rig.session)
		session_cut(rig.session);
	assert_int_equal(rig.n_left, rig.n_connected);
	assert_int_equal(rig.n_not_held, rig.n_started);
	assert_int_equal(rig.n_refs, 0);
	health_clear(&rig.server_state.health);
	session_host_clear(&rig.host);
	for (size_t i = 0; i < SIMULATED_EVENTS; i++)
		assert_null(simulated.events[i].event);
	return 0;
}

static void start_owing(uint8_t stream, bool header_due)
{
	struct sfront_connection connection = {
		.header_due = header_due,
		.read_fd = CLIENT_FD,
		.write_fd = is_socket(stream) ? CLIENT_FD : CLIENT_OUT_FD,
		.read_stream = (enum sfront_stream)stream,
		.write_stream = (enum sfront_stream)stream,
	};

	assert_true(session_host_is_ready(&rig.host));
	rig.n_started++;
	session_start(&rig.host, &rig.proxy, 0, &connection);
	rig.session = slab_any(&rig.host.sessions);
}

static void start_with(uint8_t stream)
{
	start_owing(stream, false);
}

static const char *watched(const struct endpoint *end)
{
	static const char *const names[] = { "-", "r", "g" };

	return names[end->watch];
}

/* "relaying client=r backend=-w": what each is watched for, and w while its peer is to take more.
 */
static const char *state_of_session(void)
{
	static const char *const names[] = { "new",      "awaiting", "connecting",
					     "relaying", "aborting", "closed" };
	const struct session *s = rig.session;
	static char text[64];

	if (!s)
		return "closed";
	snprintf(text, sizeof(text), "%s client=%s%s backend=%s%s", names[s->state],
		 watched(&s->client), s->client.pending && s->client.pending->waiting ? "w" : "",
		 watched(&s->backend),
		 s->backend.pending && s->backend.pending->waiting ? "w" : "");
	return text;
}

#define assert_session(expected) assert_string_equal(state_of_session(), expected)

static void assert_done(const char *expected)
{
	size_t len = strlen(rig.done);

	if (len > 0)
		rig.done[len - 1] = '\0';
	assert_string_equal(rig.done, expected);
	rig.done[0] = '\0';
}

/* ---- what can happen ---- */

static void connected(void)
{
	rig.n_connected++;
	rig.answer(rig.answer_arg, &(struct outcome){ .fd = BACKEND_FD, .server = &rig.server });
}

static void answered(void)
{
	rig.result = RELAY_IDLE;
	connected();
}

static void failed(void)
{
	rig.answer(rig.answer_arg,
		   &(struct outcome){ .fd = -1, .reason = "connect failed: out of luck" });
}

/* What was not waited for, for want of memory, is a little later. */
static void client_reads(enum relay_result result, int error)
{
	rig.result = result;
	rig.error = error;
	for (int tries = 0; !simulated_ready(CLIENT_FD, EV_READ); tries++) {
		assert_true(rig.memory_is_short && tries < 10);
		simulated_advance(100);
	}
}

static void backend_reads(enum relay_result result, int error)
{
	rig.result = result;
	rig.error = error;
	assert_true(simulated_ready(BACKEND_FD, EV_READ));
}

static void backend_takes(enum relay_result result, int error)
{
	rig.result = result;
	rig.error = error;
	assert_true(simulated_ready(BACKEND_FD, EV_WRITE));
}

static void client_moves(void)
{
	client_reads(RELAY_MOVED, 0);
}
static void client_blocks(void)
{
	client_reads(RELAY_BLOCKED, 0);
}
static void client_ends(void)
{
	client_reads(RELAY_ENDED, 0);
}
static void client_idles(void)
{
	client_reads(RELAY_IDLE, 0);
}
static void client_resets(void)
{
	client_reads(RELAY_READ_FAILED, ECONNRESET);
}
static void client_starves(void)
{
	client_reads(RELAY_NO_MEMORY, 0);
}
static void client_starves_with_bytes(void)
{
	rig.keeps = true;
	client_reads(RELAY_NO_MEMORY, 0);
}
static void client_write_fails(void)
{
	client_reads(RELAY_WRITE_FAILED, EPIPE);
}
static void backend_moves(void)
{
	backend_reads(RELAY_MOVED, 0);
}
static void backend_blocks(void)
{
	backend_reads(RELAY_BLOCKED, 0);
}
static void backend_ends(void)
{
	backend_reads(RELAY_ENDED, 0);
}
static void backend_resets(void)
{
	backend_reads(RELAY_READ_FAILED, ECONNRESET);
}
static void backend_fails(void)
{
	backend_reads(RELAY_READ_FAILED, EIO);
}
static void backend_takes_all(void)
{
	backend_takes(RELAY_MOVED, 0);
}
static void backend_takes_some(void)
{
	backend_takes(RELAY_BLOCKED, 0);
}
static void backend_takes_nothing(void)
{
	backend_takes(RELAY_WRITE_FAILED, ECONNRESET);
}
static void backend_starves(void)
{
	backend_takes(RELAY_NO_MEMORY, 0);
}
static void client_is_told_of(void)
{
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void client_is_reset(void)
{
	rig.broken[0] = ECONNRESET;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void client_has_left(void)
{
	rig.left_nothing = true;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void client_is_gone(void)
{
	rig.gone[0] = true;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void client_is_found_gone(void)
{
	rig.gone[0] = true;
	simulated_advance(1000);
}
static void header_comes(void)
{
	rig.header = HEADER_READ;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void more_comes(void)
{
	rig.header = HEADER_AWAITED;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void something_else_comes(void)
{
	rig.header = HEADER_REFUSED;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void header_starves(void)
{
	rig.header = HEADER_NO_MEMORY;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
}
static void header_is_there_with_memory(void)
{
	rig.header = HEADER_READ;
	simulated_advance(100);
}
static void buffer_is_back(void)
{
	rig.no_buffer = false;
	simulated_advance(100);
}
static void file_is_read_on(void)
{
	rig.header = HEADER_READ;
	simulated_advance(0);
}
static void time_for_the_header_is_over(void)
{
	simulated_advance(1500);
}
static void answered_and_takes_all(void)
{
	rig.result = RELAY_MOVED;
	connected();
}
static void answered_and_takes_some(void)
{
	rig.result = RELAY_BLOCKED;
	connected();
}
static void answered_and_breaks(void)
{
	rig.result = RELAY_WRITE_FAILED;
	rig.error = ECONNRESET;
	connected();
}
static void drains(void)
{
	session_host_drain(&rig.host);
	simulated_advance(1400);
}
static void second_passes(void)
{
	simulated_advance(1000);
}
static void memory_is_back(void)
{
	simulated_advance(100);
}
static void is_cut(void)
{
	session_cut(rig.session);
}
static void all_is_read(void)
{
	rig.unsent[0] = rig.unsent[1] = 0;
	simulated_advance(1000);
}

/* ---- where it can be ---- */

static void connecting(void)
{
	start_with(SFRONT_STREAM_TCP);
}
static void awaiting(void)
{
	rig.header = HEADER_AWAITED;
	rig.proxy.config.header_timeout_ms = 1500;
	start_owing(SFRONT_STREAM_TCP, true);
}
static void awaiting_to_send(void)
{
	rig.proxy.config.send_proxy_protocol = 2;
	awaiting();
}
static void awaiting_file(void)
{
	rig.header = HEADER_AWAITED;
	rig.proxy.config.header_timeout_ms = SFRONT_INFINITY_MS;
	start_owing(SFRONT_STREAM_FILE, true);
}
static void awaiting_without_memory(void)
{
	rig.header = HEADER_NO_MEMORY;
	rig.proxy.config.header_timeout_ms = 1500;
	start_owing(SFRONT_STREAM_TCP, true);
}
static void connecting_to_send(void)
{
	rig.proxy.config.send_proxy_protocol = 2;
	connecting();
}
static void unprepared(void)
{
	rig.no_buffer = true;
	connecting_to_send();
}
static void sending(void)
{
	connecting_to_send();
	rig.result = RELAY_BLOCKED;
	connected();
}
static void without_attempt(void)
{
	rig.attempt = -ENOMEM;
	start_with(SFRONT_STREAM_TCP);
	rig.attempt = -EINPROGRESS;
}
static void relaying(void)
{
	connecting();
	answered();
}
static void blocked(void)
{
	relaying();
	client_blocks();
}
static void long_blocked(void)
{
	blocked();
	simulated_advance(1000);
}
static void starved(void)
{
	relaying();
	client_starves();
}
static void starved_with_bytes(void)
{
	relaying();
	client_starves_with_bytes();
}
static void client_ended(void)
{
	relaying();
	client_ends();
}
static void client_ended_long_ago(void)
{
	client_ended();
	simulated_advance(1000);
}
static void client_ended_undelivered(void)
{
	rig.unsent[1] = 5;
	client_ended();
}
static void backend_ended(void)
{
	relaying();
	backend_ends();
}
static void aborting(void)
{
	relaying();
	client_moves();
	rig.unsent[1] = 4;
	client_resets();
}
static void aborting_unread(void)
{
	relaying();
	client_write_fails();
}
static void aborting_blocked(void)
{
	long_blocked();
	client_is_reset();
}

/* ---- the table ---- */

static const struct row {
	void (*from)(void);
	void (*happens)(void);
	const char *state, *done;
} rows[] = {
	{ awaiting, header_comes, "connecting client=g backend=-", "look settled connect" },
	{ awaiting, more_comes, "awaiting client=r backend=-", "look" },
	{ awaiting, something_else_comes, "closed",
	  "look settled up=0 down=0 \"no header\" reset:client reset:backend" },
	{ awaiting, header_starves, "awaiting client=- backend=-", "look" },
	{ awaiting, second_passes, "awaiting client=r backend=-", "" },
	{ awaiting, drains, "awaiting client=r backend=-", "" },
	{ awaiting, time_for_the_header_is_over, "closed",
	  "settled up=0 down=0 \"nothing within 1.5 s\" reset:client reset:backend" },
	{ awaiting, is_cut, "closed",
	  "cut settled up=0 down=0 \"cut\" reset:client reset:backend" },
	{ awaiting_file, file_is_read_on, "connecting client=- backend=-", "look settled connect" },
	{ awaiting_without_memory, memory_is_back, "awaiting client=- backend=-", "look" },
	{ awaiting_without_memory, header_is_there_with_memory, "connecting client=g backend=-",
	  "look settled connect" },
	{ awaiting_to_send, header_comes, "connecting client=g backend=-", "look settled connect" },

	{ connecting_to_send, answered_and_takes_all, "relaying client=r backend=r",
	  "flush:client read:client" },
	{ connecting_to_send, answered_and_takes_some, "relaying client=-w backend=r",
	  "flush:client" },
	{ connecting_to_send, answered_and_breaks, "aborting client=- backend=r", "flush:client" },
	{ connecting_to_send, client_is_reset, "closed",
	  "cancel up=0 down=0 \"client left while the backend was awaited\" close:client "
	  "close:backend" },
	{ unprepared, memory_is_back, "connecting client=g backend=-", "unprepared" },
	{ unprepared, buffer_is_back, "connecting client=g backend=-", "prepare connect" },
	{ sending, backend_takes_all, "relaying client=r backend=r", "flush:client" },
	{ sending, backend_takes_some, "relaying client=-w backend=r", "flush:client" },
	{ sending, backend_moves, "relaying client=-w backend=r", "read:backend" },

	{ connecting, answered, "relaying client=r backend=r", "read:client" },
	{ connecting, failed, "closed",
	  "said up=0 down=0 \"connect failed: out of luck\" reset:client reset:backend" },
	{ connecting, client_is_told_of, "connecting client=g backend=-", "" },
	{ connecting, client_is_reset, "closed",
	  "cancel up=0 down=0 \"client left while the backend was awaited\" close:client "
	  "close:backend" },
	{ connecting, client_has_left, "closed",
	  "cancel up=0 down=0 \"client left while the backend was awaited\" close:client "
	  "close:backend" },
	{ connecting, second_passes, "connecting client=g backend=-", "" },
	{ connecting, is_cut, "closed",
	  "cut cancel up=0 down=0 \"cut\" reset:client reset:backend" },
	{ without_attempt, memory_is_back, "connecting client=g backend=-", "connect" },
	{ without_attempt, client_is_reset, "closed",
	  "up=0 down=0 \"client left while the backend was awaited\" close:client close:backend" },

	{ relaying, client_moves, "relaying client=r backend=r", "read:client" },
	{ relaying, client_idles, "relaying client=r backend=r", "read:client" },
	{ relaying, client_blocks, "relaying client=-w backend=r", "read:client" },
	{ relaying, client_ends, "relaying client=- backend=r", "read:client finish:backend" },
	{ relaying, client_starves, "relaying client=- backend=-", "read:client" },
	{ relaying, client_starves_with_bytes, "relaying client=- backend=-", "read:client" },
	{ relaying, client_resets, "closed",
	  "read:client up=0 down=0 \"client reset\" reset:client reset:backend" },
	{ relaying, client_write_fails, "aborting client=- backend=r", "read:client" },
	{ relaying, backend_moves, "relaying client=r backend=r", "read:backend" },
	{ relaying, backend_blocks, "relaying client=r backend=-w", "read:backend" },
	{ relaying, backend_ends, "relaying client=r backend=-", "read:backend finish:client" },
	{ relaying, backend_resets, "closed",
	  "read:backend up=0 down=0 \"backend reset\" reset:client reset:backend" },
	{ relaying, backend_fails, "closed",
	  "read:backend up=0 down=0 \"backend failed\" reset:client reset:backend" },
	{ relaying, second_passes, "relaying client=r backend=r", "" },
	{ relaying, is_cut, "closed", "cut up=0 down=0 \"cut\" reset:client reset:backend" },

	{ blocked, backend_takes_all, "relaying client=r backend=r", "flush:client" },
	{ blocked, backend_takes_some, "relaying client=-w backend=r", "flush:client" },
	{ blocked, backend_takes_nothing, "aborting client=- backend=r", "flush:client" },
	{ blocked, backend_starves, "relaying client=- backend=-", "flush:client" },
	{ blocked, backend_moves, "relaying client=-w backend=r", "read:backend" },
	{ blocked, second_passes, "relaying client=gw backend=r", "" },
	{ blocked, backend_ends, "relaying client=-w backend=-", "read:backend finish:client" },
	{ blocked, backend_resets, "closed",
	  "read:backend up=10 down=0 \"backend reset\" reset:client reset:backend" },
	{ long_blocked, client_is_reset, "aborting client=-w backend=-", "" },
	{ long_blocked, client_is_told_of, "relaying client=gw backend=r", "" },
	{ long_blocked, backend_takes_all, "relaying client=r backend=r", "flush:client" },
	{ long_blocked, backend_blocks, "relaying client=-w backend=-w", "read:backend" },

	{ starved, memory_is_back, "relaying client=r backend=r", "" },
	{ starved, is_cut, "closed", "cut up=0 down=0 \"cut\" reset:client reset:backend" },
	{ starved_with_bytes, memory_is_back, "relaying client=-w backend=r", "" },

	{ client_ended, backend_moves, "relaying client=- backend=r", "read:backend" },
	{ client_ended, backend_ends, "closed",
	  "read:backend up=0 down=0 \"closed\" close:client close:backend" },
	{ client_ended, backend_resets, "closed",
	  "read:backend up=0 down=0 \"backend reset\" reset:client reset:backend" },
	{ client_ended, second_passes, "relaying client=g backend=r", "probe:client" },
	{ client_ended, client_is_found_gone, "closed",
	  "up=0 down=0 \"client gone\" reset:client reset:backend" },
	{ client_ended_long_ago, client_is_gone, "closed",
	  "up=0 down=0 \"client gone\" reset:client reset:backend" },
	{ client_ended_long_ago, client_is_told_of, "relaying client=g backend=r", "" },
	{ client_ended_long_ago, client_is_reset, "closed",
	  "up=0 down=0 \"client reset\" reset:client reset:backend" },
	{ client_ended_long_ago, backend_blocks, "relaying client=- backend=gw", "read:backend" },
	{ client_ended_undelivered, client_is_found_gone, "relaying client=g backend=r",
	  "probe:client" },
	{ backend_ended, client_ends, "closed",
	  "read:client up=0 down=0 \"closed\" close:client close:backend" },
	{ backend_ended, client_moves, "relaying client=r backend=-", "read:client" },
	{ backend_ended, second_passes, "relaying client=r backend=g", "probe:backend" },

	{ aborting, all_is_read, "closed",
	  "up=10 down=0 \"client reset\" reset:client reset:backend" },
	{ aborting, second_passes, "closed",
	  "up=6 down=0 \"client reset\" reset:client reset:backend" },
	{ aborting, is_cut, "closed", "cut up=6 down=0 \"cut\" reset:client reset:backend" },
	{ aborting_unread, backend_moves, "aborting client=- backend=r", "read:backend" },
	{ aborting_unread, backend_blocks, "aborting client=- backend=-w", "read:backend" },
	{ aborting_unread, backend_ends, "closed",
	  "read:backend up=0 down=0 \"backend gone\" reset:client reset:backend" },
	{ aborting_unread, second_passes, "closed",
	  "up=0 down=0 \"backend gone\" reset:client reset:backend" },
	{ aborting_blocked, backend_takes_some, "aborting client=-w backend=-", "flush:client" },
	{ aborting_blocked, backend_takes_all, "aborting client=r backend=-", "flush:client" },
	{ aborting_blocked, backend_starves, "aborting client=- backend=-", "flush:client" },
	{ aborting_blocked, backend_takes_nothing, "closed",
	  "flush:client up=10 down=0 \"client reset\" reset:client reset:backend" },
};

static void test_table(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		set_up(state);
		rows[i].from();
		rig.done[0] = '\0';
		rows[i].happens();
		if (strcmp(state_of_session(), rows[i].state) != 0)
			fail_msg("row %zu: %s, not %s", i, state_of_session(), rows[i].state);
		rig.done[strlen(rig.done) > 0 ? strlen(rig.done) - 1 : 0] = '\0';
		if (strcmp(rig.done, rows[i].done) != 0)
			fail_msg("row %zu: %s, not %s", i, rig.done, rows[i].done);
		tear_down(state);
	}
}

#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* ---- deadlines ---- */

static void test_idle_timeout_is_counted_since_the_last_byte(void **state)
{
	unsigned int added;

	(void)state;
	rig.proxy.config.idle_timeout_ms = 5000;
	relaying();
	added = simulated.n_added;
	for (int i = 0; i < 40; i++) {
		client_moves();
		backend_moves();
		simulated_advance(100);
	}
	assert_int_equal(simulated.n_added, added); /* no byte costs a call */
	simulated_advance(4899);
	assert_session("relaying client=r backend=r");
	rig.done[0] = '\0';
	simulated_advance(1);
	assert_session("closed");
	assert_done("up=400 down=400 \"idle timeout\" reset:client reset:backend");
}

static void test_header_that_is_there_at_once_sets_no_deadline(void **state)
{
	(void)state;
	rig.proxy.config.header_timeout_ms = 1500;
	rig.header = HEADER_READ;
	start_owing(SFRONT_STREAM_TCP, true);
	assert_session("connecting client=g backend=-");
	assert_null(rig.session->timing);
	assert_done("look settled connect");
}

/* Who that is, the header may have said only now. */
static void test_backend_is_told_whom_it_is_connected_for(void **state)
{
	(void)state;
	rig.wants_client = true;
	rig.header = HEADER_READ;
	start_owing(SFRONT_STREAM_TCP, true);
	assert_done("look settled from:10.7.7.1 connect");
}

static void test_time_for_the_header_is_counted_once(void **state)
{
	(void)state;
	awaiting();
	simulated_advance(1400);
	more_comes();
	simulated_advance(99);
	assert_session("awaiting client=r backend=-");
	simulated_advance(1);
	assert_session("closed");
}

/* It is no limit of what follows. */
static void test_time_for_the_header_ends_with_it(void **state)
{
	(void)state;
	awaiting();
	header_comes();
	simulated_advance(100000);
	assert_session("connecting client=g backend=-");
	answered();
	simulated_advance(100000);
	assert_session("relaying client=r backend=r");
}

static void test_drain_bounds_who_owes_a_header(void **state)
{
	(void)state;
	awaiting_file();
	session_host_drain(&rig.host);
	rig.header = HEADER_NO_MEMORY; /* else a plain file is looked at without end */
	rig.done[0] = '\0';
	simulated_advance(5000);
	assert_session("closed");
	assert_non_null(
		strstr(rig.done, "cut said settled up=0 down=0 \"nothing within 5 s\"")
			?: strstr(rig.done, "cut settled up=0 down=0 \"nothing within 5 s\""));
}

static void test_host_that_cuts_takes_nobody_who_owes_a_header(void **state)
{
	(void)state;
	rig.host.cutting = true;
	start_owing(SFRONT_STREAM_TCP, true);
	assert_session("closed");
	assert_done("cut settled up=0 down=0 \"cut\" reset:client reset:backend");
}

static void test_single_connection_without_a_header_fails(void **state)
{
	(void)state;
	rig.listener_socket.is_single = true;
	rig.header = HEADER_REFUSED;
	start_owing(SFRONT_STREAM_PIPE, true);
	assert_session("closed");
	assert_done(
		"look failed said settled up=0 down=0 \"no header\" reset:client reset:backend");
}

static void test_nobody_is_idle_while_the_kernel_delivers(void **state)
{
	(void)state;
	rig.proxy.config.idle_timeout_ms = 1000;
	relaying();
	for (int i = 0; i < 5; i++) {
		rig.unsent[0] = 1000 - (uint64_t)i;
		simulated_advance(1000);
		assert_session("relaying client=r backend=r");
	}
	rig.done[0] = '\0';
	simulated_advance(1000);
	assert_done("up=0 down=0 \"idle timeout\" reset:client reset:backend");
}

static void test_half_close_timeout_is_counted_since_the_last_byte(void **state)
{
	(void)state;
	rig.proxy.config.half_close_timeout_ms = 2000;
	rig.proxy.config.idle_timeout_ms = 3600000;
	relaying();
	simulated_advance(100000); /* it does not concern those of whom nobody has ended */
	client_ends();
	for (int i = 0; i < 10; i++) {
		simulated_advance(1900);
		backend_moves();
	}
	simulated_advance(1999);
	assert_non_null(rig.session);
	rig.done[0] = '\0';
	simulated_advance(1);
	assert_done("up=0 down=100 \"half-close timeout\" reset:client reset:backend");
}

static void test_both_limits_of_one_moment_spare_who_is_delivered_to(void **state)
{
	(void)state;
	rig.proxy.config.half_close_timeout_ms = rig.proxy.config.idle_timeout_ms = 1000;
	relaying();
	rig.unsent[0] = 10;
	client_ends();
	simulated_advance(1999);
	assert_non_null(rig.session);
	simulated_advance(1);
	assert_null(rig.session);
}

static void test_connection_timeout_is_counted_from_the_beginning(void **state)
{
	static void (*const ways[])(
		void) = { connecting,   without_attempt, relaying,     blocked,
			  client_ended, backend_ended,   long_blocked, starved };

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		uint64_t began;

		set_up(state);
		rig.attempt = -ENOMEM; /* as long as it is not reached */
		rig.proxy.config.connection_timeout_ms = 5000;
		rig.proxy.config.idle_timeout_ms = 3600000;
		rig.attempt = -EINPROGRESS;
		began = simulated.now_ms;
		ways[i]();
		simulated_advance(5000 - (simulated.now_ms - began) - 1);
		assert_non_null(rig.session);
		simulated_advance(1);
		assert_null(rig.session);
		assert_non_null(strstr(rig.done, "\"connection timeout\" reset:client"));
		tear_down(state);
	}
	set_up(state);
}

/* It is why the connection ends that counts, not what cuts its end short. */
static void test_connection_timeout_while_aborting(void **state)
{
	(void)state;
	rig.proxy.config.connection_timeout_ms = 3000;
	rig.proxy.config.idle_timeout_ms = 500;
	aborting();
	rig.done[0] = '\0';
	for (uint64_t unsent = 1000; rig.session; unsent--) {
		rig.unsent[1] = unsent;
		simulated_advance(100);
	}
	assert_int_equal(simulated.now_ms, 1000000 + 3000);
	assert_non_null(strstr(rig.done, "\"client reset\""));
}

/* Whoever goes on reading is waited for; progress, and only that, moves the end on. */
static void test_abort_lasts_as_long_as_the_reader_reads(void **state)
{
	(void)state;
	aborting();
	for (uint64_t unsent = 1000; unsent > 990; unsent--) {
		rig.unsent[1] = unsent;
		simulated_advance(900);
		assert_session("aborting client=- backend=-");
	}
	simulated_advance(400);
	assert_session("closed");
}

static void test_shut_window_of_the_reader_gets_more_time(void **state)
{
	(void)state;
	rig.awaits_window = true;
	rig.proxy.config.idle_timeout_ms = 500; /* which nobody asks any more */
	aborting();
	simulated_advance(2999);
	assert_session("aborting client=- backend=-");
	simulated_advance(1);
	assert_session("closed");
}

static void test_bytes_for_who_broke_are_dropped(void **state)
{
	(void)state;
	relaying();
	backend_blocks();
	rig.unsent[1] = 4;
	client_resets();
	assert_session("aborting client=- backend=-");
	assert_null(rig.session->backend.pending);
}

static void test_held_client_bounds_a_drain(void **state)
{
	(void)state;
	connecting();
	simulated_advance(60000);
	assert_session("connecting client=g backend=-");
	session_host_drain(&rig.host);
	simulated_advance(4999);
	assert_session("connecting client=g backend=-");
	rig.done[0] = '\0';
	simulated_advance(1);
	assert_session("closed");
	assert_done("cut said cancel up=0 down=0 \"no connection within 5 s while the process "
		    "drains\" reset:client reset:backend");

	/* One that comes while it drains has as long. */
	connecting();
	simulated_advance(4999);
	assert_session("connecting client=g backend=-");
	simulated_advance(1);
	assert_session("closed");
}

/* Until a server has answered, or none will. */
static void test_client_is_held(void **state)
{
	(void)state;
	connecting();
	assert_int_equal(rig.n_not_held, 0);
	answered();
	assert_int_equal(rig.n_not_held, 1);
	session_cut(rig.session);
	assert_int_equal(rig.n_not_held, 1);

	connecting();
	failed();
	assert_int_equal(rig.n_not_held, 2);

	awaiting();
	assert_int_equal(rig.n_not_held, 2);
	session_cut(rig.session);
	assert_int_equal(rig.n_not_held, 3);
	rig.done[0] = '\0';
}

/* down-action = close */
static void test_sessions_of_a_server_that_is_down(void **state)
{
	(void)state;
	for (int closes = 0; closes < 2; closes++) {
		for (int state_of_it = HEALTH_UP; state_of_it <= HEALTH_DOWN; state_of_it++) {
			bool ends = closes && state_of_it == HEALTH_DOWN;

			start_with(SFRONT_STREAM_TCP);
			rig.proxy.config.closes_when_down = closes;
			answered();
			atomic_store(&rig.server_state.health.state, (unsigned int)state_of_it);
			rig.host.server_watch.message.deliver(&rig.host.server_watch.message);
			assert_session(ends ? "closed" : "relaying client=r backend=r");
			if (!ends)
				session_cut(rig.session);
		}
	}
}

static void servers_change(void)
{
	rig.done[0] = '\0';
	rig.host.server_watch.message.deliver(&rig.host.server_watch.message);
}

/* Whoever has one already, or may not have any yet, has nothing to follow. */
static void test_client_without_a_server_follows(void **state)
{
	(void)state;
	rig.proxy.config.closes_when_down = false;
	connecting();
	servers_change();
	assert_string_equal(rig.done, "follow ");
	answered();
	servers_change();
	assert_string_equal(rig.done, "");
	session_cut(rig.session);

	awaiting();
	servers_change();
	assert_string_equal(rig.done, "");
	session_cut(rig.session);

	unprepared(); /* it waits for memory */
	servers_change();
	assert_string_equal(rig.done, "");
	session_cut(rig.session);
	rig.done[0] = '\0';
}

/* What is reset before a byte has moved is the server's fault; later, it may be the client's. */
static void test_server_is_told_of_early_resets(void **state)
{
	(void)state;
	start_with(SFRONT_STREAM_TCP);
	answered();
	backend_reads(RELAY_READ_FAILED, ECONNRESET);
	assert_int_equal(rig.n_resets, 1);

	start_with(SFRONT_STREAM_TCP);
	answered();
	client_reads(RELAY_READ_FAILED, ECONNRESET);
	assert_int_equal(rig.n_resets, 1);

	atomic_store(&rig.server_state.health.resets, 2);
	start_with(SFRONT_STREAM_TCP);
	answered();
	client_reads(RELAY_MOVED, 0);
	backend_reads(RELAY_READ_FAILED, ECONNRESET);
	assert_int_equal(rig.n_resets, 1);
	assert_int_equal(atomic_load(&rig.server_state.health.resets), 0);
}

static void test_drain_leaves_who_is_served_alone(void **state)
{
	(void)state;
	connecting();
	session_host_drain(&rig.host);
	simulated_advance(4000);
	answered();
	simulated_advance(100000);
	assert_session("relaying client=r backend=r");
}

static void test_pipes_are_asked_while_the_backend_is_awaited(void **state)
{
	(void)state;
	start_with(SFRONT_STREAM_PIPE);
	assert_session("connecting client=- backend=-");
	simulated_advance(5000);
	assert_session("connecting client=- backend=-");
	rig.left_nothing = true;
	simulated_advance(1000);
	assert_session("closed");
}

static void test_writing_side_of_pipes_tells_who_is_gone(void **state)
{
	(void)state;
	start_with(SFRONT_STREAM_PIPE);
	answered();
	client_ends();
	simulated_advance(1000);
	assert_session("relaying client=g backend=r");
	assert_false(simulated_ready(CLIENT_FD, EV_READ));
	rig.gone[0] = true;
	assert_true(simulated_ready(CLIENT_OUT_FD, EV_READ));
	assert_session("closed");
}

/* The event is taken off before the descriptor is closed: see __wrap_endpoint_finish(). */
static void test_writing_side_that_is_watched_may_be_finished(void **state)
{
	(void)state;
	rig.listener_socket.is_single = true;
	start_with(SFRONT_STREAM_PIPE);
	answered();
	client_ends();
	simulated_advance(1000);
	rig.done[0] = '\0';
	backend_ends();
	assert_done("read:backend finish:client up=0 down=0 \"closed\" close:client close:backend");
}

static void test_plain_file_is_read_at_once_and_never_gone(void **state)
{
	(void)state;
	start_with(SFRONT_STREAM_FILE);
	answered();
	rig.result = RELAY_MOVED;
	simulated_fire(&rig.session->client.event, EV_TIMEOUT);
	assert_int_equal(rig.session->client.moved, 10);
	assert_int_equal(simulated_until_next(), 0);
	rig.result = RELAY_ENDED;
	simulated_advance(10000);
	assert_session("relaying client=- backend=r");
}

/* A state of the past: who is read again is not watched for being gone. */
static void test_watch_ends_with_the_pause(void **state)
{
	(void)state;
	long_blocked();
	assert_true(rig.session->watch_gone);
	backend_takes_all();
	assert_false(rig.session->watch_gone);
	client_blocks();
	assert_session("relaying client=-w backend=r");
	second_passes();
	assert_session("relaying client=gw backend=r");
}

static void test_single_connection_ends_with_its_status(void **state)
{
	(void)state;
	rig.listener_socket.is_single = true;
	connecting();
	rig.done[0] = '\0';
	failed();
	assert_done("failed said up=0 down=0 \"connect failed: out of luck\" reset:client "
		    "reset:backend");
	relaying();
	rig.done[0] = '\0';
	client_resets(); /* comes and goes */
	assert_done("read:client up=0 down=0 \"client reset\" reset:client reset:backend");
	relaying();
	rig.done[0] = '\0';
	backend_reads(RELAY_WRITE_FAILED, ENOSPC);
	assert_done("read:backend failed said");
	client_idles(); /* nothing that it had sent is left */
	assert_done("read:client up=0 down=0 \"no space left for what the backend sent\" "
		    "reset:client reset:backend");
}

static void test_host_that_cuts_takes_nobody(void **state)
{
	(void)state;
	rig.host.cutting = true;
	connecting();
	assert_done("cut up=0 down=0 \"cut\" reset:client reset:backend");
}

/* ---- without memory ---- */

/* Each call of the loop fails in turn, and whatever was missed is there in the end. */
static void test_events_that_cannot_be_set_are_tried_again(void **state)
{
	static const struct {
		void (*way)(void);
		const char *state;
	} ways[] = {
		{ connecting, "connecting client=g backend=-" },
		{ relaying, "relaying client=r backend=r" },
		{ blocked, "relaying client=-w backend=r" },
		{ client_ended, "relaying client=- backend=r" },
		{ without_attempt, "connecting client=g backend=-" },
		{ starved, "relaying client=r backend=r" },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		for (unsigned int fail = 1; fail < 12; fail++)
			for (unsigned int maps = 0; maps < 3; maps++) {
				set_up(state);
				rig.proxy.config.idle_timeout_ms = 3600000;
				rig.proxy.config.connection_timeout_ms = 7200000;
				start_with(SFRONT_STREAM_TCP);
				session_cut(rig.session); /* the slab is there */
				rig.memory_is_short = true;
				simulated.adds_after = fail;
				simulated.adds_to_fail = 4;
				rig.maps_to_fail = maps;
				ways[i].way();
				simulated_advance(700);
				assert_string_equal(state_of_session(), ways[i].state);
				assert_true(
					timers_is_set(&rig.session->timing->timers, DEADLINE_LIFE));
				tear_down(state);
			}
	set_up(state);
}

static void test_session_without_watch_and_timer_is_not_dead(void **state)
{
	(void)state;
	relaying();
	simulated.adds_to_fail = 3; /* the wait for the backend, the timer, and once more */
	client_blocks();
	assert_session("relaying client=- backend=r");
	assert_true(rig.session->stuck);
	simulated.adds_to_fail = 0;
	simulated_advance(100);
	assert_session("relaying client=-w backend=r");
	assert_false(rig.session->stuck);
}

/* However often it is missed in between, the rescue is not put off. */
static void test_rescue_comes_though_bytes_move(void **state)
{
	(void)state;
	rig.proxy.config.idle_timeout_ms = 1000;
	start_with(SFRONT_STREAM_TCP);
	session_cut(rig.session); /* there is memory for sessions, but for nothing else */
	rig.maps_to_fail = 11;
	relaying();
	for (int i = 0; i < 9; i++) {
		simulated_advance(10);
		client_moves();
	}
	assert_null(rig.session->timing);
	rig.maps_to_fail = 0;
	simulated_advance(10);
	assert_non_null(rig.session->timing);
	simulated_advance(1000);
	assert_session("closed");
}

static void test_memory_that_stays_out_is_asked_for_without_haste(void **state)
{
	size_t asked = 0;

	(void)state;
	relaying();
	for (int i = 0; i < 10; i++) {
		client_starves();
		assert_false(simulated_ready(CLIENT_FD, EV_READ));
		assert_false(simulated_ready(BACKEND_FD, EV_READ));
		simulated_advance(99);
		assert_session("relaying client=- backend=-");
		simulated_advance(1);
		asked++;
	}
	assert_int_equal(asked, 10);
	assert_session("relaying client=r backend=r");
}

static void test_abort_without_memory_goes_on(void **state)
{
	(void)state;
	long_blocked();
	rig.broken[0] = ECONNRESET;
	assert_true(simulated_ready(CLIENT_FD, EV_READ));
	backend_starves();
	assert_session("aborting client=- backend=-");
	simulated_advance(100);
	assert_session("aborting client=-w backend=-");
	backend_takes_all();
	assert_session("aborting client=r backend=-");
	client_reads(RELAY_READ_FAILED, ECONNRESET);
	assert_session("closed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		test(test_idle_timeout_is_counted_since_the_last_byte),
		test(test_header_that_is_there_at_once_sets_no_deadline),
		test(test_backend_is_told_whom_it_is_connected_for),
		test(test_time_for_the_header_is_counted_once),
		test(test_time_for_the_header_ends_with_it),
		test(test_drain_bounds_who_owes_a_header),
		test(test_host_that_cuts_takes_nobody_who_owes_a_header),
		test(test_single_connection_without_a_header_fails),
		test(test_nobody_is_idle_while_the_kernel_delivers),
		test(test_half_close_timeout_is_counted_since_the_last_byte),
		test(test_both_limits_of_one_moment_spare_who_is_delivered_to),
		test(test_connection_timeout_is_counted_from_the_beginning),
		test(test_connection_timeout_while_aborting),
		test(test_abort_lasts_as_long_as_the_reader_reads),
		test(test_shut_window_of_the_reader_gets_more_time),
		test(test_bytes_for_who_broke_are_dropped),
		test(test_held_client_bounds_a_drain),
		test(test_client_is_held),
		test(test_sessions_of_a_server_that_is_down),
		test(test_client_without_a_server_follows),
		test(test_server_is_told_of_early_resets),
		test(test_drain_leaves_who_is_served_alone),
		test(test_pipes_are_asked_while_the_backend_is_awaited),
		test(test_writing_side_of_pipes_tells_who_is_gone),
		test(test_writing_side_that_is_watched_may_be_finished),
		test(test_plain_file_is_read_at_once_and_never_gone),
		test(test_watch_ends_with_the_pause),
		test(test_single_connection_ends_with_its_status),
		test(test_host_that_cuts_takes_nobody),
		test(test_events_that_cannot_be_set_are_tried_again),
		test(test_session_without_watch_and_timer_is_not_dead),
		test(test_rescue_comes_though_bytes_move),
		test(test_memory_that_stays_out_is_asked_for_without_haste),
		test(test_abort_without_memory_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
