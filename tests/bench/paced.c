/* SPDX-License-Identifier: MIT */
/*
 * One stream of pieces at a steady pace (piece.h): a program that sends it, and
 * one that takes it and says how long its pieces were on the way.
 *
 * Driven by tests/bench/delay.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/address.h"
#include "tests/bench/clock.h"
#include "tests/bench/piece.h"

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

static void run_sender(char **words)
{
	struct address address = read_address(words[0]);
	double rate = read_number(words[1], 0, 1e12);
	size_t size = (size_t)read_number(words[2], PIECE_MIN, (double)PIECE_MAX);
	double seconds = read_number(words[3], 0.001, 3600);
	int fd = address_connect(&address), r;

	if (fd < 0)
		fatal("no socket: %s", strerror(-fd));
	r = pieces_send(fd, rate, size, clock_ns() + (uint64_t)(seconds * (double)NS_PER_S));
	if (r < 0)
		fatal("the stream was cut: %s", strerror(-r));
	close(fd);
}

static void print_taken(const struct delays *delays, uint64_t reads)
{
	const struct histogram *histogram = &delays->histogram;
	double seconds = (double)(delays->last_ns - delays->first_ns) / (double)NS_PER_S;

	printf("{\"pieces\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"seconds\": %.6f, "
	       "\"reads\": %" PRIu64 ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
	       histogram->total, delays->bytes, seconds, reads,
	       (double)histogram_at(histogram, 0.5) / 1000,
	       (double)histogram_at(histogram, 0.99) / 1000,
	       (double)histogram_at(histogram, 1) / 1000);
	fflush(stdout);
}

/* A connection without a piece was somebody's look whether all is ready. */
static void take_stream(int fd, double warm)
{
	static unsigned char buffer[PIECE_BUFFER];
	static struct delays delays;
	struct piece piece = { 0 };
	uint64_t reads = 0;
	ssize_t n;

	delays = (struct delays){ 0 };
	for (; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0; reads++) {
		if (reads == 0)
			delays.counted_from_ns = clock_ns() + (uint64_t)(warm * (double)NS_PER_S);
		if (!piece_take(&piece, &delays, buffer, (size_t)n))
			fatal("what came are not pieces");
	}
	if (reads > 0)
		print_taken(&delays, reads);
}

static void run_receiver(char **words)
{
	struct address address = read_address(words[0]);
	double warm = read_number(words[1], 0, 3600);
	int listener = address_listen(&address);

	if (listener < 0 || fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK) < 0)
		fatal("no socket: %s", strerror(listener < 0 ? -listener : errno));
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
