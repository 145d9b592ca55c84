/* SPDX-License-Identifier: MIT */
/*
 * --status: see ask_status.h.  With --watch the lines of the last answer are overwritten with
 * those of the next, and the terminal is set to nothing that would have to be taken back.
 */
#include "daemon/ask_status.h"

#include <errno.h>
#include <event2/buffer.h>
#include <grp.h>
#include <linux/vm_sockets.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/args.h"
#include "conf/conf.h"
#include "daemon/backend/target.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/http_get.h"
#include "daemon/status/columns.h"
#include "daemon/status/terminal.h"

#define DEFAULT_PATH  "/run/sockfront/status.sock"
#define DEADLINE_MS   5000
#define PERIOD_S      1
#define ADDRESSES_MAX 16

#ifndef VMADDR_CID_LOCAL
#define VMADDR_CID_LOCAL 1
#endif

/* What went wrong, for the user, and what would help; empty if that is not known. */
struct complaint {
	char text[768], help[512];
};

struct screen {
	bool is_terminal;
	unsigned int columns, rows;
};

/* ---- what would help ---- */

static void say_owner(struct complaint *complaint, const char *path, const struct stat *st)
{
	/* There is one thread alone. */
	/* cppcheck-suppress getpwuidCalled */
	const struct passwd *user = getpwuid(st->st_uid);
	/* cppcheck-suppress getgrgidCalled */
	const struct group *group = getgrgid(st->st_gid);

	snprintf(complaint->help, sizeof(complaint->help),
		 "%s is of user %s and group %s, with mode %04o", path, user ? user->pw_name : "?",
		 group ? group->gr_name : "?", st->st_mode & 07777U);
}

static bool go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return false;
	*slash = '\0';
	return true;
}

/* Of the socket, or of the nearest directory above it that can be looked at. */
static void say_who_may(struct complaint *complaint, const char *path)
{
	char copy[SFRONT_PATH_MAX + 1];
	struct stat st;
	int r;

	snprintf(copy, sizeof(copy), "%s", path);
	while ((r = stat(copy, &st)) < 0 && go_up(copy))
		;
	if (r == 0)
		say_owner(complaint, copy, &st);
}

static const char *help_for(int error)
{
	switch (error) {
	case -ENOENT:
		return "is sockfront running, and does its [status] section listen there? Another "
		       "address is given as sockfront --status ADDRESS, or by the file, -c FILE";
	case -ECONNREFUSED:
		return "nobody listens there: sockfront is not running, or its [status] section "
		       "has another address";
	case -ECONNRESET:
		return "allow and deny in its [status] section say who may ask";
	case -EPROTO:
		return "that is no status address of sockfront";
	default:
		return "";
	}
}

static const char *reason(int error)
{
	switch (error) {
	case -ETIMEDOUT:
		return "no answer within 5 seconds";
	case -ECONNRESET:
		return "the connection was ended without an answer";
	case -EPROTO:
		return "what answers there does not speak HTTP";
	default:
		return strerror(-error);
	}
}

static void complain(struct complaint *complaint, const struct sfront_address *address,
		     const char *what, int error)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE];

	sfront_address_format(address, text, sizeof(text));
	snprintf(complaint->text, sizeof(complaint->text), "%s: %s: %s", text, what, reason(error));
	snprintf(complaint->help, sizeof(complaint->help), "%s", help_for(error));
	if (error == -EACCES && address->kind == SFRONT_UNIX)
		say_who_may(complaint, address->u.local.name);
}

/* @body: its first line says why */
static void complain_of_code(struct complaint *complaint, const struct sfront_address *address,
			     int code, struct evbuffer *body)
{
	char text[SFRONT_ADDRESS_TEXT_SIZE], *line = evbuffer_readln(body, NULL, EVBUFFER_EOL_ANY);

	sfront_address_format(address, text, sizeof(text));
	snprintf(complaint->text, sizeof(complaint->text), "%s: the answer is %d%s%.200s", text,
		 code, line ? ": " : "", line ? line : "");
	if (code == 404)
		snprintf(complaint->help, sizeof(complaint->help),
			 "that is no status address of sockfront, or one of an older version");
	free(line);
}

/* ---- one answer ---- */

/* Whoever listens on every address listens on this machine's own. */
static void make_definite(struct sfront_address *address)
{
	if (address->kind == SFRONT_VSOCK && address->u.vsock.cid == SFRONT_CID_ANY)
		address->u.vsock.cid = VMADDR_CID_LOCAL;
	if (address->kind == SFRONT_TCP &&
	    (!*address->u.tcp.host || strcmp(address->u.tcp.host, "*") == 0))
		snprintf(address->u.tcp.host, sizeof(address->u.tcp.host), "localhost");
}

/* Returns how many socket addresses it is. */
static int resolve(const struct sfront_address *address, struct sfront_sockaddr *ret,
		   struct complaint *complaint)
{
	struct sfront_address definite = *address;
	struct sfront_error err;
	int n;

