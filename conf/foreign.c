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
#define NO_ELSE "all else goes to standard error"

/* clang-format off */
static const struct foreign_option options[] = {
	/* systemd-socket-proxyd */
	{ "connections-max",         "max-connections",            NULL,    NULL },
	{ "proxy-protocol",          "send-proxy-protocol",        NULL,    NULL },
	/* where from, and where to */
	{ "bind",                    "listen",                     NULL,    NULL },
	{ "listen-address",          "listen",                     NULL,    NULL },
	{ "tcp-listen",              "listen",                     NULL,    NULL },
	{ "unix-listen",             "listen",                     NULL,    NULL },
	{ "vsock-listen",            "listen",                     NULL,    NULL },
	{ "port",                    "listen",                     NULL,    NULL },
	{ "server",                  "backend",                    NULL,    NULL },
	{ "redirect",                "backend",                    NULL,    NULL },
	{ "proxy-pass",              "backend",                    NULL,    NULL },
	{ "tcp-connect",             "backend",                    NULL,    NULL },
	{ "unix-connect",            "backend",                    NULL,    NULL },
	{ "upstream",                "backend",                    NULL,    "one line for each server" },
	{ "default-backend",         "backend",                    NULL,    NULL },
	{ "use-backend",             "backend",                    NULL,    NULL },
	{ "target",                  "backend",                    NULL,    NULL },
	{ "weight",                  "backend",                    NULL,    IN_LINE },
	{ "backup",                  "backend",                    NULL,    IN_LINE },
	{ "max-conns",               "backend",                    NULL,    IN_LINE ", max=N" },
	{ "bindto",                  "backend-source",             NULL,    NULL },
	{ "proxy-bind",              "backend-source",             NULL,    NULL },
	{ "source",                  "backend-source",             NULL,    NULL },
	{ "usesrc",                  "backend-source",             "client", NULL },
	{ "fastopen",                "tcp-fast-open",              NULL,    NULL },
	{ "tfo",                     "tcp-fast-open",              NULL,    NULL },
	{ "least-conn",              "balance",                    "least-connections", NULL },
	{ "resolver",                "resolve-each",               "yes",   NULL },
	{ "resolvers",               "resolve-each",               "yes",   NULL },
	{ "set-real-ip-from",        "accept-proxy-protocol",      NULL,    NULL },
	{ "proxy-next-upstream",     "connect-retry",              NULL,    NULL },
	{ "option redispatch",       "connect-retry",              NULL,    NULL },
	/* how many */
	{ "maxconn",                 "max-connections",            NULL,    NULL },
	{ "max-children",            "max-connections",            NULL,    NULL },
	{ "instances",               "max-connections",            NULL,    NULL },
	{ "worker-connections",      "max-connections",            NULL,    NULL },
	{ "per-source",              "max-connections-per-source", NULL,    NULL },
	{ "limit-conn",              "max-connections-per-source", NULL,    NULL },
	{ "cps",                     "connection-rate",            NULL,    NULL },
	{ "rate-limit sessions",     "connection-rate",            NULL,    NULL },
	{ "backlog",                 "tcp-listen-backlog",         NULL,    NULL },
	{ "threads",                 "workers",                    NULL,    NULL },
	{ "nbthread",                "workers",                    NULL,    NULL },
	{ "nbproc",                  "workers",                    NULL,    NULL },
	{ "worker-processes",        "workers",                    NULL,    NULL },
	/* who */
	{ "only-from",               "allow",                      NULL,    NULL },
	{ "no-access",               "deny",                       NULL,    NULL },
	{ "range",                   "allow",                      NULL,    NULL },
	{ "accept-proxy",            "accept-proxy-protocol",      NULL,    NULL },
	{ "send-proxy",              "send-proxy-protocol",        "v1",    NULL },
	{ "send-proxy-v2",           "send-proxy-protocol",        "v2",    NULL },
	{ "access-times",            NULL, NULL, "there is no such rule; a timer can start and stop the unit" },
	{ "user",                    "unix-listen-uid",            NULL,    OF_FILE "; of the process, " BY_UNIT },
	{ "group",                   "unix-listen-gid",            NULL,    OF_FILE "; of the process, " BY_UNIT },
	{ "uid",                     "unix-listen-uid",            NULL,    OF_FILE },
	{ "gid",                     "unix-listen-gid",            NULL,    OF_FILE },
	{ "mode tcp",                NULL, NULL, "it never does anything else" },
	{ "mode http",               NULL, NULL, NO_HTTP },
	{ "mode",                    "unix-listen-chmod",          NULL,    OF_FILE },
	{ "chroot",                  NULL, NULL, BY_UNIT },
	/* how long */
	{ "timeout connect",         "connect-timeout",            NULL,    NULL },
	{ "timeout queue",           "connect-timeout",            NULL,    "it bounds that wait too" },
	{ "timeout client-fin",      "half-close-timeout",         NULL,    NULL },
	{ "timeout server-fin",      "half-close-timeout",         NULL,    NULL },
	{ "timeout client",          "idle-timeout",               NULL,    NULL },
	{ "timeout server",          "idle-timeout",               NULL,    NULL },
	{ "timeout tunnel",          "idle-timeout",               NULL,    NULL },
	{ "timeout check",           "check-timeout",              NULL,    NULL },
	{ "timeout",                 "idle-timeout",               NULL,    NULL },
	{ "proxy-timeout",           "idle-timeout",               NULL,    NULL },
	{ "proxy-connect-timeout",   "connect-timeout",            NULL,    NULL },
	{ "hard-stop-after",         "drain-timeout",              NULL,    NULL },
	{ "worker-shutdown-timeout", "drain-timeout",              NULL,    NULL },
	{ "proxy-half-close",        NULL, NULL, "that is always so; leave it out" },
	{ "retries",                 "connect-retry",              NULL,    "it goes on until connect-timeout" },
	{ "retry",                   "connect-retry",              NULL,    "it goes on until connect-timeout" },
	{ "forever",                 "connect-retry",              NULL,    "it goes on until connect-timeout" },
	{ "interval",                "connect-retry",              NULL,    "its pauses grow from 10 ms to 1 s; of checks: check-interval" },
	{ "inter",                   "check-interval",             NULL,    NULL },
	{ "rise",                    "check-rise",                 NULL,    NULL },
	{ "fall",                    "check-fall",                 NULL,    NULL },
	/* sockets */
	{ "fork",                    NULL, NULL, "every client is served, many at once; leave it out" },
	{ "wait",                    NULL, NULL, "every client is served, many at once; leave it out" },
	{ "reuseaddr",               NULL, NULL, "that is always so; leave it out" },
	{ "unlink-early",            "unix-listen-unlink",         "yes",   NULL },
	{ "reuseport",               "tcp-reuse-port",             "yes",   NULL },
	{ "keepalive",               "tcp-keepalive",              NULL,    NULL },
	{ "so-keepalive",            "tcp-keepalive",              NULL,    NULL },
	{ "option tcpka",            "tcp-keepalive",              NULL,    NULL },
	{ "nodelay",                 "tcp-nodelay",                NULL,    NULL },
	{ "v6only",                  "tcp-only-v6",                "yes",   NULL },
	{ "ipv6only",                "tcp-only-v6",                NULL,    NULL },
	{ "interface",               "bind-to-device",             NULL,    "an address belongs in listen" },
	{ "transparent",             "ip-transparent",             "yes",   NULL },
	{ "proxy-socket-keepalive",  "backend-tcp-keepalive",      NULL,    NULL },
	{ "rcvbuf",                  "recv-buffer-size",           NULL,    NULL },
	{ "sndbuf",                  "send-buffer-size",           NULL,    NULL },
	{ "deferred",                "tcp-defer-accept",           NULL,    NULL },
	/* the process */
	{ "log",                     "access-log",                 "yes",   "a line for each connection; " NO_ELSE },
	{ "log-file",                "access-log-file",            NULL,    "with access-log = yes; " NO_ELSE },
	{ "logfile",                 "access-log-file",            NULL,    "with access-log = yes; " NO_ELSE },
	{ "log-type",                "access-log-file",            NULL,    "with access-log = yes; for syslog, access-log = journal" },
	{ "logcommon",               "access-log",                 "yes",   NULL },
	{ "error-log",               "log-level",                  NULL,    "the log goes to standard error" },
	{ "log-on-success",          "access-log",                 "yes",   NULL },
	{ "log-on-failure",          "access-log",                 "yes",   NULL },
	{ "option tcplog",           "access-log",                 "yes",   NULL },
	{ "verbose",                 "log-level",                  "debug", NULL },
	{ "debug",                   "log-level",                  "debug", NULL },
	{ "quiet",                   "log-level",                  "error", NULL },
	{ "daemon",                  NULL, NULL, STAYS },
	{ "daemonize",               NULL, NULL, STAYS },
	{ "background",              NULL, NULL, STAYS },
	{ "pid-file",                NULL, NULL, STAYS },
	{ "pidfile",                 NULL, NULL, STAYS },
	{ "pid",                     NULL, NULL, STAYS },
	{ "pidlogfile",              NULL, NULL, STAYS },
	{ "ssl",                     NULL, NULL, NO_TLS },
	{ "tls",                     NULL, NULL, NO_TLS },
	{ "cert",                    NULL, NULL, NO_TLS },
	{ "crt",                     NULL, NULL, NO_TLS },
	{ "socket-type",             NULL, NULL, "the address says so" },
	{ "protocol",                NULL, NULL, "the address says so" },
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
