#include "common/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/fd.h"
#include "common/base/signals.h"
#include "common/base/str.h"

#define FALLBACK_PATH "/usr/local/bin:/usr/bin:/bin"
#define FIRST_FREE_FD 3

/* Everything that the child needs, made before the fork: it must not allocate. */
struct plan {
	const struct process_options *options;
	char **candidates; /* absolute paths to try, in order */
	char *const *argv, *const *envp;
	int dev_null, report_fd;
	pid_t parent;
};

/* What the child writes into the pipe when it fails. */
struct failure {
	int errnum;
	char step[16];
};

static const char *path_of(const char *const *envp)
{
	for (size_t i = 0; envp != NULL && envp[i] != NULL; i++) {
		if (str_starts(envp[i], "PATH="))
			return envp[i] + strlen("PATH=");
	}
	return FALLBACK_PATH;
}

/* Relative entries of PATH are left out: they would mean the child's working directory, which an agent can write. */
static char **find_candidates(const struct process_options *options)
{
	const char *name = options->argv[0];
	if (name[0] == '/')
		return strv_split(name, '\0');
	char **folders = strv_split(path_of(options->envp), ':');
	size_t kept = 0;
	for (size_t i = 0; folders[i] != NULL; i++) {
		char *folder = folders[i];
		folders[i] = NULL;
		if (folder[0] == '/')
			folders[kept++] = xasprintf("%s/%s", folder, name);
		free(folder);
	}
	return folders;
}

/* From here to run_child: only async-signal-safe calls. */

static NORETURN void fail_child(const struct plan *plan, const char *step)
{
	struct failure failure = {.errnum = errno};
	memcpy(failure.step, step, strnlen(step, sizeof(failure.step) - 1));
	(void)!write(plan->report_fd, &failure, sizeof(failure)); /* below PIPE_BUF: whole, or the parent is gone */
	_exit(127);
}

static void set_limit(const struct plan *plan, int resource, uint64_t value)
{
	struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
	if (value > 0 && setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		fail_child(plan, "setrlimit");
}

/* All descriptors close at exec but 0, 1, 2 and the kept ones. */
static void close_the_rest(const struct plan *plan)
{
	if (close_range(FIRST_FREE_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
		struct rlimit limit; /* a kernel before 5.11, or a sandbox without the call */
		if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
			fail_child(plan, "getrlimit");
		int end = limit.rlim_cur < 65536 ? (int)limit.rlim_cur : 65536;
		for (int fd = FIRST_FREE_FD; fd < end; fd++)
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC); /* EBADF: not open */
	}
	for (size_t i = 0; i < plan->options->keep_fds_len; i++) {
		if (fcntl(plan->options->keep_fds[i], F_SETFD, 0) < 0)
			fail_child(plan, "keep_fds");
	}
}

/* First away from 0 to 2, then onto them: the sources may be 0 to 2 in any order. */
static void set_stdio(const struct plan *plan)
{
	const struct process_options *options = plan->options;
	int sources[3] = {options->stdin_fd, options->stdout_fd, options->stderr_fd};
	for (int i = 0; i < 3; i++) {
		if (sources[i] < 0)
			sources[i] = plan->dev_null;
		else if (sources[i] < FIRST_FREE_FD)
			sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		if (sources[i] < 0)
			fail_child(plan, "dup");
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(sources[i], i) < 0)
			fail_child(plan, "dup2");
	}
}

static NORETURN void run_child(const struct plan *plan)
{
	const struct process_options *options = plan->options;
	if (options->new_session ? setsid() < 0 : setpgid(0, 0) < 0)
		fail_child(plan, "process group");
	if (options->die_with_parent) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			fail_child(plan, "prctl");
		if (getppid() != plan->parent)
			_exit(127); /* it died before the prctl: no signal will come */
	}
	if (options->cgroup_fd > 0 && write(options->cgroup_fd, "0", 1) < 0)
		fail_child(plan, "cgroup");
	set_stdio(plan);
	close_the_rest(plan);
	if (options->cwd != NULL && chdir(options->cwd) < 0)
		fail_child(plan, "chdir");
	set_limit(plan, RLIMIT_NOFILE, options->limit_nofile);
	set_limit(plan, RLIMIT_FSIZE, options->limit_fsize_bytes);
	set_limit(plan, RLIMIT_NPROC, options->limit_nproc);
	set_limit(plan, RLIMIT_DATA, options->limit_data_bytes);
	signals_reset_in_child();

	int errnum = ENOENT;
	for (size_t i = 0; plan->candidates[i] != NULL; i++) {
		(void)execve(plan->candidates[i], plan->argv, plan->envp); /* returns only to fail */
		if (errno != ENOENT && errno != ENOTDIR)
			errnum = errno;
		if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
			break;
	}
	errno = errnum;
	fail_child(plan, "exec");
}