	make_definite(&definite);
	if (target_fill(&definite, ret))
		return 1;
	n = sfront_address_resolve(&definite, ret, ADDRESSES_MAX, &err);
	if (n < 0)
		snprintf(complaint->text, sizeof(complaint->text), "%s", err.message);
	return n;
}

static int connect_to(const struct sfront_address *address, uint64_t until_ms,
		      struct complaint *complaint)
{
	struct sfront_sockaddr addrs[ADDRESSES_MAX];
	int n = resolve(address, addrs, complaint), r = n;

	for (int i = 0; i < n; i++) {
		r = http_connect(&addrs[i], until_ms);
		if (r >= 0)
			return r;
	}
	if (n > 0)
		complain(complaint, address, "cannot connect", r);
	return r;
}

static int ask_over(int fd, const struct sfront_address *address, const char *path,
		    uint64_t until_ms, struct evbuffer *body, struct complaint *complaint)
{
	int code = http_get(fd, path, until_ms, body);

	if (code == 200)
		return 0;
	if (code > 0)
		complain_of_code(complaint, address, code, body);
	else
		complain(complaint, address, "cannot be asked", code);
	return code > 0 ? -EREMOTEIO : code;
}

static int ask(const struct sfront_address *address, const char *path, struct evbuffer *body,
	       struct complaint *complaint)
{
	uint64_t until_ms = clock_exact_ms() + DEADLINE_MS;
	int fd, r;

	*complaint = (struct complaint){ .text = "" };
	fd = connect_to(address, until_ms, complaint);
	if (fd < 0)
		return fd;
	r = ask_over(fd, address, path, until_ms, body, complaint);
	close(fd);
	return r;
}

/* ---- where to ask ---- */

/* Whether a listening address says where it can be reached. */
static bool can_be_asked(const struct sfront_address *address)
{
	uint16_t port;

	switch (address->kind) {
	case SFRONT_TCP:
		return sfront_address_port(address, &port, NULL) == 0 && port != 0;
	case SFRONT_VSOCK:
		return address->u.vsock.port != 0;
	default:
		return address->kind == SFRONT_UNIX || address->kind == SFRONT_ABSTRACT;
	}
}

static int complain_of_section(struct complaint *complaint, const struct args *args,
			       const struct status_config *section)
{
	snprintf(complaint->text, sizeof(complaint->text), "%s: %s", args->file,
		 section ? "no listen line of [status] says where it can be reached"
			 : "there is no [status] section");
	snprintf(
		complaint->help, sizeof(complaint->help), "%s",
		section ? "say it yourself: sockfront --status ADDRESS"
			: "without one, the process answers no questions; add \"[status]\" and \"listen = " DEFAULT_PATH
			  "\"");
	return -ENOENT;
}

/* The first at which somebody answers; of several that fail, the first is complained of. */
static int ask_section(const struct args *args, const struct status_config *section,
		       const char *path, struct evbuffer *body, struct complaint *complaint)
{
	struct complaint later;
	int first = 0;

	for (size_t i = 0; section && i < section->n_listen; i++) {
		const struct sfront_address *address = &section->listen[i].address;
		int r;

		if (!can_be_asked(address))
			continue;
		r = ask(address, path, body, first == 0 ? complaint : &later);
		if (r == 0)
			return 0;
		evbuffer_drain(body, evbuffer_get_length(body));
		first = first == 0 ? r : first;
	}
	return first < 0 ? first : complain_of_section(complaint, args, section);
}

static int ask_anyone(const struct args *args, const struct config *config, const char *path,
		      struct evbuffer *body, struct complaint *complaint)
{
	struct sfront_address address = { .kind = SFRONT_UNIX, .u.local.name = DEFAULT_PATH };

	if (args->file)
		return ask_section(args, config->status, path, body, complaint);
	return ask(args->status.has_address ? &args->status.address : &address, path, body,
		   complaint);
}

/* ---- printing ---- */

