/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told while it does not read: nobody waits, hints are
 * dropped, everything else comes, in order; and what waits for the manager waits until
 * that has acted.  Each case is a process of its own, with a manager of its own.
 */
#include "tests/unit/sockets.h"

#include <sys/un.h>
#include <time.h>

#include "daemon/base/notify.h"

#define MOST_HINTS 100 /* more than the backlog and the manager's own queue take */

static int manager;

/* At an abstract name that the kernel chooses. */
static void begin(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(addr);
	char name[32];

	manager = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(bind(manager, (struct sockaddr *)&addr, sizeof(sa_family_t)) == 0);
	CHECK(getsockname(manager, (struct sockaddr *)&addr, &len) == 0);
	snprintf(name, sizeof(name), "@%.*s",
		 (int)(len - offsetof(struct sockaddr_un, sun_path) - 1), addr.sun_path + 1);
	CHECK(setenv("NOTIFY_SOCKET", name, 1) == 0);
}

/* The next message; the descriptor that came with it, or -1. */
static int hear(char *text, size_t size)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { text, size - 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	ssize_t n = recvmsg(manager, &msg, 0);
	int fd = -1;

	CHECK(n >= 0);
	text[n] = '\0';
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

static bool is_anything_to_hear(void)
{
	struct pollfd pfd = { .fd = manager, .events = POLLIN };

	return poll(&pfd, 1, 300) == 1;
}

static void hints_are_dropped(void)
{
	int taken = 0, heard = 0;
	char text[64], wanted[64];

	begin();
	while (taken < MOST_HINTS && notify_hint("STATUS=%d", taken))
		taken++;
	CHECK(taken > 0 && taken < MOST_HINTS);
	/* What counts is not dropped, and does not wait either. */
	for (int i = 0; i < MOST_HINTS; i++)
		CHECK(notify_send("READY=%d", i));
	CHECK(!notify_hint("STATUS=late"));
	CHECK(!notify_flush(1));
	for (; heard < taken; heard++) {
		(void)hear(text, sizeof(text));
		snprintf(wanted, sizeof(wanted), "STATUS=%d", heard);
		CHECK(strcmp(text, wanted) == 0);
	}
	for (int i = 0; i < MOST_HINTS; i++) {
		(void)hear(text, sizeof(text));
		snprintf(wanted, sizeof(wanted), "READY=%d", i);
		CHECK(strcmp(text, wanted) == 0);
	}
	CHECK(!is_anything_to_hear());
	CHECK(notify_flush(20));
	CHECK(notify_hint("STATUS=again"));
	(void)hear(text, sizeof(text));
	CHECK(strcmp(text, "STATUS=again") == 0);
}

static void mute_says_nothing(void)
{
	char text[64];

	begin();
	notify_mute(true);
	CHECK(notify_send("READY=1"));
	CHECK(notify_hint("STATUS=1"));
	notify_mute(false);
	CHECK(notify_send("STOPPING=1"));
	(void)hear(text, sizeof(text));
	CHECK(strcmp(text, "STOPPING=1") == 0);
	CHECK(!is_anything_to_hear());
}

/* The manager closes the descriptor of a barrier once it has acted upon all before. */
static void barrier_waits_for_the_manager(void)
{
	struct timespec before, after;
	char text[64];
	int told[2];
	pid_t pid;

	begin();
	CHECK(pipe2(told, O_NONBLOCK) == 0);
	pid = fork();
	if (pid == 0) {
		int fd = -1;

		while (fd < 0)
			fd = hear(text, sizeof(text));
		CHECK(strstr(text, "BARRIER=1"));
		usleep(300000);
		CHECK(write(told[1], "x", 1) == 1);
		_exit(0); /* which closes it */
	}
	CHECK(notify_send("READY=1"));
	notify_barrier(20);
	CHECK(read(told[0], text, 1) == 1);
	CHECK(waitpid(pid, NULL, 0) == pid);

	/* One that does not act is waited for no longer than that. */
	clock_gettime(CLOCK_MONOTONIC, &before);
	notify_barrier(1);
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec - before.tv_sec < 20);
	/* And none at all not at all. */
	CHECK(unsetenv("NOTIFY_SOCKET") == 0);
	alarm(10);
	notify_barrier(60);
}

/* All that was said before comes before it; a manager that does not read gets none. */
static void barrier_behind_what_is_unsent(void)
{
	char text[64];
	int n = 0;

	begin();
	for (int i = 0; i < MOST_HINTS; i++)
		CHECK(notify_send("READY=%d", i));
	notify_barrier(1);
	while (is_anything_to_hear()) {
		CHECK(hear(text, sizeof(text)) < 0);
		n++;
	}
	CHECK(n == MOST_HINTS);
}

#define CASES(X)                         \
	X(hints_are_dropped)             \
	X(mute_says_nothing)             \
	X(barrier_waits_for_the_manager) \
	X(barrier_behind_what_is_unsent)

#define TEST(name)                            \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		in_child(name);               \
	}
CASES(TEST)

#define COUNTED(name) counted(test_##name),

int main(void)
{
	const struct CMUnitTest tests[] = { CASES(COUNTED) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
