/* Into the artifact store: what the agent left and the build's globs name, and commits that are in no remote. */
#include "executor/attempt/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/artifacts/collect.h"
#include "executor/attempt/memory_bound.h"
#include "executor/git/export.h"

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

/* The store, and the limits. False: there is none, which was told. `path` is what was to be kept, NULL: many things. */
static bool begin(struct attempt *attempt, const char *path, struct collect *ret_request)
{
	const struct executor_config *config = attempt->config;
	struct error err = ERROR_INIT;
	*ret_request = (struct collect){
		.files = attempt->workspace.files,
		.max_files = (size_t)config->artifacts_max_files,
		.max_file_bytes = config->artifacts_max_file_bytes,
		.max_bytes = config->artifacts_max_bytes,
		.deadline_ms = clock_boot_ms() + config->artifacts_timeout_ms,
		.stop = was_cancelled,
		.say = say,
		.ctx = attempt,
	};
	if (config->artifacts_dir == NULL) {
		tell_left_out(attempt, path, "no_store", "not kept: this worker has no KILN_ARTIFACTS_DIR");
		return false;
	}
	if (artifact_directory_new(config->artifacts_dir, &ret_request->store, &err) < 0) {
		log_error("artifact store", "error", err.message, NULL);
		tell_left_out(attempt, path, "store_failed", "not kept: the artifact store cannot be opened");
		return false;
	}
	return true;
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
		artifact_store_free(request.store);
	}
	attempt_mark(attempt, "artifacts kept");
}

/* A file without a name, where git's own go. */
static int make_file(const struct attempt *attempt, int *ret_fd, struct error *err)
{
	CLEANUP(free_p) char *path = xasprintf("%s/export", attempt->workspace.scratch);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	(void)unlink(path); /* it goes with the workspace anyway */
	*ret_fd = fd;
	return 0;
}

static void keep(struct attempt *attempt, const struct collect *request, const char *path, const git_oid *base,
				 const git_oid *commit)
{
	CLEANUP(close_p) int fd = -1;
	struct error err = ERROR_INIT;
	git_repository *repo = attempt->workspace.repo;
	const struct artifact_limits limits = {.max_bytes = request->max_file_bytes,
										   .deadline_ms = request->deadline_ms,
										   .stop = request->stop,
										   .ctx = request->ctx};
	bool is_bundle = str_equal(path, ARTIFACT_COMMIT_BUNDLE);
	int rc = make_file(attempt, &fd, &err);
	if (rc == 0) {
		struct memory_bound bound = memory_bound_set(attempt->config->agent_memory_bytes);
		rc = is_bundle ? export_bundle(repo, base, commit, attempt->branch_ref, fd, &limits, &err)
					   : export_patch(repo, base, commit, fd, &limits, &err);
		memory_bound_lift(&bound);
	}
	if (rc < 0) {
		tell_left_out(attempt, path, "unreadable", err.message);
		return;
	}
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	collect_own(request, fd, path, &attempt->outcome.artifacts);
}

static void keep_own(struct attempt *attempt, const char *path, const git_oid *base, const git_oid *commit)
{
	struct collect request;
	if (!begin(attempt, path, &request))
		return;
	keep(attempt, &request, path, base, commit);
	artifact_store_free(request.store);
}

void attempt_keep_commit(struct attempt *attempt, const git_oid *base, const git_oid *commit)
{
	keep_own(attempt, ARTIFACT_COMMIT_BUNDLE, base, commit);
}

void attempt_keep_patch(struct attempt *attempt, const git_oid *base, const git_oid *commit)
{
	keep_own(attempt, ARTIFACT_WORK_PATCH, base, commit);
}
