/* SPDX-License-Identifier: MIT */
/*
 * The page and what programs read, as it is sent: whole, in turns that are short, with every
 * name as text.
 */
#include "tests/unit/nothing_is_open.h"
#include "tests/unit/sockets.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/backend/backend.h"
#include "daemon/base/loop.h"
#include "daemon/proxy/generation.h"
#include "daemon/status/markup.h"
#include "daemon/status/metrics.h"
#include "daemon/status/overview.h"
#include "daemon/status/page.h"
#include "daemon/status/page_file.h"
#include "daemon/status/status.h"
#include "daemon/status/terminal.h"
#include "daemon/worker/process.h"

#define FILE_NAME "sockfront.conf"
#define TURN_MOST (64 * 1024)

static char directory[] = "/tmp/sf-page-XXXXXX";
static struct process process;
static struct status status_of_process = { .process = &process };

/* ---- time ---- */

/* How long a look at the clock takes: on a machine that is fast, and on one that is slow. */
static const uint64_t paces_ns[] = { 0, 1000000 };
#define N_PACES (sizeof(paces_ns) / sizeof(*paces_ns))

static uint64_t pace_ns;
static uint64_t now_ns = UINT64_C(5000000000000);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	(void)clock;
	now_ns += pace_ns;
	ret->tv_sec = (time_t)(now_ns / 1000000000);
	ret->tv_nsec = (long)(now_ns % 1000000000);
	return 0;
}

/* ---- configurations ---- */

static void problem_reported(void *data, const struct place *place, const char *message)
{
	(void)data;
	fail_msg("%s:%u: %s", place->file, place->line, message);
}

static void open_generation(const char *text)
{
	const struct generation_source source = { .find = nothing_is_open, .home = &process.loop };
	struct problems problems = { .report = problem_reported };
	FILE *file = fopen(FILE_NAME, "w");
	struct config config;

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	config_init(&config);
	config_load(FILE_NAME, &config, &problems);
	process.generation = generation_open(&config, FILE_NAME, &source, &why);
	config_clear(&config);
	assert_non_null(process.generation);
}

static void close_generation(void)
{
	generation_free(process.generation);
	process.generation = NULL;
}

static void open_proxies(size_t n)
{
	char *text = calloc(n, 128), *end = text;

	assert_non_null(text);
	for (size_t i = 0; i < n; i++)
		end += sprintf(end,
			       "[proxy number-%zu]\nlisten = @%s-%zu\nbackend = 10.0.0.1:%zu\n", i,
			       directory + 5, i, i + 1);
	open_generation(text);
	free(text);
}

/* One proxy, with as many listeners as a process may have descriptors anywhere. */
#define LISTENERS 900

static void open_listeners(void)
{
	char *text = calloc(LISTENERS + 1, 128), *end = text;

	assert_non_null(text);
	end += sprintf(end, "[proxy wide]\nbackend = 10.0.0.1:1\n");
	for (size_t i = 0; i < LISTENERS; i++)
		end += sprintf(end, "listen = @%s-%080zu\n", directory + 5, i);
	open_generation(text);
	free(text);
}

/* ---- answers ---- */

static struct answer {
	const struct answer_route *route;
	void *data;
	const char *type;
	struct evbuffer *all;
	size_t turns;
} answer;

static void begin_answer(const struct answer_route *route)
{
	struct evkeyvalq query = TAILQ_HEAD_INITIALIZER(query);
	const struct answer_request request = { .query = &query };
	int code = 200;

	answer = (struct answer){ .route = route, .all = evbuffer_new() };
	answer.data = route->begin(&status_of_process, &request, &code, &answer.type);
	assert_non_null(answer.data);
	assert_int_equal(code, 200);
}

static bool take_turn(void)
{
	struct evbuffer *piece = evbuffer_new();
	bool is_more = answer.route->more(answer.data, piece);

	assert_true(evbuffer_get_length(piece) <= TURN_MOST);
	evbuffer_add_buffer(answer.all, piece);
	evbuffer_free(piece);
	answer.turns++;
	return is_more;
}

/* The caller frees it. */
static char *end_answer(void)
{
	size_t length = evbuffer_get_length(answer.all);
	char *text = calloc(1, length + 1);

	assert_non_null(text);
	evbuffer_remove(answer.all, text, length);
	evbuffer_free(answer.all);
	answer.route->end(answer.data);
	return text;
}

