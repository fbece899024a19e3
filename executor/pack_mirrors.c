#include "executor/pack_mirrors.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "executor/attempt/memory_bound.h"
#include "executor/attempt/run_attempt.h"
#include "executor/config.h"
#include "executor/git/mirror.h"
#include "executor/git/mirror_pack.h"

#define REPACK_MS 1200000 /* twenty minutes */
#define LONG_MS 60000     /* after which refs of others may have grown */
#define MEMORY_BYTES (INT64_C(512) * 1024 * 1024)
#define NICENESS 19
#define IOPRIO_WHO_PROCESS 1 /* by ioprio_set(2); libc has no name for it */
#define IOPRIO_IDLE (3 << 13)

static void set_up_process(void)
{
	const struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
	CHECK(prctl(PR_SET_NAME, "kiln-packer") == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	/* The socket tells us of the daemon's end, and what git has started is killed with it. */
	CHECK(prctl(PR_SET_PDEATHSIG, 0) == 0);
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	(void)memory_bound_set(MEMORY_BYTES); /* which git inherits; it is never lifted */
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	(void)umask(022);
}

/* For good, and git with it. */
static void become_nice(void)
{
	(void)setpriority(PRIO_PROCESS, 0, NICENESS);                      /* otherwise it is felt more */
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE); /* as above */
}

/* The daemon sends nothing: what can be read is the end. */
static bool is_over(void *ctx)
{
	char byte;
	ssize_t got = recv(*(const int *)ctx, &byte, sizeof(byte), MSG_DONTWAIT | MSG_PEEK);
	return got >= 0 || (errno != EAGAIN && errno != EINTR);
}

struct pass {
	const struct git_remote *here;
	enum mirror_part part;
	bool is_long; /* so that the next one is another process's */
};

static bool pack_one(void *ctx, const char *path)
{
	struct pass *pass = ctx;
	struct mirror_files files;
	struct error err = ERROR_INIT;
	int64_t begin_ms = clock_boot_ms();
	if (is_over(pass->here->interrupt_ctx))
		return false;
	int rc = mirror_pack(path, pass->here, pass->part, &files, &err);
	if (rc > 0)
		log_info("mirror packed", "path", path, "part", pass->part == MIRROR_REFS ? "refs" : "objects", "loose_objects",
				 LOG_INT(files.loose), "packs", LOG_INT(files.packs), "loose_refs", LOG_INT(files.refs), "ms",
				 LOG_INT(clock_boot_ms() - begin_ms), NULL);
	if (rc < 0 && err.kind != ERR_CANCELLED)
		log_warn("a mirror cannot be packed, and is left alone for some time", "path", path, "error", err.message,
				 NULL);
	pass->is_long = clock_boot_ms() - begin_ms >= LONG_MS;
	return !pass->is_long;
}

/* False: it took too long to go on. */
static bool pack_all(const char *state_dir, const struct git_remote *here, enum mirror_part part)
{
	struct pass pass = {.here = here, .part = part};
	mirror_each(state_dir, pack_one, &pass);
	return !pass.is_long;
}

int pack_mirrors_main(void)
{
	static struct executor_config config;
	struct error err = ERROR_INIT;
	int socket_fd = run_attempt_take_socket();
	set_up_process();
	if (config_load(executor_options, executor_options_len, &config, &err) < 0) {
		(void)fprintf(stderr, "kiln-executor pack-mirrors: %s\n", err.message);
		return 2;
	}
	log_init("kiln-executor", (enum log_level)config.common.log_level, (enum log_format)config.common.log_format);
	log_set_field("worker_id", config.worker_id);
	const struct git_remote here = {.scratch_dir = config.state_dir,
									.lock_fd = -1,
									.timeout_ms = REPACK_MS,
									.interrupt_fd = socket_fd,
									.interrupted = is_over,
									.interrupt_ctx = &socket_fd};
	bool all = pack_all(config.state_dir, &here, MIRROR_REFS);
	become_nice();
	all = all && pack_all(config.state_dir, &here, MIRROR_OBJECTS);
	config_release(executor_options, executor_options_len, &config);
	return all ? 0 : PACK_MIRRORS_MORE;
}
