/* SPDX-License-Identifier: MIT */
/*
 * Counters in a memory file: see counters.h.
 *
 *	header | record | record | ...
 *	record: its head, the name, a row for the past, a row for each thread
 *
 * The file is as large as it may ever become from the start, without memory behind what was
 * never touched, so that nothing in it ever moves.  Only its own process writes to a file,
 * and holds a lock on it as long as it lives.
 */
#include "daemon/base/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE  ((size_t)(sizeof(void *) > 4 ? 256 : 64) << 20)
#define CACHE_LINE 64
#define MAGIC      "sockfront counters 1"

/* The row of what processes have counted that have ended. */
#define ROW_PAST 0
#define ROW_MAIN 1

struct header {
	char magic[32];
	uint32_t n_rows;
	_Atomic uint64_t used; /* bytes, of whole records */
};

struct record {
	uint32_t size; /* of all of it */
	uint32_t n, stride;
	atomic_uint is_free;
	uint64_t next_free; /* where the next one lies that is; 0: this is the last */
	char name[];        /* NUL at its end; the rows begin at a cache line */
};

/* One that this process reads, or its own. */
struct file {
	int fd;
	char *bytes;
	size_t size;
};

/* That of a process before this one. */
struct other {
	struct file file;
	void *records;  /* tsearch's, by name */
	size_t indexed; /* so far */
};

/* The free records of one size. */
struct free_list {
	size_t size;
	uint64_t first; /* where it lies; 0: there is none */
};

/* A set, and where it lies. */
struct kept {
	struct counters set;
	struct record *record;
	struct free_list *free_list; /* on which that will be; borrowed */
};

_Thread_local unsigned int counters_row = ROW_MAIN;

static struct {
	pthread_mutex_t lock; /* guards what follows, but for the files of others */
	struct file own;
	void *sets;       /* tsearch's, of struct kept, by name */
	void *free_lists; /* tsearch's, by size; owned: there are as many as there have been sizes
			   */
	bool is_passed;   /* somebody else reads it: no record gets another name */
	/* The main thread's: */
	struct other others[COUNTERS_FILES_MAX];
	unsigned int n_others;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .own.fd = -1 };

static size_t round_up(size_t size)
{
	return (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static struct header *header_of(const struct file *file)
{
	return (struct header *)file->bytes;
}

static size_t rows_offset(size_t name_length)
{
	return round_up(offsetof(struct record, name) + name_length + 1);
}

static _Atomic uint64_t *rows_of(struct record *record)
{
	return (_Atomic uint64_t *)((char *)record + rows_offset(strlen(record->name)));
}

static int compare_records(const void *a, const void *b)
{
	const struct record *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* ---- the file ---- */

static void file_close(struct file *file)
{
	if (file->bytes)
		munmap(file->bytes, file->size);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct file){ .fd = -1 };
}

static int file_map(struct file *file, int protection)
{
	void *bytes = mmap(NULL, file->size, protection, MAP_SHARED | MAP_NORESERVE, file->fd, 0);

	if (bytes == MAP_FAILED)
		return -ENOMEM;
	file->bytes = bytes;
	return 0;
}

/* A file that is larger than the limit would be answered with a deadly signal. */
static size_t size_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < FILE_SIZE)
		return (size_t)limit.rlim_cur / CACHE_LINE * CACHE_LINE;
	return FILE_SIZE;
}

