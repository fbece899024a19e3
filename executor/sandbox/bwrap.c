/*
 * KILN_SANDBOX=bwrap: bubblewrap with a new namespace of every kind, a root that has nothing of the host but programs
 * and libraries, no capabilities, no new privileges, and a filter of system calls. The first process inside is
 * kiln-sandbox-init (init/main.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/remove_tree.h"
#include "executor/sandbox/cgroup.h"
#include "executor/sandbox/sandbox.h"
#include "executor/sandbox/seccomp_filter.h"

#define INIT_NAME "kiln-sandbox-init"
#define INIT "/run/kiln/init"
#define USER_ID "1000"
#define SHM_BYTES "67108864" /* of shared memory by name; it is the machine's */
#define MAX_OPEN_FILES 16384
#define MAX_ARGS 256
#define MAX_FDS 16
#define TEXT_BYTES 24
#define PROBE "probe-sandbox"
#define CHILDREN "/proc/thread-self/children" /* CONFIG_PROC_CHILDREN: the watch needs it */
#define PROBE_MS 30000
#define PROBE_TEXT_BYTES 512

/* What an agent may read of the host's /etc: where certificates are, and where links of /usr lead to. Folders are
 * bound; files are copied, which costs less than a mount. */
static const char *const shown[] = {"/etc/alternatives", "/etc/ssl/certs"};
static const char *const copied[] = {"/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf"};

