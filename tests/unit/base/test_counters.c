/* SPDX-License-Identifier: MIT */
/*
 * Counters: each thread counts in a row of its own, names find their sets again, and what a
 * process has counted is its successor's.
 */
#include "tests/unit/sockets.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
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

#define OF_ONE_SIZE 2000

/* There is a cache line more in the record of a set that has it. */
#define LONG_NAME "a name that is longer than all that would fit into one cache line, with ease"

static struct counters *numbered(const char *what, int number)
{
	char name[256];

	snprintf(name, sizeof(name), "%s %06d", what, number);
	return counters_get("set", name, "", 20);
}

/* Makes the whole pages between two sets, which are records alone, may be touched or not. */
static void protect_between(const struct counters *first, const struct counters *last,
			    int protection)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = ((uintptr_t)first->rows + page - 1) / page * page;
	uintptr_t end = (uintptr_t)last->name / page * page;

	CHECK(begin < end);
	CHECK(mprotect((void *)begin, end - begin, protection) == 0);
}

static void get_past_those_of_another_size(void)
{
	struct counters *sets[OF_ONE_SIZE], first, last;

	signal(SIGSEGV, SIG_DFL);
	CHECK(counters_open(1) == 0);
	for (int i = 0; i < OF_ONE_SIZE; i++)
		sets[i] = numbered("short", i);
	first = *sets[0];
	last = *sets[OF_ONE_SIZE - 1];
	for (int i = 0; i < OF_ONE_SIZE; i++)
		counters_put(sets[i]);
	protect_between(&first, &last, PROT_NONE);
	for (int i = 0; i < 10; i++)
		counters_put(numbered(LONG_NAME, i));
	protect_between(&first, &last, PROT_READ | PROT_WRITE);
	counters_close();
}

/* Whoever looks at one of these dies. */
static void looks_at_no_free_record_of_another_size(void **state)
{
	(void)state;
	in_child(get_past_those_of_another_size);
}

/* Whatever was there before, so that a file does not grow from one reload to the next. */
static void sizes_find_their_records_again(void **state)
{
	static const char *const names[] = { "short", LONG_NAME };
	struct counters *sets[2][100];
	const char *places[2];

	(void)state;
	assert_int_equal(counters_open(1), 0);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 100; i++)
			for (int size = 0; size < 2; size++)
				sets[size][i] = numbered(names[size], round * 100 + i);
		for (int size = 0; size < 2; size++) {
			if (round == 0)
				places[size] = sets[size][0]->name;
			assert_ptr_equal(sets[size][round % 2 ? 99 : 0]->name, places[size]);
			for (int i = 0; i < 100; i++)
				counters_put(sets[size][i]);
		}
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
		counted(is_nothing_until_opened),
		counted(loses_no_count_of_any_thread),
		counted(finds_a_set_by_its_name),
		counted(forgets_what_nobody_has),
		counted(looks_at_no_free_record_of_another_size),
		counted(sizes_find_their_records_again),
		counted(says_when_there_is_no_room),
		counted(goes_on_with_what_was_counted_before),
		counted(follows_no_other_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
