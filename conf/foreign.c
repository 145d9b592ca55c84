/* SPDX-License-Identifier: MIT */
/*
 * See foreign.h.  sockfront-migrate(7) has the same in tables, and more.
 */
#include "conf/foreign.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NO_TLS  "there is no TLS here: bytes are passed on as they are"
#define NO_HTTP "bytes are passed on as they are, whatever they mean"
#define STAYS   "it stays in the foreground, where a service manager wants it"
#define BY_UNIT "that is for the unit, or for whoever starts it"
#define OF_FILE "for the file of a UNIX socket"
#define IN_LINE "a word after the address in a backend line"

/* clang-format off */
static const struct foreign_option options[] = {
	/* systemd-socket-proxyd */
	{ "connections-max",       "max-connections",            NULL },
	{ "proxy-protocol",        "send-proxy-protocol",        NULL },
	/* where from, and where to */
	{ "bind",                  "listen",                     NULL },
	{ "listen-address",        "listen",                     NULL },
	{ "tcp-listen",            "listen",                     NULL },
	{ "unix-listen",           "listen",                     NULL },
	{ "vsock-listen",          "listen",                     NULL },
	{ "port",                  "listen",                     NULL },
	{ "server",                "backend",                    NULL },
	{ "redirect",              "backend",                    NULL },
	{ "proxy-pass",            "backend",                    NULL },
	{ "tcp-connect",           "backend",                    NULL },
	{ "unix-connect",          "backend",                    NULL },
	{ "upstream",              "backend",                    "one line for each server" },
	{ "default-backend",       "backend",                    NULL },
	{ "use-backend",           "backend",                    NULL },
	{ "target",                "backend",                    NULL },
	{ "weight",                "backend",                    IN_LINE },
	{ "backup",                "backend",                    IN_LINE },
	{ "max-conns",             "backend",                    IN_LINE ", max=N" },
	{ "bindto",                "backend-source",             NULL },
	{ "proxy-bind",            "backend-source",             NULL },
	{ "source",                "backend-source",             NULL },
	{ "usesrc",                "backend-source",             NULL },
	{ "fastopen",              "tcp-fast-open",              NULL },
	/* how many */
	{ "maxconn",               "max-connections",            NULL },
	{ "max-children",          "max-connections",            NULL },
	{ "instances",             "max-connections",            NULL },
	{ "worker-connections",    "max-connections",            NULL },
	{ "per-source",            "max-connections-per-source", NULL },
	{ "limit-conn",            "max-connections-per-source", NULL },
	{ "cps",                   "connection-rate",            NULL },
	{ "rate-limit sessions",   "connection-rate",            NULL },
	{ "backlog",               "tcp-listen-backlog",         NULL },
	{ "threads",               "workers",                    NULL },
	{ "nbthread",              "workers",                    NULL },
	{ "nbproc",                "workers",                    NULL },
	{ "worker-processes",      "workers",                    NULL },
	/* who */
	{ "only-from",             "allow",                      NULL },
	{ "no-access",             "deny",                       NULL },
	{ "range",                 "allow",                      NULL },
	{ "accept-proxy",          "accept-proxy-protocol",      NULL },
	{ "send-proxy",            "send-proxy-protocol",        "v1" },
	{ "send-proxy-v2",         "send-proxy-protocol",        "v2" },
	{ "access-times",          NULL, "there is no such rule; a timer can start and stop the unit" },
	{ "user",                  "unix-listen-uid",            OF_FILE "; of the process, " BY_UNIT },
	{ "group",                 "unix-listen-gid",            OF_FILE "; of the process, " BY_UNIT },
	{ "uid",                   "unix-listen-uid",            OF_FILE },
	{ "gid",                   "unix-listen-gid",            OF_FILE },
	{ "mode tcp",              NULL, "it never does anything else" },
	{ "mode http",             NULL, NO_HTTP },
	{ "mode",                  "unix-listen-chmod",          OF_FILE },
	{ "chroot",                NULL, BY_UNIT },
	/* how long */
	{ "timeout connect",       "connect-timeout",            NULL },
	{ "timeout queue",         "connect-timeout",            "it bounds that wait too" },
	{ "timeout client-fin",    "half-close-timeout",         NULL },
	{ "timeout server-fin",    "half-close-timeout",         NULL },
	{ "timeout client",        "idle-timeout",               NULL },
	{ "timeout server",        "idle-timeout",               NULL },
	{ "timeout tunnel",        "idle-timeout",               NULL },
	{ "timeout check",         "check-timeout",              NULL },
	{ "timeout",               "idle-timeout",               NULL },
	{ "proxy-timeout",         "idle-timeout",               NULL },
	{ "proxy-connect-timeout", "connect-timeout",            NULL },
	{ "hard-stop-after",       "drain-timeout",              NULL },
	{ "retries",               "connect-retry",              "it goes on until connect-timeout" },
	{ "retry",                 "connect-retry",              "it goes on until connect-timeout" },
	{ "forever",               "connect-retry",              "it goes on until connect-timeout" },
	{ "interval",              "check-interval",             NULL },
	{ "inter",                 "check-interval",             NULL },
	{ "rise",                  "check-rise",                 NULL },
	{ "fall",                  "check-fall",                 NULL },
	/* sockets */
	{ "fork",                  NULL, "every client is served, many at once; leave it out" },
	{ "wait",                  NULL, "every client is served, many at once; leave it out" },
	{ "reuseaddr",             NULL, "that is always so; leave it out" },
	{ "unlink-early",          "unix-listen-unlink",         NULL },
	{ "reuseport",             "tcp-reuse-port",             NULL },
	{ "keepalive",             "tcp-keepalive",              NULL },
	{ "so-keepalive",          "tcp-keepalive",              NULL },
	{ "option tcpka",          "tcp-keepalive",              NULL },
	{ "nodelay",               "tcp-nodelay",                NULL },
	{ "v6only",                "tcp-only-v6",                NULL },
	{ "ipv6only",              "tcp-only-v6",                NULL },
	{ "interface",             "bind-to-device",             NULL },
	/* the process */
	{ "log",                   "log-level",                  "the log goes to standard error" },
	{ "log-file",              "log-level",                  "the log goes to standard error" },
	{ "logfile",               "log-level",                  "the log goes to standard error" },
	{ "log-type",              "log-level",                  "the log goes to standard error" },
	{ "error-log",             "log-level",                  "the log goes to standard error" },
	{ "log-on-success",        "access-log",                 NULL },
	{ "log-on-failure",        "access-log",                 NULL },
	{ "option tcplog",         "access-log",                 NULL },
	{ "verbose",               "log-level",                  "debug" },
	{ "debug",                 "log-level",                  "debug" },
	{ "quiet",                 "log-level",                  "error" },
	{ "daemon",                NULL, STAYS },
	{ "daemonize",             NULL, STAYS },
	{ "background",            NULL, STAYS },
	{ "pid-file",              NULL, STAYS },
	{ "pidfile",               NULL, STAYS },
	{ "pid",                   NULL, STAYS },
	{ "ssl",                   NULL, NO_TLS },
	{ "tls",                   NULL, NO_TLS },
	{ "cert",                  NULL, NO_TLS },
	{ "crt",                   NULL, NO_TLS },
	{ "socket-type",           NULL, "the address says so" },
	{ "protocol",              NULL, "the address says so" },
};
/* clang-format on */

static char fold(char c)
{
	return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

/* How much of @text the name is, up to the end of a word; 0: it does not begin so. */
static size_t match(const char *text, const char *name)
{
	size_t n = 0;

	while (name[n] && fold(text[n]) == name[n])
		n++;
	return name[n] || (text[n] && !isspace((unsigned char)text[n])) ? 0 : n;
}

const struct foreign_option *foreign_option_find(const char *text)
{
	const struct foreign_option *found = NULL, *option;
	size_t longest = 0;

	for (size_t i = 0; (option = foreign_option_at(i)); i++) {
		size_t length = match(text, option->name);

		if (length <= longest)
			continue;
		longest = length;
		found = option;
	}
	return found;
}

void foreign_option_remark(const struct foreign_option *option, char *buf, size_t size)
{
	if (option->remark)
		snprintf(buf, size, " (%s)", option->remark);
	else
		*buf = '\0';
}

const struct foreign_option *foreign_option_at(size_t index)
{
	return index < sizeof(options) / sizeof(options[0]) ? &options[index] : NULL;
}
