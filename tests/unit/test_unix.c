/* SPDX-License-Identifier: MIT */
/*
 * UNIX sockets: lib/kind/unix.c.  Everything happens in a directory of its own,
 * which has to be empty again after every test.
 */
#include "sockets.h"

#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>

#define ME  "./app.sock"
#define ME2 "./other.sock"

static char directory[] = "/tmp/sockfront-test-unix.XXXXXX";

static int setup(void **state)
{
	umask(022);
	return descriptors_setup(state);
}

static int teardown(void **state)
{
	struct dirent *entry;
	DIR *dir = opendir(".");

	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			fail_msg("%s was left behind", entry->d_name);
	closedir(dir);
	return descriptors_teardown(state);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0170000;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	strncpy(un.sun_path, path, sizeof(un.sun_path) - 1);
	return un;
}

/* A socket bound to @path by somebody else; listens if @backlog is not negative. */
static int foreign_socket(const char *path, int type, int backlog)
{
	struct sockaddr_un un = address_of(path);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void leave_dead(const char *path)
{
	close(foreign_socket(path, SOCK_STREAM, 5));
}

static int try_connect(const char *path)
{
	struct sockaddr_un un = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r = 0;

	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static void test_open(void **state)
{
	struct sfront_listener *listener = must_open(ME, "");
	struct sfront_connection connection;
	char text[SFRONT_ADDRESS_TEXT_SIZE], expected[64];
	int client = connect_to(listener, 0);

	(void)state;
	sfront_listener_format(listener, 0, text, sizeof(text));
	assert_string_equal(text, ME);
	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	assert_int_equal(connection.read_stream, SFRONT_STREAM_UNIX);
	sfront_connection_format(&connection, text, sizeof(text));
	snprintf(expected, sizeof(expected), "unix(pid=%d,uid=%u,gid=%u)", getpid(), getuid(),
		 getgid());
	assert_string_equal(text, expected);
	sfront_connection_close(&connection);
	close(client);
	assert_true(serves(listener, 0));
	sfront_listener_close(listener);
	assert_false(exists(ME));
}

static void test_odd_names(void **state)
{
	static const char *const names[] = { "./caf\xe9 \xff\n", "./.x", "./a:80", "././b" };
	char longest[SFRONT_PATH_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sfront_listener *listener = must_open(names[i], "");

		assert_true(exists(names[i]));
		assert_true(serves(listener, 0));
		sfront_listener_close(listener);
	}
	memset(longest, 'l', sizeof(longest));
	memcpy(longest, "./", 2);
	longest[SFRONT_PATH_MAX] = '\0';
	sfront_listener_close(must_open(longest, ""));
}

/* The mode is exact whatever the umask; without one the umask decides. */
static void test_mode(void **state)
{
	static const struct {
		const char *settings;
		mode_t umask;
		mode_t mode;
	} cases[] = {
		{ "unix-listen-chmod=owner", 0, 0600 },
		{ "unix-listen-chmod=group", 0777, 0660 },
		{ "unix-listen-chmod=everybody", 077, 0666 },
		{ "unix-listen-chmod=0", 0, 0 },
		{ "unix-listen-chmod=777", 022, 0777 },
		{ "", 027, 0750 },
		{ "", 0, 0777 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sfront_listener *listener = NULL;

		umask(cases[i].umask);
		listener = must_open(ME, cases[i].settings);
		assert_int_equal(mode_of(ME), cases[i].mode);
		assert_int_equal(umask(022), cases[i].umask);
		assert_string_equal(warnings, "");
		sfront_listener_close(listener);
	}
}

static void test_owner(void **state)
{
	struct sfront_listener *listener = NULL;
	struct stat st;

	(void)state;
	skip_unless(getuid() == 0, "root");
	listener = must_open(ME, "unix-listen-uid=1234 unix-listen-gid=4321 unix-listen-chmod=640");
	assert_int_equal(lstat(ME, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4321);
	assert_int_equal(st.st_mode & 07777, 0640);
	sfront_listener_close(listener);
	listener = must_open(ME, "unix-listen-gid=4321");
	assert_int_equal(lstat(ME, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 4321);
	sfront_listener_close(listener);
}

/* In the place of the C library's: how often the library gives a file away. */
static int given_away;

int fchownat(int fd, const char *file, uid_t owner, gid_t group, int flag)
{
	given_away++;
	return (int)syscall(SYS_fchownat, fd, file, owner, group, flag);
}

/* Whoever may not give files away need not where they are right already. */
static void test_owner_that_is_right(void **state)
{
	struct sfront_options *options;
	struct sfront_listener *listener;
	char settings[96];

	(void)state;
	snprintf(settings, sizeof(settings), "unix-listen-uid=%u unix-listen-gid=%u", geteuid(),
		 getegid());
	given_away = 0;
	listener = must_open(ME, settings);
	options = options_of(settings);
	assert_int_equal(sfront_listener_update(listener, NULL, options, &why), 0);
	assert_int_equal(given_away, 0);
	sfront_options_free(options);
	sfront_listener_close(listener);
}

static void unprivileged(void)
{
	struct sfront_listener *listener = NULL;

	CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
	CHECK(try_open(ME, "unix-listen-uid=0", &listener) == -EPERM);
	CHECK_CONTAINS(why.message, "unix-listen-uid");
	CHECK_CONTAINS(why.message, "User= in a systemd unit");
	CHECK(!exists(ME));
	CHECK(try_open(ME, "unix-listen-gid=1", &listener) == -EPERM);
	CHECK_CONTAINS(why.message, "unix-listen-gid");
	CHECK_CONTAINS(why.message, "SupplementaryGroups=");
	CHECK(!exists(ME));

	/* The kernel does not say what was bound: the file is found by its name. */
	listener = must_open(ME, "unix-listen-chmod=640 unix-listen-uid=65534");
	CHECK(mode_of(ME) == 0640 && serves(listener, 0));
	sfront_listener_close(listener);
	CHECK(!exists(ME));

	/* A directory that may be written and not read cannot be locked. */
	CHECK(mkdir("./blind", 0300) == 0);
	listener = must_open("./blind/x", "unix-listen-unlink");
	CHECK(serves(listener, 0));
	sfront_listener_close(listener);
	CHECK(chmod("./blind", 0500) == 0);
	CHECK(try_open("./blind/x", "", &listener) == -EACCES);
	CHECK_CONTAINS(why.message, "no permission");
	CHECK(rmdir("./blind") == 0);
}

static void test_unprivileged(void **state)
{
	(void)state;
	skip_unless(getuid() == 0, "root");
	assert_int_equal(chmod(".", 0777), 0);
	in_child(unprivileged);
}

/* What is in the way, and what is said of it without unix-listen-unlink and with it. */
static void assert_kept(const char *without, const char *with)
{
	struct sfront_listener *listener = NULL;
	struct stat before, after;

	assert_int_equal(lstat(ME, &before), 0);
	assert_int_equal(try_open(ME, "", &listener), -EADDRINUSE);
	assert_contains(why.message, without);
	assert_contains(why.message, "unix-listen-unlink");
	assert_contains(why.message, ME);
	assert_int_equal(try_open(ME, "unix-listen-unlink", &listener), -EADDRINUSE);
	assert_contains(why.message, with);
	assert_contains(why.message, ME);
	assert_int_equal(lstat(ME, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode, before.st_mode);
}

static void test_live_socket(void **state)
{
	int foreign = foreign_socket(ME, SOCK_STREAM, 5);

	(void)state;
	assert_kept("somebody listens there already", "somebody listens there already");
	assert_int_equal(try_connect(ME), 0);
	close(foreign);
	unlink(ME);
}

static void test_live_socket_full(void **state)
{
	struct sockaddr_un un = address_of(ME);
	int foreign = foreign_socket(ME, SOCK_STREAM, 0), clients[8], r = 0;
	size_t n = 0;

	(void)state;
	while (n < 8 && r == 0) {
		clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		r = connect(clients[n++], (struct sockaddr *)&un, sizeof(un)) < 0 ? -errno : 0;
	}
	assert_int_equal(r, -EAGAIN);
	assert_kept("somebody listens there already", "somebody listens there already");
	while (n > 0)
		close(clients[--n]);
	close(foreign);
	unlink(ME);
}

static void test_live_datagram_socket(void **state)
{
	int foreign = foreign_socket(ME, SOCK_DGRAM, -1);

	(void)state;
	assert_kept("somebody listens there already", "somebody listens there already");
	close(foreign);
	unlink(ME);
}

static void test_dead_socket(void **state)
{
	struct sfront_listener *listener = NULL;

	(void)state;
	leave_dead(ME);
	assert_int_equal(try_open(ME, "", &listener), -EADDRINUSE);
	assert_contains(why.message, "dead socket");
	assert_contains(why.message, "unix-listen-unlink");
	assert_true(exists(ME));
	assert_int_equal(try_open(ME, "unix-listen-unlink=no", &listener), -EADDRINUSE);

	listener = must_open(ME, "unix-listen-unlink unix-listen-chmod=600");
	assert_true(serves(listener, 0));
	assert_int_equal(mode_of(ME), 0600);
	sfront_listener_close(listener);
}

static void test_no_socket(void **state)
{
	int fd = open(ME, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	(void)state;
	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	assert_kept("a regular file", "a regular file");
	unlink(ME);
	assert_int_equal(mkdir(ME, 0755), 0);
	assert_kept("a directory", "a directory");
	rmdir(ME);
	assert_int_equal(mkfifo(ME, 0644), 0);
	assert_kept("a FIFO", "a FIFO");
	unlink(ME);
}

static void test_symbolic_link(void **state)
{
	(void)state;
	leave_dead(ME2);
	assert_int_equal(symlink(ME2, ME), 0);
	assert_kept("a symbolic link", "a symbolic link");
	assert_true(exists(ME2));
	unlink(ME2);
	assert_kept("a symbolic link", "a symbolic link"); /* to nothing */
	unlink(ME);
}

static void test_impossible_places(void **state)
{
	struct sfront_listener *listener = NULL;

	(void)state;
	assert_int_equal(try_open("./no/app.sock", "", &listener), -ENOENT);
	assert_contains(why.message, "./no does not exist");
	assert_int_equal(try_open("./", "", &listener), -EISDIR);
	assert_contains(why.message, "directory");
	assert_int_equal(try_open(".", "unix-listen-unlink", &listener), -EADDRINUSE);
	assert_contains(why.message, "a directory");
	assert_int_equal(try_open("..", "unix-listen-unlink", &listener), -EADDRINUSE);
	assert_int_equal(try_open("/dev/null/x", "", &listener), -ENOTDIR);
	assert_contains(why.message, "/dev/null is not a directory");
	assert_int_equal(try_open("/", "", &listener), -EISDIR);
}

/* Somebody moved our socket away and put another there: theirs stays. */
static void test_close_removes_only_ours(void **state)
{
	struct sfront_listener *listener = must_open(ME, "");
	int foreign;

	(void)state;
	assert_int_equal(unlink(ME), 0);
	foreign = foreign_socket(ME, SOCK_STREAM, 5);
	sfront_listener_close(listener);
	assert_int_equal(try_connect(ME), 0);
	close(foreign);
	unlink(ME);

	listener = must_open(ME, "");
	assert_int_equal(unlink(ME), 0);
	assert_int_equal(symlink("/dev/null", ME), 0);
	sfront_listener_close(listener);
	assert_true(exists(ME));
	unlink(ME);

	listener = must_open(ME, "");
	assert_int_equal(unlink(ME), 0);
	sfront_listener_close(listener);
}

/* As it is removed when it is closed, with the socket still open. */
static void test_remove_path(void **state)
{
	struct sfront_listener *listener = must_open(ME, "");
	struct sfront_connection connection;
	int client = connect_to(listener, 0), foreign;

	(void)state;
	assert_int_equal(sfront_listener_remove_path(listener, 1), -EINVAL);
	assert_int_equal(sfront_listener_remove_path(listener, 0), 0);
	assert_false(exists(ME));
	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	sfront_connection_close(&connection);
	close(client);
	assert_int_equal(sfront_listener_remove_path(listener, 0), -ENOENT);
	foreign = foreign_socket(ME, SOCK_STREAM, 5);
	assert_int_equal(sfront_listener_remove_path(listener, 0), -ESTALE);
	sfront_listener_close(listener);
	assert_int_equal(try_connect(ME), 0);
	close(foreign);
	unlink(ME);

	/* From the directory that it was made in, not from the one that is there now. */
	assert_int_equal(mkdir("./d", 0755), 0);
	listener = must_open("./d/app.sock", "");
	assert_int_equal(sfront_listener_check(listener, 0), 0);
	assert_int_equal(rename("./d", "./old"), 0);
	assert_int_equal(sfront_listener_check(listener, 0), -ENOENT);
	assert_int_equal(mkdir("./d", 0755), 0);
	foreign = foreign_socket("./d/app.sock", SOCK_STREAM, 5);
	assert_int_equal(sfront_listener_check(listener, 0), -ESTALE);
	assert_int_equal(sfront_listener_remove_path(listener, 0), 0);
	assert_int_equal(try_connect("./d/app.sock"), 0);
	sfront_listener_close(listener);
	close(foreign);
	unlink("./d/app.sock");
	assert_int_equal(rmdir("./old"), 0);
	rmdir("./d");

	listener = must_open("127.0.0.1:0", "");
	assert_int_equal(sfront_listener_remove_path(listener, 0), -ENOENT);
	sfront_listener_close(listener);
}

static void test_close_after_chdir(void **state)
{
	struct sfront_listener *listener = must_open(ME, "");

	(void)state;
	assert_int_equal(chdir("/"), 0);
	sfront_listener_close(listener);
	assert_int_equal(chdir(directory), 0);
	assert_false(exists(ME));
}

/* What tools that remove old sockets know a live one by. */
static void test_absolute_path(void **state)
{
	char here[PATH_MAX], long_name[128], expected[PATH_MAX + 16], text[256];
	struct sfront_listener *listener;
	struct sfront_sockaddr local;

	(void)state;
	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(mkdir("./a", 0700), 0);
	assert_int_equal(symlink("a", "./link"), 0);
	for (size_t i = 0; i < 3; i++) {
		static const char *const typed[] = { ME, "./link/../link/app.sock",
						     "././a/app.sock" };

		listener = must_open(typed[i], "");
		snprintf(expected, sizeof(expected), "%s%s/app.sock", here, i ? "/a" : "");
		assert_int_equal(sfront_listener_local(listener, 0, &local), 0);
		assert_string_equal(local.sa.un.sun_path, expected);
		sfront_listener_format(listener, 0, text, sizeof(text));
		assert_string_equal(text, typed[i]);
		assert_true(serves(listener, 0));
		sfront_listener_close(listener);
		assert_false(exists(typed[i]));
	}
	unlink("./link");

	/* As typed where the absolute one has no room. */
	snprintf(long_name, sizeof(long_name), "./a/%0*d", (int)(107 - strlen(here) - 2), 0);
	listener = must_open(long_name, "");
	assert_int_equal(sfront_listener_local(listener, 0, &local), 0);
	assert_string_equal(local.sa.un.sun_path, long_name);
	sfront_listener_close(listener);
	long_name[strlen(long_name) - 1] = '\0';
	listener = must_open(long_name, "");
	assert_int_equal(sfront_listener_local(listener, 0, &local), 0);
	assert_int_equal(strlen(local.sa.un.sun_path), 107);
	sfront_listener_close(listener);
	rmdir("./a");
}

/* In the place of the C library's: what happens just before the library locks, binds or pauses. */
static void (*before_lock)(void), (*before_bind)(void), (*before_pause)(void);
static unsigned int n_locks, n_pauses;

int nanosleep(const struct timespec *requested_time, struct timespec *remaining)
{
	void (*happens)(void) = before_pause;

	n_pauses++;
	before_pause = NULL;
	if (happens)
		happens();
	return -clock_nanosleep(CLOCK_REALTIME, 0, requested_time, remaining);
}

int flock(int fd, int operation)
{
	void (*happens)(void) = before_lock;

	n_locks++;
	before_lock = NULL;
	if (happens)
		happens();
	return (int)syscall(SYS_flock, fd, operation);
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	void (*happens)(void) = before_bind;

	before_bind = NULL;
	if (happens)
		happens();
	return (int)syscall(SYS_bind, fd, addr, len);
}

static int victim;

/* Another directory is at the path; in the one that was opened is somebody else's socket. */
static void replace_directory(void)
{
	assert_int_equal(rename("./d", "./old"), 0);
	assert_int_equal(mkdir("./d", 0755), 0);
	victim = foreign_socket("./old/app.sock", SOCK_STREAM, 5);
	assert_int_equal(chmod("./old/app.sock", 0600), 0);
}

static void while_directory_is_replaced(void)
{
	struct sfront_listener *listener = NULL;
	struct stat st;
	int r;

	assert_int_equal(mkdir("./d", 0755), 0);
	before_bind = replace_directory;
	r = try_open("./d/app.sock", "unix-listen-chmod=666 unix-listen-uid=1234", &listener);
	assert_int_equal(r, -EBUSY);
	assert_contains(why.message, "another process replaced the directory");
	assert_int_equal(lstat("./old/app.sock", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(try_connect("./old/app.sock"), 0);
	close(victim);
	unlink("./old/app.sock");
	rmdir("./old");
}

static void without_net_admin(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	CHECK(syscall(SYS_capget, &header, data) == 0);
	data[0].effective &= ~(1u << CAP_NET_ADMIN);
	CHECK(syscall(SYS_capset, &header, data) == 0);
	while_directory_is_replaced();
	unlink("./d/app.sock"); /* what it is could not be told */
	rmdir("./d");
}

static void test_directory_is_replaced(void **state)
{
	(void)state;
	skip_unless(getuid() == 0, "root");
	while_directory_is_replaced();
	assert_int_equal(rmdir("./d"), 0); /* what was bound in there is gone */
	in_child(without_net_admin);
}

/* Whether somebody listens is asked of the file that would be removed. */
static void replace_by_dead(void)
{
	assert_int_equal(rename("./d", "./old"), 0);
	assert_int_equal(mkdir("./d", 0755), 0);
	leave_dead("./d/app.sock");
}

static void test_live_socket_in_a_replaced_directory(void **state)
{
	struct sfront_listener *listener = NULL;

	(void)state;
	assert_int_equal(mkdir("./d", 0755), 0);
	victim = foreign_socket("./d/app.sock", SOCK_STREAM, 5);
	before_lock = replace_by_dead;
	assert_int_equal(try_open("./d/app.sock", "unix-listen-unlink", &listener), -EADDRINUSE);
	assert_int_equal(try_connect("./old/app.sock"), 0);
	close(victim);
	unlink("./old/app.sock");
	unlink("./d/app.sock");
	rmdir("./old");
	rmdir("./d");
}

/* /proc is what chmod() of an open file goes through, and much else that can do without. */
static void without_proc(void)
{
	struct sfront_listener *listener;

	CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
	CHECK(umount2("/proc", MNT_DETACH) == 0);
	CHECK(access("/proc/self", F_OK) < 0);
	umask(077);
	if (syscall(452 /* fchmodat2 */, -1, "", 0, 0) < 0 && errno == ENOSYS) {
		CHECK(try_open(ME, "unix-listen-chmod=666", &listener) == -ENOSYS);
		CHECK_CONTAINS(why.message, "it takes /proc to be mounted, or Linux 6.6");
		CHECK(!exists(ME));
	} else {
		listener = must_open(ME, "unix-listen-chmod=666");
		CHECK(mode_of(ME) == 0666 && serves(listener, 0));
		sfront_listener_close(listener);
	}
	listener = must_open(ME, "unix-listen-chmod=600"); /* as the umask leaves it */
	CHECK(mode_of(ME) == 0600);
	sfront_listener_close(listener);
	leave_dead(ME);
	listener = must_open(ME, "unix-listen-unlink");
	CHECK(serves(listener, 0));
	CHECK(try_open(ME, "unix-listen-unlink", &listener) == -EADDRINUSE);
	CHECK_CONTAINS(why.message, "somebody listens there already");
	sfront_listener_close(listener);
	_exit(0); /* the sanitizers would look for /proc */
}

static void test_without_proc(void **state)
{
	(void)state;
	skip_unless(getuid() == 0, "root");
	in_child(without_proc);
}

static void test_failure_leaves_nothing(void **state)
{
	const char *const texts[] = { ME, "./no/x", NULL };
	struct sfront_listener *listener = NULL;

	(void)state;
	assert_int_equal(try_open_all(texts, "", &listener), -ENOENT);
	assert_false(exists(ME));
	assert_int_equal(
		try_open(ME, "unix-listen-uid=4294967294 unix-listen-gid=4294967294", &listener),
		getuid() == 0 ? 0 : -EPERM);
	if (getuid() == 0)
		sfront_listener_close(listener);
	assert_false(exists(ME));
}

/* Locks the directory in a child, as @how, for @ms.  Returns once that is done. */
static pid_t lock_as(int how, int ms)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (flock(fd, how) == 0)
			(void)!write(ready[1], "x", 1);
		poll(NULL, 0, ms);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static pid_t lock_for(int ms)
{
	return lock_as(LOCK_EX, ms);
}

/* In the place of the C library's: how old a file is for the library, which nobody can set. */
static time_t ahead;

time_t time(time_t *timer)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (timer)
		*timer = ts.tv_sec + ahead;
	return ts.tv_sec + ahead;
}

/* "process 123 (test_unix)" */
static void describe_holder(pid_t pid, char *buf, size_t size)
{
	char path[64], name[32];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	file = fopen(path, "re");
	assert_true(file && fgets(name, sizeof(name), file));
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
	snprintf(buf, size, "process %d (%s)", pid, name);
}

static void unlock(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Anybody can lock a directory that they may open: that keeps nothing from opening or closing. */
static void test_directory_that_others_lock(void **state)
{
	pid_t pid = lock_for(30000);
	struct sfront_listener *listener = must_open(ME, "unix-listen-chmod=600");

	(void)state;
	assert_string_equal(warnings, "");
	assert_true(serves(listener, 0));
	sfront_listener_close(listener);
	assert_false(exists(ME));
	unlock(pid);

	/* Nobody keeps the lock while listening. */
	listener = must_open(ME, "");
	waitpid(lock_for(0), NULL, 0);
	sfront_listener_close(listener);
}

#define PATHS 20

/* Nor does it hold up a start: a free path waits for nothing, and neither does a live one. */
static void test_many_paths_where_others_lock(void **state)
{
	struct sfront_listener *listeners[PATHS], *second = NULL;
	pid_t pid = lock_as(LOCK_SH, 30000);
	char path[32];

	(void)state;
	n_locks = n_pauses = 0;
	for (int i = 0; i < PATHS; i++) {
		snprintf(path, sizeof(path), "./app%d.sock", i);
		listeners[i] = must_open(path, "unix-listen-unlink");
		assert_string_equal(warnings, "");
	}
	assert_int_equal(try_open(path, "unix-listen-unlink", &second), -EADDRINUSE);
	assert_int_equal(n_pauses, 0);
	assert_int_equal(n_locks, PATHS + 1);
	for (int i = 0; i < PATHS; i++)
		sfront_listener_close(listeners[i]);
	unlock(pid);
}

/* A dead socket is removed under the lock; without that, once it cannot be one about to listen. */
static void test_dead_socket_under_a_lock(void **state)
{
	struct sfront_listener *listener = NULL;
	pid_t pid = lock_for(200);
	char holder[64];

	(void)state;
	leave_dead(ME);
	listener = must_open(ME, "unix-listen-unlink");
	assert_string_equal(warnings, "");
	sfront_listener_close(listener);
	waitpid(pid, NULL, 0);

	leave_dead(ME);
	pid = lock_for(30000);
	describe_holder(pid, holder, sizeof(holder));
	assert_int_equal(try_open(ME, "unix-listen-unlink", &listener), -EADDRINUSE);
	assert_contains(why.message, "directory . must be locked");
	assert_contains(why.message, holder);
	assert_contains(why.message, "try again in 3 seconds");
	assert_true(exists(ME));

	ahead = 60;
	listener = must_open(ME, "unix-listen-unlink");
	ahead = 0;
	assert_contains(warnings, "the dead socket there is removed although");
	assert_contains(warnings, holder);
	assert_true(serves(listener, 0));
	sfront_listener_close(listener);
	unlock(pid);
}

/* What a young socket does while it is looked at: it was bound without the lock. */
static int about_to_listen = -1;

static void listen_now(void)
{
	assert_int_equal(listen(about_to_listen, 5), 0);
}

/* A process that found the lock taken binds all the same: nobody removes what it is about to open.
 */
static void test_young_socket_is_asked_again(void **state)
{
	struct sfront_listener *listener = NULL;

	(void)state;
	about_to_listen = foreign_socket(ME, SOCK_STREAM, -1);
	before_pause = listen_now;
	assert_int_equal(try_open(ME, "unix-listen-unlink", &listener), -EADDRINUSE);
	assert_contains(why.message, "somebody listens there already");
	assert_int_equal(try_connect(ME), 0);
	close(about_to_listen);
	unlink(ME);
}

#define RIVALS 6

/* It listens already; or it was the one to bind where the dead one was removed. */
static bool tells_of_the_winner(const char *message)
{
	return strstr(message, "listens there already") ||
	       strstr(message, "another process took the path just now");
}

/* One of the rivals for a path that a dead socket is in the way of.  Returns 1 if it won. */
static int compete(int start, int stop)
{
	struct sfront_listener *listener = NULL;
	char byte;

	(void)!read(start, &byte, 1); /* ends when the parent closes it */
	if (try_open(ME, "unix-listen-unlink", &listener) < 0)
		return tells_of_the_winner(why.message) ? 0 : 2;
	(void)!read(stop, &byte, 1);
	if (try_connect(ME) < 0)
		return 3;
	sfront_listener_close(listener);
	return 1;
}

/* However many want the path at once, one gets it, and nobody removes it from the winner. */
static void test_rivals(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		int start[2], stop[2], winners = 0, status;
		pid_t pids[RIVALS];

		leave_dead(ME);
		assert_int_equal(pipe2(start, O_CLOEXEC), 0);
		assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
		fflush(NULL);
		for (int i = 0; i < RIVALS; i++) {
			pids[i] = fork();
			if (pids[i] == 0) {
				close(start[1]);
				close(stop[1]);
				_exit(compete(start[0], stop[0]));
			}
		}
		close(start[1]);
		for (int i = 0; i < RIVALS - 1; i++) {
			/* All but one end by themselves. */
			assert_true(waitpid(-1, &status, 0) > 0);
			assert_int_equal(status, 0);
		}
		close(stop[1]);
		assert_true(waitpid(-1, &status, 0) > 0);
		winners += WIFEXITED(status) && WEXITSTATUS(status) == 1;
		assert_int_equal(winners, 1);
		close(start[0]);
		close(stop[0]);
		assert_false(exists(ME));
	}
}

static void test_buffers(void **state)
{
	struct sfront_listener *listener = must_open(ME, "send-buffer-size=30000");
	struct sfront_connection connection;
	int client = connect_to(listener, 0);

	(void)state;
	assert_int_equal(sfront_listener_accept(listener, &connection), 0);
	assert_int_equal(socket_option(connection.write_fd, SOL_SOCKET, SO_SNDBUF), 60000);
	assert_string_equal(warnings, "");
	sfront_connection_close(&connection);
	close(client);
	sfront_listener_close(listener);

	listener = must_open(ME, "recv-buffer-size=30000 tcp-nodelay tcp-listen-backlog=7");
	assert_contains(warnings, "recv-buffer-size bounds nothing");
	assert_contains(warnings, "tcp-nodelay has no effect on " ME);
	assert_null(strstr(warnings, "backlog"));
	sfront_listener_close(listener);
}

static void test_abstract(void **state)
{
	static const char *const names[] = { "@sockfront-test", "@/sock front\xff" };
	struct sfront_listener *listener, *second;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char text[SFRONT_ADDRESS_TEXT_SIZE];

		listener = must_open(names[i], "");
		sfront_listener_format(listener, 0, text, sizeof(text));
		assert_string_equal(text, names[i]);
		assert_true(serves(listener, 0));
		assert_int_equal(try_open(names[i], "unix-listen-unlink", &second), -EADDRINUSE);
		assert_contains(why.message, names[i]);
		sfront_listener_close(listener);
	}
	listener = must_open("@sockfront-test", "unix-listen-chmod=owner send-buffer-size=9000");
	assert_string_equal(warnings, "unix-listen-chmod has no effect on @sockfront-test\n");
	sfront_listener_close(listener);
}

#define isolated(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		isolated(test_open),
		isolated(test_odd_names),
		isolated(test_mode),
		isolated(test_owner),
		isolated(test_owner_that_is_right),
		isolated(test_unprivileged),
		isolated(test_live_socket),
		isolated(test_live_socket_full),
		isolated(test_live_datagram_socket),
		isolated(test_dead_socket),
		isolated(test_no_socket),
		isolated(test_symbolic_link),
		isolated(test_impossible_places),
		isolated(test_close_removes_only_ours),
		isolated(test_remove_path),
		isolated(test_close_after_chdir),
		isolated(test_absolute_path),
		isolated(test_directory_is_replaced),
		isolated(test_live_socket_in_a_replaced_directory),
		isolated(test_without_proc),
		isolated(test_failure_leaves_nothing),
		isolated(test_directory_that_others_lock),
		isolated(test_dead_socket_under_a_lock),
		isolated(test_many_paths_where_others_lock),
		isolated(test_young_socket_is_asked_again),
		isolated(test_rivals),
		isolated(test_buffers),
		isolated(test_abstract),
	};
	int failed;

	if (!mkdtemp(directory) || chdir(directory) < 0)
		return 1;
	failed = cmocka_run_group_tests_name("unix", tests, NULL, NULL);
	return chdir("/") < 0 || rmdir(directory) < 0 ? 1 : failed;
}
