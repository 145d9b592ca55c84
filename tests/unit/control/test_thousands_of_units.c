/* SPDX-License-Identifier: MIT */
/*
 * Thousands of proxies with a unit each: the work grows as their number does, and not as its
 * square.  Counted in comparisons of names, so that it holds on any machine; what stands in for
 * libsystemd keeps the bus from ever being there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-login.h>

#include "daemon/backend/backend.h"
#include "daemon/backend/unit.h"
#include "daemon/base/log.h"
#include "daemon/base/loop.h"
#include "daemon/control/on_demand.h"
#include "daemon/proxy/generation.h"

#define FEW  500
#define MANY 2000

static size_t compared; /* names with each other */
static size_t looked;   /* at a unit, by D-Bus */
static sd_bus_message_handler_t job_removed;
static char job_of[UNIT_NAME_SIZE]; /* the unit of the job that the next signal tells of */
static int ends[2];                 /* a pipe: the first is the bus's descriptor */

int __real_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b);
int __wrap_strcmp(const char *a, const char *b)
{
	compared++;
	return __real_strcmp(a, b);
}

/* ---- what stands in for libsystemd ---- */

int __wrap_sd_pid_get_user_unit(pid_t pid, char **ret);
int __wrap_sd_pid_get_user_unit(pid_t pid, char **ret)
{
	(void)pid;
	(void)ret;
	return -1;
}

int __wrap_sd_bus_open_system(sd_bus **ret);
int __wrap_sd_bus_open_system(sd_bus **ret)
{
	*ret = (sd_bus *)ends;
	return 0;
}

sd_bus *__wrap_sd_bus_unref(sd_bus *bus);
sd_bus *__wrap_sd_bus_unref(sd_bus *bus)
{
	(void)bus;
	return NULL;
}

void __wrap_sd_bus_close(sd_bus *bus);
void __wrap_sd_bus_close(sd_bus *bus)
{
	(void)bus;
}

int __wrap_sd_bus_get_fd(sd_bus *bus);
int __wrap_sd_bus_get_fd(sd_bus *bus)
{
	(void)bus;
	return ends[0];
}

int __wrap_sd_bus_get_events(sd_bus *bus);
int __wrap_sd_bus_get_events(sd_bus *bus)
{
	(void)bus;
	return 0;
}

int __wrap_sd_bus_get_timeout(sd_bus *bus, uint64_t *ret);
int __wrap_sd_bus_get_timeout(sd_bus *bus, uint64_t *ret)
{
	(void)bus;
	*ret = UINT64_MAX;
	return 0;
}

int __wrap_sd_bus_match_signal_async(sd_bus *bus, sd_bus_slot **ret, const char *sender,
				     const char *path, const char *interface, const char *member,
				     sd_bus_message_handler_t match,
				     sd_bus_message_handler_t installed, void *data);
int __wrap_sd_bus_match_signal_async(sd_bus *bus, sd_bus_slot **ret, const char *sender,
				     const char *path, const char *interface, const char *member,
				     sd_bus_message_handler_t match,
				     sd_bus_message_handler_t installed, void *data)
{
	(void)bus;
	(void)ret;
	(void)sender;
	(void)path;
	(void)interface;
	(void)installed;
	(void)data;
	if (__real_strcmp(member, "JobRemoved") == 0)
		job_removed = match;
	return 0;
}

int __wrap_sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **slot, const char *destination,
				    const char *path, const char *interface, const char *member,
				    sd_bus_message_handler_t answered, void *data,
				    const char *types, ...);
int __wrap_sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **slot, const char *destination,
				    const char *path, const char *interface, const char *member,
				    sd_bus_message_handler_t answered, void *data,
				    const char *types, ...)
{
	(void)bus;
	(void)slot;
	(void)destination;
	(void)path;
	(void)interface;
	(void)answered;
	(void)data;
	(void)types;
	looked += __real_strcmp(member, "GetAll") == 0;
	return 0;
}

/* Of the signal, "uoss". */
int __wrap_sd_bus_message_read(sd_bus_message *message, const char *types, ...);
int __wrap_sd_bus_message_read(sd_bus_message *message, const char *types, ...)
{
	va_list arguments;

	(void)message;
	va_start(arguments, types);
	*va_arg(arguments, uint32_t *) = 1;
	*va_arg(arguments, const char **) = "/job";
	*va_arg(arguments, const char **) = job_of;
	*va_arg(arguments, const char **) = "done";
	va_end(arguments);
	return 1;
}

