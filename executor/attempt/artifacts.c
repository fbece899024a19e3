/* Into the artifact store: what the agent left and the build's globs name, and commits that are in no remote. */
#include "executor/attempt/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/artifacts/collect.h"
#include "executor/git/export.h"

/* More than a put has: one that is only slow ends by itself, and tidies up behind it. */
#define HANGING_MS 1000

struct globs {
	struct glob *items[FIND_MAX_GLOBS];
	size_t len;
};

static void globs_release(struct globs *globs)
{
	for (size_t i = 0; i < globs->len; i++)
		glob_free(globs->items[i]);
}

static bool was_cancelled(void *ctx)
{
	struct attempt *attempt = ctx;
	return daemon_link_receive(attempt->link);
}

static void say(void *ctx, const char *line)
{
	struct attempt *attempt = ctx;
	attempt_log_kiln(&attempt->log, "%s", line);
}

struct putting {
	const char *dir;
	int source_fd, lock_fd;
	const struct artifact_limits *limits;
};

static int put_aside(void *ctx, struct buffer *out, struct error *err)
{
	const struct putting *putting = ctx;
	CLEANUP(artifact_store_free_p) struct artifact_store *store = NULL;
	struct artifact_limits limits = *putting->limits;
	struct artifact_content content;
	memset(&content, 0, sizeof(content)); /* with its padding, for it is handed on as bytes */
	(void)close(putting->lock_fd);        /* a copy that nothing can kill is not to keep the attempt from its end */
	limits.stop = NULL;                   /* the attempt's: it hears of a cancel itself */
	if (artifact_directory_new(putting->dir, &store, err) < 0) {
		/* The operator's path is nothing for a build's log. */
		(void)error_set_errno(err, err->sys_errno, "the artifact store cannot be opened"); /* its kind is another */
		err->kind = ERR_UNAVAILABLE;
		return -1;
	}
	if (store->put(store, putting->source_fd, &limits, &content, err) < 0)
		return -1;
	return buffer_append(out, &content, sizeof(content));
}

/* The store may be another machine's that does not answer: opening it and each call of it may hang then, and only a
 * process can be left alone with that. */
static int put(void *ctx, int source_fd, const struct artifact_limits *limits, struct artifact_content *ret,
			   struct error *err)
{
	struct attempt *attempt = ctx;
	struct putting putting = {
		.dir = attempt->config->artifacts_dir, .source_fd = source_fd, .lock_fd = attempt->lock_fd, .limits = limits};
	struct aside_limits aside = attempt_aside_limits(attempt);
	CLEANUP(buffer_release_p) struct buffer out;
	buffer_init(&out, sizeof(*ret) + 1);
	aside.deadline_ms = limits->deadline_ms + HANGING_MS;
	int rc = -1;
	if (clock_boot_ms() < limits->deadline_ms)
		rc = aside_run(&aside, put_aside, &putting, &out, err);
	else
		err->kind = ERR_TIMEOUT; /* not even begun */
	if (rc < 0 && err->kind == ERR_TIMEOUT)
		(void)error_set(err, ERR_TIMEOUT, "it could not be copied in time"); /* returned below */
	if (rc < 0 && (err->kind == ERR_TIMEOUT || err->kind == ERR_UNAVAILABLE) && !attempt->store_failed) {
		attempt->store_failed = true;
		log_error("artifact store", "error", err->message, NULL);
	}
	if (rc == 0)
		memcpy(ret, out.data, sizeof(*ret));
	return rc;
}

/* The gateway has checked them; of an older one, each that is none is told. */
static void read_globs(struct attempt *attempt, struct globs *globs)
{
	const cJSON *item;
	cJSON_ArrayForEach(item, attempt->assignment.artifacts)
	{
		struct error err = ERROR_INIT;
		if (!cJSON_IsString(item) || globs->len == FIND_MAX_GLOBS)
			continue;
		if (glob_new(item->valuestring, &globs->items[globs->len], &err) == 0)
			globs->len++;
		else
			attempt_log_kiln(&attempt->log, "artifacts: \"%.512s\" is no glob: %s", item->valuestring, err.message);
	}
}

static void tell_left_out(struct attempt *attempt, const char *path, const char *reason, const char *detail)
{
	attempt_log_kiln(&attempt->log, "%s: %s", path != NULL ? path : "artifacts", detail);
	(void)artifact_list_leave_out(&attempt->outcome.artifacts, path, reason, detail); /* the log has it anyway */
}

