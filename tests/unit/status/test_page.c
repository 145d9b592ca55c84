/* SPDX-License-Identifier: MIT */
/*
 * The page as it is sent: whole, in turns that are short, with every name as text.
 */
#include "tests/unit/nothing_is_open.h"
#include "tests/unit/sockets.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/loop.h"
#include "daemon/proxy/generation.h"
#include "daemon/status/markup.h"
#include "daemon/status/page.h"
#include "daemon/status/page_file.h"
#include "daemon/status/status.h"
#include "daemon/worker/process.h"

#define FILE_NAME "sockfront.conf"
#define TURN_MOST (64 * 1024)

static char directory[] = "/tmp/sf-page-XXXXXX";
static struct process process;
static struct status status_of_process = { .process = &process };

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

/* ---- answers ---- */

static struct answer {
	void *data;
	struct evbuffer *all;
	size_t turns;
} answer;

static void begin_answer(void)
{
	const struct answer_request request = { 0 };
	const char *type = NULL;
	int code = 200;

	answer.data = page_route.begin(&status_of_process, &request, &code, &type);
	answer.all = evbuffer_new();
	answer.turns = 0;
	assert_non_null(answer.data);
	assert_int_equal(code, 200);
	assert_string_equal(type, "text/html; charset=utf-8");
}

static bool take_turn(void)
{
	struct evbuffer *piece = evbuffer_new();
	bool is_more = page_route.more(answer.data, piece);

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
	page_route.end(answer.data);
	return text;
}

static char *whole_answer(void)
{
	begin_answer();
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
	text = whole_answer();
	length = strlen(text);
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
	char *text;

	(void)state;
	open_proxies(1000);
	text = whole_answer();
	assert_true(answer.turns > 10);
	assert_int_equal(count(text, "<th scope=\"row\">"), 1000);
	free(text);
	close_generation();
}

static void test_reload_between_two_turns_is_survived(void **state)
{
	char *text;

	(void)state;
	open_proxies(500);
	begin_answer();
	take_turn();
	take_turn();
	close_generation();
	open_proxies(1);
	while (take_turn())
		continue;
	text = end_answer();
	assert_int_equal(count(text, "</tbody></table>\n</div>"), 1);
	free(text);
	close_generation();
}

static void test_names_are_text(void **state)
{
	char *text;

	(void)state;
	open_generation("[proxy web]\nlisten = ./<b>&'\".sock\n"
			"backend = /run/<img\xff>.sock\nbackend = 10.0.0.1:1 backup\n");
	text = whole_answer();
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
		counted(test_reload_between_two_turns_is_survived),
		counted(test_names_are_text),
		cmocka_unit_test(test_text_inside_markup),
		cmocka_unit_test(test_policy_allows_one_script_and_one_style),
	};

	return cmocka_run_group_tests_name("page", tests, setup, teardown);
}
