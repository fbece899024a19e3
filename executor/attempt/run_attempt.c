#include "executor/attempt/run_attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "executor/attempt/attempt.h"
#include "executor/proxy/proxy.h"

#define MAX_RESULT_BYTES ((size_t)8 * 1024 * 1024)
#define FIRST_FREE_FD 3
#define LOG_ACK_MS 2000 /* short of what a lease is shown to last, for the result must not be lost with it */

int run_attempt_take_socket(void)
{
	int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0 && null_fd >= 0 && dup2(null_fd, STDIN_FILENO) == STDIN_FILENO);
	(void)close(null_fd); /* its copy stays */
	return fd;
}

/* Orphans of the agent come to us; nothing dumps core into a workspace. */
static void set_up_process(void)
{
	struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
	CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 && prctl(PR_SET_NAME, "kiln-attempt") == 0);
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	(void)umask(022);
}

/* Held by every process of the attempt until the last has gone: by it a starting daemon finds them. */
static int take_lock(const struct executor_config *config, const char *lease_id, struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/locks/%s", config->state_dir, lease_id);
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
				  0600); /* process_spawn lets it through where it is kept */
	if (fd < 0)
		return error_set_errno(err, errno, "lock of the attempt");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int errnum = errno;
		(void)close(fd); /* not ours */
		return error_set_errno(err, errnum, "lock of the attempt");
	}
	return fd;
}

static void send_result(struct attempt *attempt)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, MAX_RESULT_BYTES);
	attempt->outcome.secrets = &attempt->log.secrets;
	outcome_write(&attempt->outcome, &text);
	(void)daemon_link_send(attempt->link, FRAME_RESULT, text.data, text.len,
						   false); /* the last frame: nobody asks for its id */
}

static void work(struct attempt *attempt, const struct buffer *data)
{
	struct error err = ERROR_INIT;
	outcome_init(&attempt->outcome);
	if (assignment_read(data->data, data->len, &attempt->assignment, &err) < 0) {
		(void)outcome_fail(&attempt->outcome, "internal", false, "%s", err.message); /* told below */
		send_result(attempt);
		return;
	}
	attempt_log_init(&attempt->log, attempt->link, &attempt->assignment.token);
	attempt->log.quiet = attempt->assignment.quiet;
	attempt->lock_fd = take_lock(attempt->config, attempt->assignment.token.lease_id, &err);
	if (attempt->lock_fd < 0)
		(void)outcome_fail(&attempt->outcome, "internal", true, "%s", err.message); /* as above */
	else
		attempt_run(attempt);
	if (!attempt->outcome.completed)
		attempt_log_kiln(&attempt->log, "%s: %s", attempt->outcome.error_class, attempt->outcome.error_message);
	attempt_log_flush(&attempt->log);
	/* Who hears of the end finds the log whole: it is another topic, which may be slower. Phases are on the result's
	 * own topic, before it. */
	if (daemon_link_wait_logs_acked(attempt->link, clock_boot_ms() + LOG_ACK_MS, &err) < 0)
		log_warn("the end of the log comes after the result", "error", err.message, NULL);
	send_result(attempt);
}

/* What would otherwise be done for the first time while a build waits: OpenSSL reads its configuration with the first
 * digest. */
static void warm_up(const struct executor_config *config)
{
	uint8_t digest[SHA256_SIZE];
	sha256("", 0, digest);
	model_proxy_warm_up();
	sandbox_find(config->sandbox)->warm_up(config);
}

int run_attempt_prepare(struct run_attempt *ret_common)
{
	struct run_attempt common = {.config = {.slots = 0}};
	struct executor_config *config = &common.config;
	struct error err = ERROR_INIT;
	if (config_load(executor_options, executor_options_len, config, &err) < 0 ||
		address_guard_new(config->git_allow, &common.guard, &err) < 0 ||
		address_guard_new(config->network_allow, &common.network_guard, &err) < 0 ||
		model_prices_new(config->model_prices, &common.prices, &err) < 0) {
		(void)fprintf(stderr, "kiln-executor run-attempt: %s\n", err.message);
		return -1;
	}
	log_init("kiln-executor", (enum log_level)config->common.log_level, (enum log_format)config->common.log_format);
	log_set_field("worker_id", config->worker_id);
	git_library_init();
	warm_up(config);
	*ret_common = common;
	return 0;
}

void run_attempt_run(const struct run_attempt *common, const char *agent_versions, int socket_fd)
{
	const struct executor_config *config = &common->config;
	set_up_process();
	workspace_make_ahead(config->state_dir, config->committer_name, config->committer_email);
	struct daemon_link link;
	daemon_link_init(&link, socket_fd);
	struct buffer data;
	buffer_init(&data, FRAME_MAX_BYTES);
	daemon_link_wait_attempt(&link, &data);

	static struct attempt attempt; /* zeroed */
	attempt.config = config;
	attempt.agent_versions = agent_versions;
	attempt.guard = common->guard;
	attempt.network_guard = common->network_guard;
	attempt.sandbox = sandbox_find(config->sandbox); /* the daemon has checked the name */
	attempt.prices = common->prices;
	attempt.link = &link;
	attempt.lock_fd = -1;
	work(&attempt, &data);
	/* The process ends here, and its memory with it: nothing is released one by one. */
	_exit(0);
}

int run_attempt_main(const char *agent_versions)
{
	static struct run_attempt common;
	int socket_fd = run_attempt_take_socket();
	if (run_attempt_prepare(&common) < 0)
		return 2;
	run_attempt_run(&common, agent_versions, socket_fd);
}