/* The limits. False: there is no store, which was told. `path` is what was to be kept, NULL: many things. */
static bool begin(struct attempt *attempt, const char *path, struct collect *ret_request)
{
	const struct executor_config *config = attempt->config;
	*ret_request = (struct collect){
		.put = put,
		.files = attempt->workspace.files,
		.max_files = (size_t)config->artifacts_max_files,
		.max_file_bytes = config->artifacts_max_file_bytes,
		.max_bytes = config->artifacts_max_bytes,
		.deadline_ms = clock_boot_ms() + config->artifacts_timeout_ms,
		.stop = was_cancelled,
		.say = say,
		.ctx = attempt,
	};
	if (config->artifacts_dir == NULL)
		tell_left_out(attempt, path, "no_store", "not kept: this worker has no KILN_ARTIFACTS_DIR");
	return config->artifacts_dir != NULL;
}

void attempt_keep_artifacts(struct attempt *attempt)
{
	CLEANUP(globs_release) struct globs globs = {.len = 0};
	struct collect request;
	read_globs(attempt, &globs);
	if (globs.len > 0 && begin(attempt, NULL, &request)) {
		request.globs = globs.items;
		request.globs_len = globs.len;
		collect_artifacts(&request, &attempt->outcome.artifacts);
	}
	attempt_mark(attempt, "artifacts kept");
}

/* A file without a name, where git's own go. */
static int make_file(const struct attempt *attempt, int *ret_fd, struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/export", attempt->workspace.scratch);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, ERR_UNAVAILABLE, "%s: %s", path, strerror(errno));
	(void)unlink(path); /* it goes with the workspace anyway */
	*ret_fd = fd;
	return 0;
}

struct export_task {
	git_repository *repo;
	const char *path, *branch_ref;
	const git_oid *base, *commit;
	int fd;
	struct artifact_limits limits;
};

static int export_aside(void *ctx, struct buffer *out, struct error *err)
{
	const struct export_task *task = ctx;
	(void)out; /* it goes into the file */
	return str_equal(task->path, ARTIFACT_COMMIT_BUNDLE)
			   ? export_bundle(task->repo, task->base, task->commit, task->branch_ref, task->fd, &task->limits, err)
			   : export_patch(task->repo, task->base, task->commit, task->fd, &task->limits, err);
}

/* libgit2 asks for the limits between two files only. */
static int export(struct attempt *attempt, const struct collect *request, const char *path, const git_oid *base,
				  const git_oid *commit, int fd, struct error *err)
{
	struct export_task task = {.repo = attempt->workspace.repo,
							   .path = path,
							   .branch_ref = attempt->branch_ref,
							   .base = base,
							   .commit = commit,
							   .fd = fd,
							   .limits = {.max_bytes = request->max_file_bytes, .deadline_ms = request->deadline_ms}};
	struct aside_limits limits = attempt_aside_limits(attempt);
	limits.deadline_ms = request->deadline_ms;
	CLEANUP(buffer_release_p) struct buffer nothing;
	buffer_init(&nothing, 1);
	return aside_run(&limits, export_aside, &task, &nothing, err);
}

static int keep(struct attempt *attempt, struct collect *request, const char *path, const git_oid *base,
				const git_oid *commit, struct error *err)
{
	CLEANUP(close_p) int fd = -1;
	if (make_file(attempt, &fd, err) < 0 || export(attempt, request, path, base, commit, fd, err) < 0) {
		if (err->kind != ERR_CANCELLED)
			tell_left_out(attempt, path, collect_reason(err), err->message);
		return -1;
	}
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	request->deadline_ms = clock_boot_ms() + attempt->config->artifacts_timeout_ms; /* making it had its own time */
	return collect_own(request, fd, path, &attempt->outcome.artifacts, err);
}

static int keep_own(struct attempt *attempt, const char *path, const git_oid *base, const git_oid *commit,
					struct error *err)
{
	struct collect request;
	return begin(attempt, path, &request) ? keep(attempt, &request, path, base, commit, err) : 0;
}

int attempt_keep_commit(struct attempt *attempt, const git_oid *base, const git_oid *commit)
{
	struct error err = ERROR_INIT;
	if (keep_own(attempt, ARTIFACT_COMMIT_BUNDLE, base, commit, &err) == 0)
		return 0;
	if (err.kind == ERR_CANCELLED)
		return outcome_cancel(&attempt->outcome);
	bool too_large = err.kind == ERR_LIMIT;
	return outcome_fail(&attempt->outcome, too_large ? "agent_failed" : "internal", !too_large,
						"the commit could not be kept, and is nowhere else: %s", err.message);
}

void attempt_keep_patch(struct attempt *attempt, const git_oid *base, const git_oid *commit)
{
	struct error err = ERROR_INIT;
	if (keep_own(attempt, ARTIFACT_WORK_PATCH, base, commit, &err) < 0)
		log_debug("no patch", "error", err.message, NULL); /* the outcome says what is left out */
}
