/* SPDX-License-Identifier: MIT */
/*
 * The bench's load generator and the backend behind the proxies, in one
 * program: reads the command line, and runs one workload against one address.
 * The result is one JSON object on standard output.
 */
#include "tests/bench/load.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/bench/pattern.h"
#include "tests/bench/request.h"
#include "tests/bench/service.h"

static const struct workload {
	const char *name;
	void (*run)(const struct plan *plan);
	const char *help;
} workloads[] = {
	{ "bulk-up", bulk_up, "streams to the backend" },
	{ "bulk-down", bulk_down, "streams from the backend" },
	{ "bulk-both", bulk_both, "both on every connection" },
	{ "request", request_run, "requests and replies on lasting connections" },
	{ "connect", connect_run, "connect, request, reply, close" },
	{ "delay-up", delay_up,
	  "pieces to the backend at a pace, and how long each is on the way" },
	{ "delay-down", delay_down, "the same from the backend" },
	{ "idle", idle_run, "connections that do nothing, until standard input ends" },
};

#define N_WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static const char usage_text[] =
	"usage: load backend ADDRESS CONTROL\n"
	"       load WORKLOAD --to ADDRESS --control CONTROL [OPTIONS]\n"
	"\n"
	"An ADDRESS is A.B.C.D:PORT or an absolute path; CONTROL is a path.  The backend\n"
	"ends when its standard input does.\n"
	"\n"
	"  --connections N   at once (1)\n"
	"  --size BYTES      of a request or of a piece, 24 to 65536 (64)\n"
	"  --rate BYTES      with \"delay-*\": a second, of all connections (0: all that goes)\n"
	"  --open N          with \"request\" and \"connect\": further ones that do nothing (0)\n"
	"  --stuck N         with \"request\": further ones that never read (0)\n"
	"  --streams N       with \"connect\": further ones that send all the time (0)\n"
	"  --paced           what the stuck ones are sent comes in pieces of 100 bytes\n"
	"  --warm SECONDS    before the measurement (0.2)\n"
	"  --seconds SECONDS of measurement (1)\n"
	"  --proxy PID       measure the processor time of this process and its children\n"
	"\n";

void fatal(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static _Noreturn void usage(const char *problem)
{
	if (problem != NULL)
		fprintf(stderr, "load: %s\n", problem);
	fputs(usage_text, stderr);
	for (size_t i = 0; i < N_WORKLOADS; i++)
		fprintf(stderr, "  %-10s %s\n", workloads[i].name, workloads[i].help);
	exit(2);
}

int plan_connect(const struct plan *plan)
{
	int fd = address_connect(&plan->to);

	if (fd < 0)
		fatal("connect: %s", strerror(-fd));
	return fd;
}

void plan_choose(int fd, char service)
{
	if (send(fd, &service, 1, MSG_NOSIGNAL) != 1)
		fatal("a connection was closed at once: %s", strerror(errno));
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static struct address read_address(const char *text)
{
	struct address address;

	if (text == NULL || address_parse(text, &address) < 0)
		usage("an address is A.B.C.D:PORT or an absolute path");
	return address;
}

static double read_number(const char *text, double min, double max)
{
	char *end;
	double number = strtod(text, &end);

	if (end == text || *end != '\0' || !(number >= min && number <= max))
		usage("a number is missing or out of range");
	return number;
}

static void read_options(int argc, char **argv, struct plan *ret_plan, const char **ret_control)
{
	static const struct option options[] = {
		{ "to", required_argument, NULL, 't' },
		{ "control", required_argument, NULL, 'c' },
		{ "connections", required_argument, NULL, 'n' },
		{ "size", required_argument, NULL, 'b' },
		{ "open", required_argument, NULL, 'o' },
		{ "streams", required_argument, NULL, 'm' },
		{ "rate", required_argument, NULL, 'r' },
		{ "stuck", required_argument, NULL, 'k' },
		{ "paced", no_argument, NULL, 'd' },
		{ "warm", required_argument, NULL, 'w' },
		{ "seconds", required_argument, NULL, 's' },
		{ "proxy", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	struct plan plan = { .connections = 1, .size = 64 };
	double warm = 0.2, seconds = 1;
	const char *to = NULL;
	int option;

	*ret_control = NULL;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 't':
			to = optarg;
			break;
		case 'c':
			*ret_control = optarg;
			break;
		case 'n':
			plan.connections = (unsigned int)read_number(optarg, 1, 1e6);
			break;
		case 'b':
			plan.size = (size_t)read_number(optarg, (double)REQUEST_MIN,
							(double)REQUEST_MAX);
			break;
		case 'o':
			plan.open = (unsigned int)read_number(optarg, 0, 1e5);
			break;
		case 'm':
			plan.streams = (unsigned int)read_number(optarg, 0, 1e4);
			break;
		case 'r':
			plan.rate = read_number(optarg, 0, 1e12);
			break;
		case 'k':
			plan.stuck = (unsigned int)read_number(optarg, 0, PACED_MAX);
			break;
		case 'd':
			plan.paced = true;
			break;
		case 'w':
			warm = read_number(optarg, 0, 3600);
			break;
		case 's':
			seconds = read_number(optarg, 0.001, 3600);
			break;
		case 'p':
			plan.proxy = (pid_t)read_number(optarg, 1, 1e9);
			break;
		default:
			usage(NULL);
		}
	}
	if (optind != argc)
		usage("only options follow the workload");
	plan.to = read_address(to);
	plan.warm_ns = (uint64_t)(warm * (double)NS_PER_S);
	plan.measure_ns = (uint64_t)(seconds * (double)NS_PER_S);
	*ret_plan = plan;
}

static void run_workload(const struct workload *workload, int argc, char **argv)
{
	const char *control_text;
	struct address control;
	struct plan plan;

	read_options(argc, argv, &plan, &control_text);
	control = read_address(control_text);
	control_open(&control);
	workload->run(&plan);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		usage(NULL);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	pattern_init();

	if (strcmp(argv[1], "backend") == 0) {
		struct address address = read_address(argc == 4 ? argv[2] : NULL);
		struct address control = read_address(argv[3]);

		return backend_serve(&address, &control);
	}
	for (size_t i = 0; i < N_WORKLOADS; i++) {
		if (strcmp(argv[1], workloads[i].name) == 0) {
			run_workload(&workloads[i], argc - 1, argv + 1);
			return 0;
		}
	}
	usage("there is no such workload");
}