/* Held until the process ends: whoever reads the file learns by it whether that lives. */
static int hold_lock(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

static bool is_held(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static int file_make(struct file *file)
{
	*file = (struct file){ .size = size_allowed() };
	file->fd = memfd_create("sockfront-counters", MFD_CLOEXEC);
	if (file->fd < 0)
		return -errno;
	if (file->size < CACHE_LINE || ftruncate(file->fd, (off_t)file->size) < 0)
		return -EFBIG;
	return file_map(file, PROT_READ | PROT_WRITE);
}

static void leave_alone(void *record)
{
	(void)record;
}

static void other_close(struct other *other)
{
	tdestroy(other->records, leave_alone);
	file_close(&other->file);
}

int counters_open(unsigned int n_workers)
{
	struct header *header;
	int r;

	if (all.own.bytes)
		return 0;
	r = file_make(&all.own);
	if (r == 0)
		r = hold_lock(all.own.fd);
	header = header_of(&all.own);
	if (r < 0 || !header) {
		file_close(&all.own);
		return r;
	}
	memcpy(header->magic, MAGIC, sizeof(MAGIC));
	header->n_rows = ROW_MAIN + 1 + n_workers;
	atomic_init(&header->used, round_up(sizeof(*header)));
	return 0;
}

void counters_close(void)
{
	while (all.n_others > 0)
		other_close(&all.others[--all.n_others]);
	file_close(&all.own);
	tdestroy(all.free_lists, free);
	all.free_lists = NULL;
	all.is_passed = false;
}

void counters_use_row(unsigned int index)
{
	counters_row = ROW_MAIN + 1 + index;
}

void counters_use_main_row(void)
{
	counters_row = ROW_MAIN;
}

/* ---- records ---- */

static struct record *record_at(const struct file *file, uint64_t offset)
{
	return (struct record *)(void *)(file->bytes + (size_t)offset);
}

static size_t record_size(const char *name, unsigned int stride)
{
	return rows_offset(strlen(name)) +
	       (size_t)header_of(&all.own)->n_rows * stride * sizeof(uint64_t);
}

/* NULL: the file is full. */
static struct record *record_append(const char *name, unsigned int n, unsigned int stride)
{
	struct header *header = header_of(&all.own);
	uint64_t used = atomic_load(&header->used);
	size_t size = record_size(name, stride);
	struct record *record;

	if (size > all.own.size - used)
		return NULL;
	record = record_at(&all.own, used);
	record->size = (uint32_t)size;
	record->n = n;
	record->stride = stride;
	strcpy(record->name, name);
	atomic_store(&header->used, used + size);
	return record;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct free_list *x = a, *y = b;

	return (x->size > y->size) - (x->size < y->size);
}

static struct free_list *free_list_new(size_t size)
{
	struct free_list *list = calloc(1, sizeof(*list));

	if (!list)
		return NULL;
	list->size = size;
	if (tsearch(list, &all.free_lists, compare_sizes))
		return list;
	free(list);
	return NULL;
}

/* NULL: out of memory. */
static struct free_list *free_list_of(size_t size)
{
	const struct free_list wanted = { .size = size };
	void *node = tfind(&wanted, &all.free_lists, compare_sizes);

	return node ? *(struct free_list **)node : free_list_new(size);
}

/* One whose name another one may take. */
static struct record *take_free(struct free_list *list)
{
	struct record *record = list->first > 0 ? record_at(&all.own, list->first) : NULL;

	if (record)
		list->first = record->next_free;
	return record;
}

static void leave_free(struct free_list *list, struct record *record)
{
	atomic_store(&record->is_free, 1);
	record->next_free = list->first;
	list->first = (uint64_t)((char *)record - all.own.bytes);
}

static void reuse(struct record *record, const char *name, unsigned int n, unsigned int stride)
{
	memset(record->name, 0, record->size - offsetof(struct record, name));
	record->n = n;
	record->stride = stride;
	strcpy(record->name, name);
	atomic_store(&record->is_free, 0);
}

static struct record *record_new(struct free_list *list, const char *name, unsigned int n,
				 unsigned int stride)
{
	struct record *record = all.is_passed ? NULL : take_free(list);

	if (!record)
		return record_append(name, n, stride);
	reuse(record, name, n, stride);
	return record;
}

static struct kept *kept_new(const char *name, unsigned int n)
{
	unsigned int stride = (unsigned int)(round_up(n * sizeof(uint64_t)) / sizeof(uint64_t));
	struct kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	kept->free_list = free_list_of(record_size(name, stride));
	if (kept->free_list)
		kept->record = record_new(kept->free_list, name, n, stride);
	if (!kept->record) {
		free(kept);
		return NULL;
	}
	kept->set = (struct counters){
		.name = kept->record->name,
		.n = n,
		.stride = stride,
		.rows = rows_of(kept->record),
	};
	return kept;
}

static void kept_free(struct kept *kept)
{
	leave_free(kept->free_list, kept->record);
	free(kept);
}

/* ---- sets by their names ---- */

static int compare(const void *a, const void *b)
{
	const struct counters *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static struct counters *find_or_make(const char *name, unsigned int n)
{
	const struct counters wanted = { .name = name };
	void *node = tfind(&wanted, &all.sets, compare);
	struct kept *kept;

	if (node)
		return *(struct counters **)node;
	kept = kept_new(name, n);
	if (!kept)
		return NULL;
	if (!tsearch(&kept->set, &all.sets, compare)) {
		kept_free(kept);
		return NULL;
	}
	return &kept->set;
}

static struct counters *take(const char *name, unsigned int n)
{
	struct counters *set;

	pthread_mutex_lock(&all.lock);
	set = find_or_make(name, n);
	if (set)
		set->refs++;
	pthread_mutex_unlock(&all.lock);
	return set;
}

struct counters *counters_get(const char *kind, const char *of, const char *part, unsigned int n)
{
	size_t size = strlen(kind) + strlen(of) + strlen(part) + 3;
	struct counters *set;
	char *name;

	if (!all.own.bytes)
		return NULL;
	name = malloc(size);
	if (!name)
		return NULL;
	snprintf(name, size, "%s %s %s", kind, of, part);
	set = take(name, n);
	free(name);
	return set;
}

void counters_put(struct counters *set)
{
	struct kept *kept = (struct kept *)set;

	if (!set)
		return;
	pthread_mutex_lock(&all.lock);
	if (--set->refs == 0) {
		tdelete(set, &all.sets, compare);
		kept_free(kept);
	}
	pthread_mutex_unlock(&all.lock);
}

/* ---- sums ---- */

static uint64_t sum_rows(const _Atomic uint64_t *rows, unsigned int n_rows, unsigned int stride,
			 unsigned int index)
{
	uint64_t sum = 0;

	for (unsigned int row = 0; row < n_rows; row++)
		sum += atomic_load_explicit(&rows[(size_t)row * stride + index],
					    memory_order_relaxed);
	return sum;
}

/* Whether all of the record at @offset lies in the file, and is one. */
static bool is_whole(const struct file *file, size_t offset, uint64_t used)
{
	const struct record *record = record_at(file, offset);

	return used - offset > sizeof(*record) && record->size > sizeof(*record) &&
	       record->size <= used - offset &&
	       rows_offset(strnlen(record->name, record->size - sizeof(*record))) +
			       (size_t)header_of(file)->n_rows * record->stride *
				       sizeof(uint64_t) ==
		       record->size;
}

/* Records that were added since. */
static void other_index(struct other *other)
{
	uint64_t used = atomic_load(&header_of(&other->file)->used);

	if (used > other->file.size)
		return;
	while (other->indexed < used && is_whole(&other->file, other->indexed, used)) {
		struct record *record = record_at(&other->file, other->indexed);

		if (!atomic_load(&record->is_free))
			(void)tsearch(record, &other->records, compare_records);
		other->indexed += record->size;
	}
}

/* 0 as well if that process counts no such set. */
static uint64_t other_sum(const struct other *other, const struct counters *set, unsigned int index)
{
	const struct record *wanted = ((const struct kept *)set)->record;
	void *node = tfind(wanted, &other->records, compare_records);
	struct record *record = node ? *(struct record **)node : NULL;

	if (!record || record->n != set->n)
		return 0;
	return sum_rows(rows_of(record), header_of(&other->file)->n_rows, record->stride, index);
}

uint64_t counters_sum_draining(const struct counters *set, unsigned int index)
{
	uint64_t sum = 0;

	if (!set)
		return 0;
	for (unsigned int i = 0; i < all.n_others; i++)
		sum += other_sum(&all.others[i], set, index);
	return sum;
}

uint64_t counters_sum(const struct counters *set, unsigned int index)
{
	if (!set)
		return 0;
	return sum_rows(set->rows, header_of(&all.own)->n_rows, set->stride, index) +
	       counters_sum_draining(set, index);
}

/* ---- upgrades ---- */

unsigned int counters_files(int fds[COUNTERS_FILES_MAX])
{
	unsigned int n = 0;

	if (!all.own.bytes)
		return 0;
	pthread_mutex_lock(&all.lock);
	all.is_passed = true;
	pthread_mutex_unlock(&all.lock);
	fds[n++] = all.own.fd;
	for (unsigned int i = 0; i < all.n_others && n < COUNTERS_FILES_MAX; i++)
		fds[n++] = all.others[i].file.fd;
	return n;
}

void counters_take_back(void)
{
	pthread_mutex_lock(&all.lock);
	all.is_passed = false;
	pthread_mutex_unlock(&all.lock);
}

static bool is_one_of_ours(const struct file *file)
{
	const struct header *header = header_of(file);

	return strncmp(header->magic, MAGIC, sizeof(header->magic)) == 0 &&
	       header->n_rows > ROW_MAIN && header->n_rows < UINT16_MAX;
}

static bool file_open(struct file *file, int fd)
{
	struct stat st;

	*file = (struct file){ .fd = fd };
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(struct header))
		return false;
	file->size = (size_t)st.st_size;
	if (file_map(file, PROT_READ) < 0)
		return false;
	return is_one_of_ours(file);
}

bool counters_follow(int fd)
{
	struct other other = { .indexed = round_up(sizeof(struct header)) };

	if (!file_open(&other.file, fd) || !all.own.bytes || all.n_others == COUNTERS_FILES_MAX) {
		file_close(&other.file);
		return false;
	}
	other_index(&other);
	all.others[all.n_others++] = other;
	return true;
}

/* What it has counted is ours from now on. */
static void fold(const struct other *other, struct counters *set)
{
	for (unsigned int i = 0; i < set->n; i++)
		atomic_fetch_add_explicit(&set->rows[(size_t)ROW_PAST * set->stride + i],
					  other_sum(other, set, i), memory_order_relaxed);
}

static void fold_node(const void *node, VISIT visit, void *other)
{
	if (visit == postorder || visit == leaf)
		fold(other, *(struct counters *const *)node);
}

static void other_ended(unsigned int index)
{
	pthread_mutex_lock(&all.lock);
	twalk_r(all.sets, fold_node, &all.others[index]);
	pthread_mutex_unlock(&all.lock);
	other_close(&all.others[index]);
	all.others[index] = all.others[--all.n_others];
}

unsigned int counters_look_after(void)
{
	for (unsigned int i = all.n_others; i-- > 0;) {
		bool lives = is_held(all.others[i].file.fd);

		other_index(&all.others[i]);
		/* Two that add the same to what they have counted would have it twice. */
		if (!lives && !all.is_passed)
			other_ended(i);
	}
	return all.n_others;
}