/* And what stands there instead of the host's own. */
static const struct {
	const char *path, *text;
} made[] = {
	{"/etc/passwd",
	 "root:x:0:0:root:/:/usr/sbin/nologin\n"
	 "agent:x:" USER_ID ":" USER_ID ":agent:" SANDBOX_HOME ":/bin/sh\n"
	 "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"},
	{"/etc/group", "root:x:0:\nagent:x:" USER_ID ":\nnogroup:x:65534:\n"},
	{"/etc/hosts", "127.0.0.1 localhost kiln\n::1 localhost\n"},
	{"/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
};

/* What bubblewrap is started with. */
struct plan {
	char *argv[MAX_ARGS + 1];
	size_t argv_len;
	int fds[MAX_FDS]; /* that it inherits; the first `own_len` are closed here afterwards */
	size_t fds_len, own_len;
};

static void arg(struct plan *plan, const char *text)
{
	CHECK(plan->argv_len < MAX_ARGS);
	plan->argv[plan->argv_len++] = xstrdup(text);
}

static void args2(struct plan *plan, const char *option, const char *first, const char *second)
{
	arg(plan, option);
	arg(plan, first);
	if (second != NULL)
		arg(plan, second);
}

static void arg_number(struct plan *plan, uint64_t number)
{
	char text[TEXT_BYTES];
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	arg(plan, text);
}

/* Takes the descriptor over. */
static void inherit(struct plan *plan, int fd)
{
	CHECK(plan->fds_len < MAX_FDS && plan->fds_len == plan->own_len);
	plan->fds[plan->fds_len++] = fd;
	plan->own_len++;
}

static void plan_release(struct plan *plan)
{
	for (size_t i = 0; i < plan->argv_len; i++)
		free(plan->argv[i]);
	for (size_t i = 0; i < plan->own_len; i++)
		close_p(&plan->fds[i]);
}

/* ---- the parts of the plan */

static void add_namespaces(struct plan *plan)
{
	static const char *const options[] = {"--unshare-user",
										  "--unshare-pid",
										  "--unshare-ipc",
										  "--unshare-uts",
										  "--unshare-cgroup",
										  "--unshare-net",
										  "--uid",
										  USER_ID,
										  "--gid",
										  USER_ID,
										  "--hostname",
										  "kiln",
										  "--die-with-parent",
										  "--as-pid-1",
										  "--cap-drop",
										  "ALL"};
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		arg(plan, options[i]);
}

/* /bin and its like: links on a merged Debian, folders elsewhere. */
static void add_root_folder(struct plan *plan, const char *path)
{
	struct stat info;
	char target[PATH_MAX];
	if (lstat(path, &info) < 0)
		return;
	ssize_t len = S_ISLNK(info.st_mode) ? readlink(path, target, sizeof(target) - 1) : -1;
	if (len > 0) {
		target[len] = '\0';
		args2(plan, "--symlink", target, path);
	} else if (S_ISDIR(info.st_mode)) {
		args2(plan, "--ro-bind", path, path);
	}
}

/* Takes the descriptor over. */
static void add_file(struct plan *plan, int fd, const char *path)
{
	args2(plan, "--perms", "0444", "--file");
	arg_number(plan, (uint64_t)fd);
	arg(plan, path);
	inherit(plan, fd);
}

static int add_files(struct plan *plan, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		int fd = open(copied[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0) /* not every machine has all of them */
			add_file(plan, fd, copied[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(made); i++) {
		int fd = fd_of_bytes("etc", made[i].text, strlen(made[i].text));
		if (fd < 0)
			return error_set_errno(err, errno, "%s of the sandbox", made[i].path);
		add_file(plan, fd, made[i].path);
	}
	return 0;
}

static void add_folder(struct plan *plan, const char *path)
{
	args2(plan, "--perms", "0755", "--dir");
	arg(plan, path);
}

static int add_system(struct plan *plan, struct error *err)
{
	static const char *const folders[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
	static const char *const empty[] = {"/etc", "/etc/ssl", "/home", "/run", "/run/kiln", "/var"};
	args2(plan, "--ro-bind", "/usr", "/usr");
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		add_root_folder(plan, folders[i]);
	for (size_t i = 0; i < ARRAY_LEN(empty); i++)
		add_folder(plan, empty[i]);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		args2(plan, "--ro-bind-try", shown[i], shown[i]);
	if (add_files(plan, err) < 0)
		return -1;
	args2(plan, "--symlink", SANDBOX_TMP, "/var/tmp");
	args2(plan, "--proc", "/proc", NULL);
	args2(plan, "--dev", "/dev", NULL);
	args2(plan, "--size", SHM_BYTES, "--perms");
	args2(plan, "1777", "--tmpfs", "/dev/shm");
	args2(plan, "--remount-ro", "/dev", NULL);
	return 0;
}

/* The program that is run, where it is. Of a folder of command agents all of it: they may use each other. */
static void add_program(struct plan *plan, const struct executor_config *config, const char *program)
{
	const char *agents = config->command_agents_dir;
	if (agents != NULL && str_starts(program, agents) && program[strlen(agents)] == '/') {
		args2(plan, "--ro-bind", agents, agents);
	} else {
		CLEANUP(free_p) char *real = realpath(program, NULL);
		const char *file = real != NULL ? real : program;
		/* A link leads to the file itself, which then stands in its place; a link of /usr is there, and leads to it. */
		if (!str_starts(program, "/usr/"))
			args2(plan, "--ro-bind", file, program);
		else if (!str_starts(file, "/usr/"))
			args2(plan, "--ro-bind", file, file);
	}
	for (size_t i = 0; config->sandbox_readable != NULL && config->sandbox_readable[i] != NULL; i++)
		args2(plan, "--ro-bind", config->sandbox_readable[i], config->sandbox_readable[i]);
}

static void add_writable(struct plan *plan, const struct sandbox_spec *spec)
{
	args2(plan, "--bind", spec->files, SANDBOX_FILES);
	args2(plan, "--bind", spec->home, SANDBOX_HOME);
	args2(plan, "--bind", spec->tmp, SANDBOX_TMP);
}

static int add_init(struct plan *plan, struct error *err)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len <= 0)
		return error_set_errno(err, errno, "/proc/self/exe");
	self[len] = '\0';
	*(strrchr(self, '/') + 1) = '\0'; /* it is absolute */
	CLEANUP(free_p) char *init = xasprintf("%s" INIT_NAME, self);
	args2(plan, "--ro-bind", init, INIT);
	return 0;
}

/* Made once, and kept by what is forked from here. */
static int make_filter(struct error *err)
{
	static int fd = -1;
	CLEANUP(free_p) char *base = fd < 0 ? cgroup_base() : NULL;
	if (fd < 0 && seccomp_filter_make(base == NULL, &fd, err) < 0)
		return -1;
	return fd;
}

/* For one bubblewrap, which reads to its end: an offset of its own. */
static int open_filter(struct error *err)
{
	int kept = make_filter(err);
	if (kept < 0)
		return -1;
	char path[TEXT_BYTES + sizeof("/proc/self/fd/")];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", kept);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 ? fd : error_set_errno(err, errno, "the filter of system calls");
}

static int add_root(struct plan *plan, const struct sandbox_spec *spec, const char *program, struct error *err)
{
	arg(plan, spec->config->bwrap_program);
	add_namespaces(plan);
	if (add_system(plan, err) < 0)
		return -1;
	add_writable(plan, spec);
	add_program(plan, spec->config, program);
	if (spec->objects != NULL)
		args2(plan, "--ro-bind", spec->objects, SANDBOX_OBJECTS);
	if (spec->model_socket != NULL)
		args2(plan, "--ro-bind", spec->model_socket, SANDBOX_MODEL_SOCKET);
	if (add_init(plan, err) < 0)
		return -1;
	args2(plan, "--remount-ro", "/", NULL);
	args2(plan, "--chdir", SANDBOX_FILES, NULL);
	return 0;
}

/* The command line of kiln-sandbox-init, and the agent's behind it. */
static void add_command(struct plan *plan, const struct sandbox_spec *spec, const char *const *argv, int status_fd)
{
	const struct executor_config *config = spec->config;
	args2(plan, "--", INIT, NULL);
	arg_number(plan, (uint64_t)status_fd);
	arg(plan, spec->model_socket != NULL ? "1" : "0");
	arg_number(plan, MAX_OPEN_FILES);
	arg_number(plan, (uint64_t)config->agent_max_file_bytes);
	arg_number(plan, (uint64_t)config->agent_max_processes);
	arg_number(plan, (uint64_t)config->agent_cpu_s);
	for (size_t i = 0; argv[i] != NULL; i++)
		arg(plan, argv[i]);
}

static int make_plan(struct plan *plan, const struct sandbox_spec *spec, const struct process_options *options,
					 int *ret_status_fd, struct error *err)
{
	int ends[2];
	if (add_root(plan, spec, options->argv[0], err) < 0)
		return -1;
	int filter = open_filter(err);
	if (filter < 0)
		return -1;
	arg(plan, "--seccomp");
	arg_number(plan, (uint64_t)filter);
	inherit(plan, filter);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "pipe");
	inherit(plan, ends[1]);
	add_command(plan, spec, options->argv, ends[1]);
	CHECK(plan->fds_len + options->keep_fds_len <= MAX_FDS);
	for (size_t i = 0; i < options->keep_fds_len; i++)
		plan->fds[plan->fds_len++] = options->keep_fds[i]; /* these stay ours */
	*ret_status_fd = ends[0];
	return 0;
}

static int join_cgroup(const struct sandbox_spec *spec, char **ret_path, int *ret_fd, struct error *err)
{
	CLEANUP(free_p) char *base = cgroup_base();
	const struct cgroup_limits limits = {.memory_bytes = spec->config->agent_memory_bytes,
										 .processes = spec->config->agent_max_processes};
	return base == NULL ? 0 : cgroup_make(base, spec->lease_id, &limits, ret_path, ret_fd, err);
}

static int start(const struct sandbox_spec *spec, const struct process_options *options, struct plan *plan,
				 struct sandboxed *sandboxed, struct error *err)
{
	CLEANUP(close_p) int cgroup_fd = -1;
	if (make_plan(plan, spec, options, &sandboxed->status_fd, err) < 0 ||
		join_cgroup(spec, &sandboxed->cgroup, &cgroup_fd, err) < 0)
		return -1;
	const char *argv[MAX_ARGS + 1];
	for (size_t i = 0; i <= plan->argv_len; i++)
		argv[i] = plan->argv[i];
	struct process_options confined = *options;
	confined.argv = argv;
	confined.cwd = "/";
	confined.keep_fds = plan->fds;
	confined.keep_fds_len = plan->fds_len;
	confined.cgroup_fd = cgroup_fd;
	return process_spawn(&confined, &sandboxed->pid, err);
}

static int spawn(const struct sandbox_spec *spec, const struct process_options *options, struct sandboxed *ret,
				 struct error *err)
{
	struct plan plan = {.argv_len = 0};
	struct sandboxed sandboxed = {.status_fd = -1};
	int rc = start(spec, options, &plan, &sandboxed, err);
	plan_release(&plan);
	if (rc < 0) {
		sandboxed_release(&sandboxed);
		err->kind = ERR_UNAVAILABLE; /* the agent's program comes later: whatever is missing until then is ours */
		return -1;
	}
	*ret = sandboxed;
	return 0;
}

/* ---- set-up */

/* What it said on standard error, in one line. */
static void read_answer(int fd, char text[PROBE_TEXT_BYTES])
{
	ssize_t got = pread(fd, text, PROBE_TEXT_BYTES - 1, 0);
	text[got > 0 ? got : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

static int probe_in(const struct sandbox_spec *spec, struct error *err)
{
	static const char *const argv[] = {"/usr/bin/true", NULL};
	struct sandboxed sandboxed = {.status_fd = -1};
	CLEANUP(close_p) int answer_fd = memfd_create("answer", MFD_CLOEXEC);
	if (answer_fd < 0)
		return error_set_errno(err, errno, "probe of the sandbox");
	struct process_options options = {.argv = argv,
									  .stdin_fd = -1,
									  .stdout_fd = -1,
									  .stderr_fd = answer_fd,
									  .new_session = true,
									  .die_with_parent = true};
	int child_status = 0, status = 0;
	if (spawn(spec, &options, &sandboxed, err) < 0)
		return -1;
	int rc = process_wait(sandboxed.pid, clock_boot_ms() + PROBE_MS, &child_status, err);
	if (rc < 0)
		process_kill_group(sandboxed.pid, 0);
	else
		rc = sandboxed_status(&sandboxed, child_status, &status, err);
	sandboxed_release(&sandboxed);
	char answer[PROBE_TEXT_BYTES];
	read_answer(answer_fd, answer);
	if (rc < 0 && answer[0] != '\0')
		return error_set(err, ERR_UNAVAILABLE, "%s", answer);
	if (rc == 0 && status != 0)
		return error_set(err, ERR_UNAVAILABLE, "a program that does nothing failed in it");
	return rc;
}

static int make_folders(const char *const *paths, size_t len, struct error *err)
{
	for (size_t i = 0; i < len; i++) {
		if (mkdir(paths[i], 0700) < 0)
			return error_set_errno(err, errno, "%s", paths[i]);
	}
	return 0;
}

/* A real run with everything that an agent's has. */
static int probe(const struct executor_config *config, struct error *err)
{
	CLEANUP(free_p) char *root = xasprintf("%s/" PROBE, config->state_dir);
	CLEANUP(free_p) char *files = xasprintf("%s/files", root);
	CLEANUP(free_p) char *home = xasprintf("%s/home", root);
	CLEANUP(free_p) char *tmp = xasprintf("%s/tmp", root);
	const char *const paths[] = {root, files, home, tmp};
	const struct sandbox_spec spec = {.config = config, .lease_id = PROBE, .files = files, .home = home, .tmp = tmp};
	struct error problem = ERROR_INIT;
	if (remove_tree(AT_FDCWD, root, clock_boot_ms() + PROBE_MS, err) < 0) /* a predecessor's */
		return -1;
	int rc = make_folders(paths, ARRAY_LEN(paths), err);
	if (rc == 0)
		rc = probe_in(&spec, err);
	if (remove_tree(AT_FDCWD, root, clock_boot_ms() + PROBE_MS, &problem) < 0) /* the next start tries again */
		log_warn("the workspace of the sandbox's probe stays", "error", problem.message, NULL);
	return rc;
}

static int set_up(const struct executor_config *config, struct error *err)
{
	struct error why = ERROR_INIT, not_working = ERROR_INIT;
	bool grouped = cgroup_set_up(&why) == 0;
	if (probe(config, &not_working) < 0)
		return error_set(
			err, ERR_UNAVAILABLE,
			"bubblewrap does not work here (%s), and without it agents are not run; KILN_SANDBOX=none runs "
			"them unconfined, as this user",
			not_working.message);
	if (access(CHILDREN, R_OK) < 0)
		return error_set(err, ERR_UNAVAILABLE,
						 "this kernel does not tell a process's children (" CHILDREN
						 "), so that limits of agents cannot "
						 "be kept; KILN_SANDBOX=none runs them unconfined, as this user");
	if (grouped)
		log_info("agents are confined by bubblewrap", "limits", "cgroup v2 and rlimits", NULL);
	else
		log_info("agents are confined by bubblewrap", "limits", "rlimits and a watch", "no_cgroup", why.message, NULL);
	return 0;
}

static void warm_up(const struct executor_config *config)
{
	struct error err = ERROR_INIT;
	(void)config;
	if (make_filter(&err) < 0) /* the attempt meets it again, and fails by it */
		log_warn("the sandbox cannot be prepared", "error", err.message, NULL);
}

static struct sandbox_view view(const struct sandbox_spec *spec)
{
	return (struct sandbox_view){.files = SANDBOX_FILES,
								 .home = SANDBOX_HOME,
								 .tmp = SANDBOX_TMP,
								 .objects = spec->objects != NULL ? SANDBOX_OBJECTS : NULL};
}

const struct sandbox sandbox_bwrap = {
	.name = "bwrap",
	.confines = true,
	.set_up = set_up,
	.warm_up = warm_up,
	.view = view,
	.spawn = spawn,
};
