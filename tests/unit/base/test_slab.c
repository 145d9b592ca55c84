/* SPDX-License-Identifier: MIT */
/*
 * The slab: objects do not overlap, come zeroed, and leave no memory behind.
 */
#include "tests/unit/descriptors.h"

#include <stdbool.h>
#include <stdlib.h>

#include "daemon/base/slab.h"

#define OBJECT 440
#define MANY   1000

static void *take(struct slab *slab)
{
	assert_true(slab_ready(slab));
	return slab_take(slab);
}

static void is_zeroed_and_apart(void **state)
{
	static const unsigned char zero[OBJECT];
	unsigned char *objects[MANY];
	struct slab slab;

	(void)state;
	slab_init(&slab, OBJECT);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < MANY; i++) {
			objects[i] = take(&slab);
			assert_memory_equal(objects[i], zero, OBJECT);
			memset(objects[i], (int)(i % 255) + 1, OBJECT);
		}
		for (size_t i = 0; i < MANY; i++) {
			for (size_t j = 0; j < OBJECT; j++)
				assert_int_equal(objects[i][j], i % 255 + 1);
			slab_give(&slab, objects[i]);
		}
	}
	slab_clear(&slab);
}

/* In any order; what is left at the end is what valgrind would show. */
static void takes_back_in_any_order(void **state)
{
	void *objects[MANY] = { NULL };
	struct slab slab;
	unsigned int random = 1;

	(void)state;
	slab_init(&slab, OBJECT);
	for (int i = 0; i < 100000; i++) {
		size_t at;

		random = random * 1103515245 + 12345;
		at = (random >> 8) % MANY;
		if (objects[at] == NULL) {
			objects[at] = take(&slab);
		} else {
			slab_give(&slab, objects[at]);
			objects[at] = NULL;
		}
	}
	for (size_t i = 0; i < MANY; i++)
		if (objects[i] != NULL)
			slab_give(&slab, objects[i]);
	slab_clear(&slab);
}

static void made_ready_and_never_used(void **state)
{
	struct slab slab;

	(void)state;
	slab_init(&slab, OBJECT);
	assert_true(slab_ready(&slab));
	assert_true(slab_ready(&slab));
	slab_clear(&slab);
}

static struct slab visited_slab;
static size_t n_visits;
static bool gives_back;

static void visit(void *object)
{
	size_t *count = object;

	n_visits++;
	if (gives_back)
		slab_give(&visited_slab, object);
	else
		++*count;
}

/* Some twice, none not at all; each may be given back meanwhile. */
static void visits_each(void **state)
{
	enum { N = 1000 };
	static size_t *objects[N];

	(void)state;
	slab_init(&visited_slab, 400);
	gives_back = false;
	for (size_t i = 0; i < N; i++) {
		assert_true(slab_ready(&visited_slab));
		objects[i] = slab_take(&visited_slab);
	}
	for (size_t i = 0; i < N; i += 3)
		slab_give(&visited_slab, objects[i]);
	n_visits = 0;
	slab_each(&visited_slab, visit);
	assert_int_equal(n_visits, N - (N + 2) / 3);
	for (size_t i = 0; i < N; i++)
		if (i % 3 != 0)
			assert_int_equal(*objects[i], 1);
	n_visits = 0;
	gives_back = true;
	slab_each(&visited_slab, visit);
	assert_int_equal(n_visits, N - (N + 2) / 3);
	assert_null(slab_any(&visited_slab));
	slab_each(&visited_slab, visit);
	assert_int_equal(n_visits, N - (N + 2) / 3);
	slab_clear(&visited_slab);
}

static void visit_on_tour(void *object, void *data)
{
	(*(int *)object)++;
	(*(size_t *)data)++;
}

/* Between two pieces of a tour, chunks fill up, empty and are freed. */
static void tours_in_pieces(void **state)
{
	enum { N = 1000 };
	int *objects[N];
	struct slab slab;
	size_t n = 0;

	(void)state;
	slab_init(&slab, OBJECT);
	for (size_t i = 0; i < N; i++)
		objects[i] = take(&slab);
	for (int round = 1; round <= 3; round++) {
		size_t pieces = 0;

		slab_tour_begin(&slab);
		while (slab_tour_go_on(&slab, visit_on_tour, &n)) {
			int *passing[200];

			for (size_t i = 0; i < 200; i++)
				passing[i] = take(&slab);
			for (size_t i = 0; i < 200; i++)
				slab_give(&slab, passing[i]);
			pieces++;
		}
		assert_in_range(pieces, 3, N);
		for (size_t i = 0; i < N; i++)
			assert_int_equal(*objects[i], round);
	}
	assert_true(n >= 3 * (size_t)N);
	for (size_t i = 0; i < N; i++)
		slab_give(&slab, objects[i]);
	slab_clear(&slab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		counted(is_zeroed_and_apart),       counted(takes_back_in_any_order),
		counted(made_ready_and_never_used), counted(visits_each),
		counted(tours_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
