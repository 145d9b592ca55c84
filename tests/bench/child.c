/* SPDX-License-Identifier: MIT */
/*
 * Children that do not outlive their parent: see child.h.
 */
#include "tests/bench/child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/load.h"

pid_t child_fork(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		fatal("fork: %s", strerror(errno));
	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(1);
	return pid;
}

bool child_has_ended(void)
{
	return waitpid(-1, NULL, WNOHANG) > 0;
}