static char *whole_answer(const struct answer_route *route)
{
	begin_answer(route);
	while (take_turn())
		continue;
	return end_answer();
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	while ((text = strstr(text, part))) {
		text += strlen(part);
		n++;
	}
	return n;
}

/* ---- what is tested ---- */

static void test_page_is_whole_around_its_table(void **state)
{
	char *text;
	size_t length;

	(void)state;
	open_proxies(2);
	text = whole_answer(&page_route);
	length = strlen(text);
	assert_string_equal(answer.type, "text/html; charset=utf-8");
	assert_memory_equal(text, page_before, page_before_size);
	assert_memory_equal(text + length - page_after_size, page_after, page_after_size);
	assert_int_equal(count(text, "</tbody></table>\n</div>"), 1);
	assert_non_null(strstr(text, "<th scope=\"row\">number-1</th>"));
	assert_non_null(strstr(text, "<span class=\"mono\">10.0.0.1:2</span> "
				     "<span class=\"state is-up\"><i></i>up</span>"));
	free(text);
	close_generation();
}

static void test_a_thousand_proxies_take_many_turns(void **state)
{
	(void)state;
	open_proxies(1000);
	for (size_t i = 0; i < N_PACES; i++) {
		char *text;

		pace_ns = paces_ns[i];
		text = whole_answer(&page_route);
		assert_true(answer.turns > 10);
		assert_int_equal(count(text, "<th scope=\"row\">"), 1000);
		free(text);
	}
	pace_ns = 0;
	close_generation();
}

/* take_turn() says how long one may be. */
static void test_one_proxy_with_many_listeners_takes_many_turns(void **state)
{
	static const struct {
		const struct answer_route *route;
		const char *before; /* the name of a listener */
		size_t times;
	} rows[] = {
		{ &page_route, "<li class=\"mono\">@", 1 },
		{ &overview_route, "\"address\":\"@", 1 },
		{ &terminal_route, "\n  < @", 1 },
		{ &metrics_route, ",listener=\"@", 3 },
	};

	(void)state;
	open_listeners();
	for (size_t i = 0; i < N_PACES * sizeof(rows) / sizeof(*rows); i++) {
		size_t row = i / N_PACES;
		char *text;

		pace_ns = paces_ns[i % N_PACES];
		text = whole_answer(rows[row].route);
		assert_true(answer.turns >= 3);
		assert_int_equal(count(text, rows[row].before), LISTENERS * rows[row].times);
		free(text);
	}
	pace_ns = 0;
	close_generation();
}

/* What the events tell, over and over.  The caller frees it. */
static char *overview(uint64_t *hashes, bool is_whole)
{
	struct evbuffer *out = evbuffer_new();
	struct overview *data = overview_begin(&status_of_process, hashes, is_whole);
	char *text;

	assert_non_null(data);
	while (overview_more(data, out))
		continue;
	overview_end(data);
	evbuffer_add(out, "", 1);
	text = strdup((char *)evbuffer_pullup(out, -1));
	evbuffer_free(out);
	return text;
}

static void assert_overview(uint64_t *hashes, bool is_whole, const char *list)
{
	char *text = overview(hashes, is_whole), *begin = strstr(text, "\"proxies\":");

	assert_non_null(begin);
	if (strncmp(begin, list, strlen(list)) != 0)
		fail_msg("%s\n  does not begin with %s", begin, list);
	free(text);
}

static void take_down(size_t proxy)
{
	struct backend *backend = proxy_backend(process.generation->proxies[proxy]);

	for (int i = 0; i < 3; i++)
		backend_note_failure(backend, backend_server(backend, 0), "refused");
	backend_unref(backend);
}

static void test_proxies_that_have_not_changed_are_left_out(void **state)
{
	uint64_t hashes[3] = { 0 };
	char *text;

	(void)state;
	open_proxies(3);
	text = overview(hashes, true);
	assert_int_equal(count(text, "\"name\":\"number-"), 3);
	assert_int_equal(count(text, "},{\"name\":"), 2);
	free(text);
	assert_overview(hashes, false, "\"proxies\":[],");
	take_down(1);
	assert_overview(hashes, false, "\"proxies\":[{\"name\":\"number-1\",");
	assert_overview(hashes, false, "\"proxies\":[],");
	close_generation();
}

