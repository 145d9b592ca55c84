/* SPDX-License-Identifier: MIT */
/*
 * Counters: each thread counts in a row of its own, names find their sets again, and what a
 * process has counted is its successor's.
 */
#include "tests/unit/descriptors.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/counters.h"

#define WORKERS 4
#define TIMES   100000

static void is_nothing_until_opened(void **state)
{
	(void)state;
	assert_null(counters_get("proxy", "web", "", 3));
	counters_add(NULL, 2, 1);
	assert_int_equal(counters_sum(NULL, 2), 0);
	counters_put(NULL);
	assert_int_equal(counters_look_after(), 0);
}

static void *count(void *arg)
{
	struct counters *set = counters_get("set", "shared", "", 9);

	counters_use_row((unsigned int)(size_t)arg);
	for (int i = 0; i < TIMES; i++)
		counters_add(set, 8, 2);
	counters_put(set);
	return NULL;
}

static void loses_no_count_of_any_thread(void **state)
{
	pthread_t threads[WORKERS];
	struct counters *set;

	(void)state;
	assert_int_equal(counters_open(WORKERS), 0);
	set = counters_get("set", "shared", "", 9);
	for (size_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, (void *)i), 0);
	for (size_t i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	counters_add(set, 8, 1);
	assert_int_equal(counters_sum(set, 8), 2 * WORKERS * TIMES + 1);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(counters_sum(set, i), 0);
	counters_put(set);
	counters_close();
}

static void finds_a_set_by_its_name(void **state)
{
	struct counters *a, *b, *again;

	(void)state;
	assert_int_equal(counters_open(1), 0);
	a = counters_get("set", "a", "", 5);
	b = counters_get("set", "b", "", 5);
	assert_ptr_not_equal(a, b);
	counters_add(a, 4, 7);
	again = counters_get("set", "a", "", 5);
	assert_ptr_equal(a, again);
	counters_put(again);
	assert_int_equal(counters_sum(a, 4), 7);
	assert_int_equal(counters_sum(b, 4), 0);
	counters_put(a);
	counters_put(b);
	counters_close();
}

/* A name that nobody has any more is forgotten, and its place is another's. */
static void forgets_what_nobody_has(void **state)
{
	char name[32];

	(void)state;
	assert_int_equal(counters_open(1), 0);
	for (int i = 0; i < 1000000; i++) {
		struct counters *set;

		snprintf(name, sizeof(name), "server %06d", i);
		set = counters_get("set", name, "", 20);
		assert_non_null(set);
		assert_int_equal(counters_sum(set, 19), 0);
		counters_add(set, 19, 1);
		counters_put(set);
	}
	counters_close();
}

static void says_when_there_is_no_room(void **state)
{
	enum { MANY = 200000 };
	struct counters **sets = calloc(MANY, sizeof(struct counters *));
	char name[32];
	int n = 0;

	(void)state;
	assert_int_equal(counters_open(64), 0);
	for (; n < MANY; n++) {
		snprintf(name, sizeof(name), "%d", n);
		sets[n] = counters_get("set", name, "", 64);
		if (!sets[n])
			break;
	}
	assert_in_range(n, 1000, MANY - 1);
	while (n > 0)
		counters_put(sets[--n]);
	free(sets);
	counters_close();
}

/* ---- an upgrade ---- */

struct old_process {
	pid_t pid;
	int go, done;
};

static void say(int fd)
{
	assert_int_equal(write(fd, "x", 1), 1);
}

static void hear(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 1);
}

/* Counts 5, passes its file on, counts 3 more and a set that it did not have, and waits. */
static void be_old(int go, int done)
{
	int fds[COUNTERS_FILES_MAX];
	struct counters *web, *late;

	if (counters_open(2) < 0)
		_exit(1);
	web = counters_get("set", "web", "", 4);
	counters_use_row(1);
	counters_add(web, 3, 5);
	if (counters_files(fds) != 1)
		_exit(2);
	say(done);
	hear(go);
	counters_add(web, 3, 3);
	late = counters_get("set", "late", "", 4);
	counters_add(late, 0, 9);
	say(done);
	hear(go);
	_exit(0);
}

static struct old_process old_process(void)
{
	int go[2], done[2];
	struct old_process old;

	assert_int_equal(pipe(go) | pipe(done), 0);
	old.pid = fork();
	assert_true(old.pid >= 0);
	if (old.pid == 0)
		be_old(go[0], done[1]);
	old.go = go[1];
	old.done = done[0];
	close(go[0]);
	close(done[1]);
	hear(old.done);
	return old;
}

static int borrow_file(const struct old_process *old)
{
	char path[64];
	int fd = -1;

	for (int i = 0; i < 64 && fd < 0; i++) {
		char target[128];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", old->pid, i);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strstr(target, "sockfront-counters"))
			fd = open(path, O_RDWR | O_CLOEXEC);
	}
	assert_true(fd >= 0);
	return fd;
}

static void end(struct old_process *old)
{
	say(old->go);
	assert_int_equal(waitpid(old->pid, NULL, 0), old->pid);
	close(old->go);
	close(old->done);
}

static void goes_on_with_what_was_counted_before(void **state)
{
	struct old_process old = old_process();
	struct counters *web, *late, *other;
	int fds[COUNTERS_FILES_MAX];

	(void)state;
	assert_int_equal(counters_open(3), 0);
	assert_true(counters_follow(borrow_file(&old)));
	web = counters_get("set", "web", "", 4);
	late = counters_get("set", "late", "", 4);
	other = counters_get("set", "other", "", 4);
	counters_add(web, 3, 100);
	assert_int_equal(counters_sum(web, 3), 105);
	assert_int_equal(counters_sum(late, 0), 0);
	assert_int_equal(counters_files(fds), 2);
	say(old.go);
	hear(old.done);
	assert_int_equal(counters_look_after(), 1);
	assert_int_equal(counters_sum(web, 3), 108);
	assert_int_equal(counters_sum_draining(web, 3), 8);
	assert_int_equal(counters_sum(late, 0), 9);
	end(&old);
	/* The next process adds that up. */
	assert_int_equal(counters_look_after(), 1);
	assert_int_equal(counters_sum(web, 3), 108);
	counters_take_back();
	assert_int_equal(counters_look_after(), 0);
	assert_int_equal(counters_sum(web, 3), 108);
	assert_int_equal(counters_sum_draining(web, 3), 0);
	assert_int_equal(counters_sum(late, 0), 9);
	assert_int_equal(counters_sum(other, 0), 0);
	assert_int_equal(counters_files(fds), 1);
	counters_put(web);
	counters_put(late);
	counters_put(other);
	counters_close();
}

static void follows_no_other_file(void **state)
{
	int file = memfd_create("something", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(counters_open(1), 0);
	assert_false(counters_follow(file));
	file = memfd_create("something", MFD_CLOEXEC);
	assert_int_equal(ftruncate(file, 1 << 20), 0);
	assert_false(counters_follow(file));
	assert_false(counters_follow(open("/dev/null", O_RDWR | O_CLOEXEC)));
	counters_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(is_nothing_until_opened),    counted(loses_no_count_of_any_thread),
		counted(finds_a_set_by_its_name),    counted(forgets_what_nobody_has),
		counted(says_when_there_is_no_room), counted(goes_on_with_what_was_counted_before),
		counted(follows_no_other_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