/* Fork with all signals blocked: no handler runs in the child before it has reset them. */
static pid_t fork_quietly(const struct plan *plan)
{
	sigset_t all, before;
	(void)sigfillset(&all); /* cannot fail */
	CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	pid_t pid = fork();
	if (pid == 0)
		run_child(plan);
	int errnum = errno;
	CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	errno = errnum;
	return pid;
}

/* Waits for exec (the pipe closes) or for the child's report. */
static int wait_for_exec(const struct process_options *options, pid_t pid, int report_fd, struct error *err)
{
	struct failure failure;
	ssize_t got = fd_read_up_to(report_fd, &failure, sizeof(failure));
	if (got == 0)
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
	}
	if (got != (ssize_t)sizeof(failure))
		return error_set(err, ERR_INTERNAL, "%s: no report from the child", options->argv[0]);
	if (str_equal(failure.step, "chdir"))
		return error_set_errno(err, failure.errnum, "%s: working directory %s", options->argv[0], options->cwd);
	if (options->ret_exec_failed != NULL && str_equal(failure.step, "exec"))
		*options->ret_exec_failed = true;
	return error_set_errno(err, failure.errnum, "%s: %s", options->argv[0], failure.step);
}

/* A pipe whose ends are not 0 to 2, which the child overwrites. */
static int make_report_pipe(int *ret_read_fd, int *ret_write_fd, struct error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	CLEANUP(close_p) int read_end = ends[0];
	CLEANUP(close_p) int write_end = ends[1];
	int moved = fcntl(write_end, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	if (moved < 0)
		return error_set_errno(err, errno, "pipe");
	*ret_read_fd = fd_take(&read_end);
	*ret_write_fd = moved;
	return 0;
}

static int open_dev_null(struct error *err)
{
	CLEANUP(close_p) int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	return moved >= 0 ? moved : error_set_errno(err, errno, "/dev/null");
}

int process_spawn(const struct process_options *options, pid_t *ret_pid, struct error *err)
{
	static char *const no_environment[] = {NULL};
	const char *name = options->argv[0];
	CHECK(name != NULL);
	if (name[0] == '\0' || (name[0] != '/' && strchr(name, '/') != NULL))
		return error_set(err, ERR_INVALID, "\"%s\" is neither an absolute path nor a name", name);
	for (size_t i = 0; i < options->keep_fds_len; i++)
		CHECK(options->keep_fds[i] >= FIRST_FREE_FD);

	CLEANUP(strv_free_p) char **candidates = find_candidates(options);
	CLEANUP(close_p) int dev_null = open_dev_null(err);
	if (dev_null < 0)
		return -1;
	CLEANUP(close_p) int report_read = -1;
	CLEANUP(close_p) int report_write = -1;
	if (make_report_pipe(&report_read, &report_write, err) < 0)
		return -1;
	struct plan plan = {.options = options,
						.candidates = candidates,
						.dev_null = dev_null,
						.report_fd = report_write,
						.parent = getpid()};
	/* execve's types lack a const that its behaviour has. */
	memcpy(&plan.argv, &options->argv, sizeof(plan.argv));
	plan.envp = no_environment;
	if (options->envp != NULL)
		memcpy(&plan.envp, &options->envp, sizeof(plan.envp));

	pid_t pid = fork_quietly(&plan);
	if (pid < 0)
		return error_set_errno(err, errno, "fork");
	close_p(&report_write);
	if (wait_for_exec(options, pid, report_read, err) < 0)
		return -1;
	*ret_pid = pid;
	return 0;
}