/* ---- proxies ---- */

static void open_backends(struct generation *generation, struct loop_guard *guard)
{
	struct server_config server;
	struct sfront_error err;

	assert_int_equal(server_parse("127.0.0.1:1", &server, &err), 0);
	for (size_t i = 0; i < generation->n_proxies; i++) {
		const struct proxy_config config = { .servers = &server, .n_servers = 1 };

		generation->proxies[i] = calloc(1, sizeof(struct proxy));
		assert_non_null(generation->proxies[i]);
		generation->proxies[i]->backend = backend_new(&config, guard, &err);
		assert_non_null(generation->proxies[i]->backend);
	}
}

static void name_unit(size_t i, char *buf)
{
	snprintf(buf, UNIT_NAME_SIZE, "app%zu.service", i);
}

static void close_backends(struct generation *generation)
{
	for (size_t i = 0; i < generation->n_proxies; i++) {
		backend_unref(generation->proxies[i]->backend);
		free(generation->proxies[i]);
	}
	free(generation->proxies);
}

/* What the process before has started: all of them. */
static char *all_started(size_t n)
{
	char name[UNIT_NAME_SIZE], *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_non_null(stream);
	for (size_t i = 0; i < n; i++) {
		name_unit(i, name);
		fprintf(stream, "%s a 1\n", name);
	}
	assert_int_equal(fclose(stream), 0);
	return text;
}

/* ---- steps; each returns how many comparisons it took ---- */

static size_t get_units(struct generation *generation)
{
	static struct loop loop;
	char name[UNIT_NAME_SIZE];

	compared = 0;
	for (size_t i = 0; i < generation->n_proxies; i++) {
		struct unit *unit;

		name_unit(i, name);
		unit = unit_get(name, &loop);
		assert_non_null(unit);
		backend_set_unit(generation->proxies[i]->backend, unit);
	}
	return compared;
}

static size_t take_over(struct generation *generation)
{
	char *text = all_started(generation->n_proxies);

	compared = looked = 0;
	on_demand_configure(generation);
	on_demand_take_over(text);
	free(text);
	assert_int_equal(looked, 0); /* there is no bus yet, which will say so itself */
	return compared;
}

static size_t hear_of_jobs(struct generation *generation)
{
	compared = looked = 0;
	assert_non_null(job_removed);
	for (size_t i = 0; i < generation->n_proxies; i++) {
		name_unit(i, job_of);
		assert_int_equal(job_removed(NULL, NULL, NULL), 0);
	}
	snprintf(job_of, sizeof(job_of), "another.service");
	assert_int_equal(job_removed(NULL, NULL, NULL), 0);
	assert_int_equal(looked, generation->n_proxies);
	return compared;
}

static size_t forget(struct generation *generation)
{
	compared = 0;
	on_demand_clear();
	close_backends(generation);
	return compared;
}

#define STEPS 4

static void measure(size_t n, size_t ret[STEPS])
{
	struct event_base *base = event_base_new();
	struct loop_guard *guard = loop_guard_new();
	struct generation generation = { .n_proxies = n };

	assert_int_equal(pipe(ends), 0);
	generation.proxies = calloc(n, sizeof(struct proxy *));
	assert_true(base && guard && generation.proxies);
	open_backends(&generation, guard);
	on_demand_start(base);
	ret[0] = get_units(&generation);
	ret[1] = take_over(&generation);
	ret[2] = hear_of_jobs(&generation);
	ret[3] = forget(&generation);
	loop_guard_unref(guard);
	event_base_free(base);
	close(ends[0]);
	close(ends[1]);
}

static void test_work_grows_with_their_number(void **state)
{
	static const char *const steps[STEPS] = { "to get units", "to take them over",
						  "to hear of jobs", "to forget them" };
	size_t few[STEPS], many[STEPS];

	(void)state;
	log_set_level(LOG_ERR);
	measure(FEW, few);
	measure(MANY, many);
	for (size_t i = 0; i < STEPS; i++) {
		assert_true(few[i] >= FEW);
		if (many[i] > 2 * MANY / FEW * few[i])
			fail_msg("%s: %zu comparisons for %d, %zu for %d", steps[i], few[i], FEW,
				 many[i], MANY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_work_grows_with_their_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