/* It is put together over several turns. */
static void test_one_with_many_listeners_is_left_out_too(void **state)
{
	uint64_t hashes[1] = { 0 };
	char *told, *asked;

	(void)state;
	open_listeners();
	told = overview(hashes, true);
	asked = whole_answer(&overview_route);
	assert_string_equal(strstr(told, "\"proxies\":"), strstr(asked, "\"proxies\":"));
	free(told);
	free(asked);
	assert_overview(hashes, false, "\"proxies\":[],");
	take_down(0);
	assert_overview(hashes, false, "\"proxies\":[{\"name\":\"wide\",");
	close_generation();
}

static void test_reload_between_two_turns_is_survived(void **state)
{
	char *text;

	(void)state;
	open_proxies(500);
	begin_answer(&page_route);
	take_turn();
	take_turn();
	close_generation();
	open_generation("[proxy other]\nlisten = ./other.sock\nbackend = 10.0.0.1:1\n");
	while (take_turn())
		continue;
	text = end_answer();
	assert_int_equal(count(text, "</tbody></table>\n</div>"), 1);
	assert_int_equal(count(text, "<th scope=\"row\">"), 500);
	free(text);
	close_generation();
}

static void test_names_are_text(void **state)
{
	char *text;

	(void)state;
	open_generation("[proxy web]\nlisten = ./<b>&'\".sock\n"
			"backend = /run/<img\xff>.sock\nbackend = 10.0.0.1:1 backup\n");
	text = whole_answer(&page_route);
	assert_non_null(strstr(text, "<th scope=\"row\">web</th>"));
	assert_non_null(strstr(text, "./&lt;b&gt;&amp;&#39;&quot;.sock"));
	assert_non_null(strstr(text, "/run/&lt;img\xef\xbf\xbd&gt;.sock"));
	assert_int_equal(count(text, "<span class=\"tag\">backup</span>"), 1);
	free(text);
	close_generation();
}

static void test_text_inside_markup(void **state)
{
	static const struct {
		const char *text, *markup;
	} rows[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "<a href='x'>\"&amp;\"", "&lt;a href=&#39;x&#39;&gt;&quot;&amp;amp;&quot;" },
		{ "gr\xc3\xbc\xc3\x9f \xf0\x9f\x94\x8c", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x94\x8c" },
		{ "\xc3<", "\xef\xbf\xbd&lt;" },
		{ "\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "a\nb\x7f\x1b", "a\xef\xbf\xbd"
				  "b\xef\xbf\xbd\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct evbuffer *out = evbuffer_new();

		markup_add_text(out, rows[i].text);
		evbuffer_add(out, "", 1);
		assert_string_equal((char *)evbuffer_pullup(out, -1), rows[i].markup);
		evbuffer_free(out);
	}
}

static void test_policy_allows_one_script_and_one_style(void **state)
{
	(void)state;
	assert_ptr_equal(page_route.policy, page_policy);
	assert_int_equal(count(page_policy, "'sha256-"), 2);
	assert_null(strstr(page_policy, "unsafe"));
	assert_null(strstr(page_policy, "http"));
}

static int setup(void **state)
{
	(void)state;
	process.loop.base = event_base_new();
	return mkdtemp(directory) && chdir(directory) == 0 && process.loop.base &&
			       mailbox_open(&process.loop.mailbox, process.loop.base) == 0
		       ? 0
		       : -1;
}

static int teardown(void **state)
{
	(void)state;
	mailbox_close(&process.loop.mailbox);
	event_base_free(process.loop.base);
	unlink(FILE_NAME);
	return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(test_page_is_whole_around_its_table),
		counted(test_a_thousand_proxies_take_many_turns),
		counted(test_one_proxy_with_many_listeners_takes_many_turns),
		counted(test_proxies_that_have_not_changed_are_left_out),
		counted(test_one_with_many_listeners_is_left_out_too),
		counted(test_reload_between_two_turns_is_survived),
		counted(test_names_are_text),
		cmocka_unit_test(test_text_inside_markup),
		cmocka_unit_test(test_policy_allows_one_script_and_one_style),
	};

	return cmocka_run_group_tests_name("answers", tests, setup, teardown);
}