static void look_at_screen(struct screen *ret)
{
	struct winsize size = { 0 };

	*ret = (struct screen){ .is_terminal = isatty(STDOUT_FILENO) };
	if (!ret->is_terminal)
		return;
	(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	ret->columns = size.ws_col > 0 ? size.ws_col : 80;
	ret->rows = size.ws_row > 0 ? size.ws_row : 24;
}

/* Moves @text to stdout.  Returns 0 or -errno. */
static int print(struct evbuffer *text)
{
	size_t n = evbuffer_get_length(text);
	const void *bytes = evbuffer_pullup(text, -1);

	if (n > 0 && (!bytes || fwrite(bytes, 1, n, stdout) < n || fflush(stdout) != 0)) {
		log_line(LOG_ERR, "stdout takes no more: %s", strerror(errno));
		return -EIO;
	}
	evbuffer_drain(text, n);
	return 0;
}

/*
 * Moves lines from @text to @out as a terminal may show them, whoever has written them.
 * Returns how many.
 */
static unsigned int put_lines(struct evbuffer *out, struct evbuffer *text, size_t columns,
			      unsigned int rows)
{
	unsigned int n = 0;
	char *line;

	for (; n < rows && (line = evbuffer_readln(text, NULL, EVBUFFER_EOL_LF)); n++) {
		columns_put(out, line, columns);
		evbuffer_add(out, "\n", 1);
		free(line);
	}
	return n;
}

static void ask_path(char *buf, size_t size, const struct args *args, const struct screen *screen)
{
	if (args->status.json)
		snprintf(buf, size, "/status.json");
	else
		snprintf(buf, size, "%s?width=%u", TERMINAL_PATH,
			 screen->is_terminal ? screen->columns : TERMINAL_WIDTH_MAX);
}

/* ---- on the screen ---- */

/* What is there of the last answer, with --watch. */
struct picture {
	struct screen screen;
	unsigned int lines;
};

static bool is_same_size(const struct screen *a, const struct screen *b)
{
	return a->columns == b->columns && a->rows == b->rows;
}

/*
 * Goes back to where the last picture begins.  On a screen of another size nobody knows where
 * that is.
 */
static void put_return(struct evbuffer *out, const struct picture *picture,
		       const struct screen *screen)
{
	if (picture->lines == 0)
		return;
	if (is_same_size(&picture->screen, screen))
		evbuffer_add_printf(out, "\033[%uA\r\033[J", picture->lines);
	else
		evbuffer_add_printf(out, "\033[H\033[J");
}

/* JSON is a line without an end. */
static void end_line(struct evbuffer *text)
{
	struct evbuffer_ptr last;
	size_t n = evbuffer_get_length(text);
	char c = '\n';

	if (n > 0 && evbuffer_ptr_set(text, &last, n - 1, EVBUFFER_PTR_SET) == 0)
		(void)evbuffer_copyout_from(text, &last, &c, 1);
	if (c != '\n')
		evbuffer_add(text, "\n", 1);
}

/* A picture leaves a line to spare for the cursor. */
static void put_on_screen(struct evbuffer *out, struct picture *picture,
			  const struct screen *screen, struct evbuffer *body, bool watch)
{
	end_line(body);
	if (!watch) {
		(void)put_lines(out, body, COLUMNS_UNBOUNDED, UINT_MAX);
		return;
	}
	put_return(out, picture, screen);
	picture->screen = *screen;
	picture->lines = put_lines(out, body, screen->columns, screen->rows - 1);
}

/* Moves to @out, to be written in one piece, what is to be seen of @body. */
static void put_answer(struct evbuffer *out, struct picture *picture, const struct screen *screen,
		       struct evbuffer *body, bool watch)
{
	if (screen->is_terminal) {
		put_on_screen(out, picture, screen, body, watch);
		return;
	}
	evbuffer_add_buffer(out, body);
	if (watch)
		evbuffer_add(out, "\n", 1);
}

/* ---- over and over ---- */

static void log_complaint(const struct complaint *complaint)
{
	log_line(LOG_ERR, "%s%s%s", complaint->text, *complaint->help ? "; " : "", complaint->help);
}

/* Asks, and prints the answer. */
static int take_turn(const struct args *args, const struct config *config, struct picture *picture,
		     struct evbuffer *body, struct evbuffer *out, bool is_first)
{
	struct complaint complaint;
	struct screen screen;
	char path[64];
	int r;

	evbuffer_drain(body, evbuffer_get_length(body));
	look_at_screen(&screen);
	ask_path(path, sizeof(path), args, &screen);
	r = ask_anyone(args, config, path, body, &complaint);
	if (r < 0 && is_first) {
		log_complaint(&complaint);
		return r;
	}
	if (r < 0) {
		evbuffer_drain(body, evbuffer_get_length(body));
		evbuffer_add_printf(body, "%s\nIt is tried again every second.\n", complaint.text);
	}
	put_answer(out, picture, &screen, body, args->status.watch);
	return print(out);
}

static int take_turns(const struct args *args, const struct config *config, struct evbuffer *body,
		      struct evbuffer *out)
{
	struct picture picture = { .lines = 0 };
	int r;

	r = take_turn(args, config, &picture, body, out, true);
	while (r == 0 && args->status.watch) {
		sleep(PERIOD_S);
		r = take_turn(args, config, &picture, body, out, false);
	}
	return r;
}

int ask_status(const struct args *args, const struct config *config)
{
	struct evbuffer *body = evbuffer_new(), *out = evbuffer_new();
	int r = -ENOMEM;

	if (body && out)
		r = take_turns(args, config, body, out);
	else
		log_line(LOG_ERR, "out of memory");
	if (body)
		evbuffer_free(body);
	if (out)
		evbuffer_free(out);
	return r;
}
