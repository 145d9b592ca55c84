/* SPDX-License-Identifier: MIT */
/*
 * One stream at a steady pace, and how long each of its pieces is on the way: a sender
 * that stamps each piece, and a receiver that looks at the clock once the last byte of a piece is
 * there.  Both read the same clock, which all namespaces share.
 *
 * Driven by tests/bench/delay.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/address.h"
#include "tests/bench/histogram.h"

#define NS_PER_S   UINT64_C(1000000000)
#define PIECE_MAX  ((size_t)1 << 20)
#define BUFFER     ((size_t)1 << 18)
#define CATCH_UP_S 0.02 /* a sender that was held up for longer starts its pace anew */

/* At the front of every piece. */
struct stamp {
	uint64_t sent_ns;
	uint64_t size; /* of the whole piece */
};

static const char usage_text[] =
	"usage: paced take ADDRESS WARM\n"
	"       paced send ADDRESS BYTES_PER_SECOND SIZE SECONDS\n"
	"\n"
	"\"take\" prints a line of JSON after each stream, leaving out its first WARM\n"
	"seconds, until it is killed.  0 bytes a second: as fast as it goes.\n";

static _Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

static _Noreturn void fatal(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("paced: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static _Noreturn void usage(void)
{
	fputs(usage_text, stderr);
	exit(2);
}

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void make_blocking(int fd)
{
	if (fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
		fatal("no socket: %s", strerror(fd < 0 ? -fd : errno));
}

static struct address read_address(const char *text)
{
	struct address address;

	if (address_parse(text, &address) < 0)
		usage();
	return address;
}

static double read_number(const char *text, double min, double max)
{
	char *end;
	double number = strtod(text, &end);

	if (end == text || *end != '\0' || !(number >= min && number <= max))
		usage();
	return number;
}

/* ---- the sender ---- */

static void sleep_until(uint64_t due_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(due_ns / NS_PER_S),
			       .tv_nsec = (long)(due_ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static void send_piece(int fd, unsigned char *piece, size_t size)
{
	struct stamp stamp = { .sent_ns = clock_ns(), .size = size };

	memcpy(piece, &stamp, sizeof(stamp));
	for (size_t done = 0; done < size;) {
		ssize_t n = send(fd, piece + done, size - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			fatal("the stream was cut: %s", strerror(errno));
		done += n > 0 ? (size_t)n : 0;
	}
}

static void send_paced(int fd, double rate, size_t size, double seconds)
{
	uint64_t now = clock_ns(), end = now + (uint64_t)(seconds * (double)NS_PER_S);
	double pause = rate > 0 ? (double)size / rate * (double)NS_PER_S : 0, due = (double)now;
	unsigned char *piece = calloc(1, size);

	if (!piece)
		fatal("no memory");
	for (; now < end; now = clock_ns()) {
		due += pause;
		if (pause > 0 && due > (double)now)
			sleep_until((uint64_t)due);
		else if (due < (double)now - CATCH_UP_S * (double)NS_PER_S)
			due = (double)now;
		send_piece(fd, piece, size);
	}
	free(piece);
}

static void run_sender(char **words)
{
	struct address address = read_address(words[0]);
	double rate = read_number(words[1], 0, 1e12);
	size_t size = (size_t)read_number(words[2], sizeof(struct stamp), (double)PIECE_MAX);
	double seconds = read_number(words[3], 0.001, 3600);
	int fd = address_connect(&address);

	make_blocking(fd);
	(void)prctl(PR_SET_TIMERSLACK, 1);
	send_paced(fd, rate, size, seconds);
	close(fd);
}

/* ---- the receiver ---- */

struct taking {
	struct histogram delays;
	struct stamp stamp; /* of the piece that is coming in */
	size_t have;        /* bytes of that piece */
	uint64_t counted_from_ns;
	uint64_t first_ns, last_ns; /* sent: the first and the last piece that count */
	uint64_t bytes;             /* of those that count */
	uint64_t reads;
};

static void piece_is_whole(struct taking *taking, uint64_t now)
{
	uint64_t sent = taking->stamp.sent_ns;

	taking->have = 0;
	if (sent < taking->counted_from_ns)
		return;
	if (taking->first_ns == 0)
		taking->first_ns = sent;
	taking->last_ns = sent;
	taking->bytes += taking->stamp.size;
	histogram_add(&taking->delays, now - sent);
}

/* Takes what belongs to one piece, from @data on.  Returns how much that was. */
static size_t take_some(struct taking *taking, const unsigned char *data, size_t n, uint64_t now)
{
	size_t want;

	if (taking->have < sizeof(taking->stamp)) {
		want = sizeof(taking->stamp) - taking->have;
		n = n < want ? n : want;
		memcpy((unsigned char *)&taking->stamp + taking->have, data, n);
		taking->have += n;
	} else {
		want = (size_t)taking->stamp.size - taking->have;
		n = n < want ? n : want;
		taking->have += n;
	}
	if (taking->have >= sizeof(taking->stamp) && taking->have == taking->stamp.size)
		piece_is_whole(taking, now);
	return n;
}

static void take_all(struct taking *taking, const unsigned char *data, size_t n)
{
	uint64_t now = clock_ns();

	taking->reads++;
	while (n > 0) {
		size_t taken = take_some(taking, data, n, now);

		data += taken;
		n -= taken;
	}
}

static void print_taken(const struct taking *taking)
{
	const struct histogram *delays = &taking->delays;
	double seconds = (double)(taking->last_ns - taking->first_ns) / (double)NS_PER_S;

	printf("{\"pieces\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, "
	       "\"reads\": %" PRIu64 ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
	       delays->total, taking->bytes, seconds, taking->reads,
	       (double)histogram_at(delays, 0.5) / 1000, (double)histogram_at(delays, 0.99) / 1000,
	       (double)histogram_at(delays, 1) / 1000);
	fflush(stdout);
}

/* A connection without a piece was somebody's look whether all is ready. */
static void take_stream(int fd, double warm)
{
	static unsigned char buffer[BUFFER];
	struct taking *taking = calloc(1, sizeof(*taking));
	ssize_t n;

	if (!taking)
		fatal("no memory");
	taking->counted_from_ns = UINT64_MAX;
	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		if (taking->counted_from_ns == UINT64_MAX)
			taking->counted_from_ns = clock_ns() + (uint64_t)(warm * (double)NS_PER_S);
		take_all(taking, buffer, (size_t)n);
	}
	if (taking->reads > 0)
		print_taken(taking);
	free(taking);
}

static void run_receiver(char **words)
{
	struct address address = read_address(words[0]);
	double warm = read_number(words[1], 0, 3600);
	int listener = address_listen(&address);

	make_blocking(listener);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			fatal("accept: %s", strerror(errno));
		take_stream(fd, warm);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && strcmp(argv[1], "take") == 0)
		run_receiver(argv + 2);
	else if (argc == 6 && strcmp(argv[1], "send") == 0)
		run_sender(argv + 2);
	else
		usage();
	return 0;
}
