#include "executor/attempt/settle.h"

#include <poll.h>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "executor/attempt/adopt.h"
#include "executor/git/skeleton.h"

#define FIRST_BACKOFF_MS 100
#define MAX_BACKOFF_MS 5000

enum settled {
	SETTLED,      /* outcome.published or outcome.closed */
	SETTLE_AGAIN, /* not now */
	SETTLE_NEVER, /* this remote takes no closing mark */
};

/* The closing mark, into the fence that must not exist yet. */
static enum settled push_mark(struct attempt *attempt, struct error *err)
{
	git_odb *odb = NULL;
	git_oid mark;
	int rc =
		git_repository_odb(&odb, attempt->workspace.repo) < 0 || git_odb_write(&mark, odb, "", 0, GIT_OBJECT_BLOB) < 0
			? -1
			: 0;
	git_odb_free(odb);
	if (rc < 0) {
		(void)git_library_error(err, ERR_INTERNAL, "the closing mark"); /* the caller tells it */
		return SETTLE_AGAIN;
	}
	struct remote_push request = {.git_dir = attempt->workspace.git_dir,
								  .fence_ref = attempt->fence_ref,
								  .fence_old = "",
								  .fence_value = GIT_EMPTY_BLOB_SHA};
	struct push_report report;
	rc = remote_push(&attempt->remote, &request, clock_boot_ms() + attempt->config->git_timeout_ms, &report, err);
	switch (report.fence.fate) {
	case PUSH_UPDATED:
		attempt->outcome.closed = true;
		(void)snprintf(attempt->outcome.fence, sizeof(attempt->outcome.fence), "%s", GIT_EMPTY_BLOB_SHA);
		return SETTLED;
	case PUSH_HIDDEN:
	case PUSH_REJECTED:
		(void)error_set(err, ERR_DENIED, "the remote takes no fence: %s",
						report.fence.reason); /* the caller tells it */
		return SETTLE_NEVER;
	case PUSH_STALE:
		(void)error_set(err, ERR_UNAVAILABLE, "the fence has changed: %s",
						report.fence.reason); /* the caller looks again */
		return SETTLE_AGAIN;
	case PUSH_UNTAKEN:
		(void)error_set(err, ERR_UNAVAILABLE, "the remote did not take the closing mark in: %s",
						report.words); /* the caller tries again */
		return SETTLE_AGAIN;
	case PUSH_SILENT:
		if (rc == 0)
			(void)error_set(err, ERR_UNAVAILABLE, "the remote did not answer"); /* the caller tells it */
		return SETTLE_AGAIN;
	}
	return SETTLE_AGAIN;
}

/* What fence and branch show now. */
static enum found look(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
					   struct error *err)
{
	const char *branch = attempt->refs.branch[0] != '\0' ? attempt->refs.branch : attempt->assignment.branch;
	struct remote_refs refs;
	if (remote_list(&attempt->remote, attempt->mirror.path, branch, attempt->fence_ref, &refs, err) < 0)
		return FOUND_ERROR;
	attempt->refs = refs;
	(void)snprintf(attempt->branch_ref, sizeof(attempt->branch_ref), "refs/heads/%s", refs.branch);
	(void)snprintf(attempt->outcome.branch, sizeof(attempt->outcome.branch), "%s", refs.branch);
	bool renewed = false; /* in a settling attempt the workspace has nothing to lose */
	return attempt->assignment.mode == MODE_SETTLE
			   ? adopt_look_renewing(attempt, announced, announced_len, &renewed, err)
			   : adopt_look(attempt, announced, announced_len, err);
}

static enum settled settle_once(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
								struct error *err)
{
	switch (look(attempt, announced, announced_len, err)) {
	case FOUND_COMMIT:
	case FOUND_MARK:
		return SETTLED;
	case FOUND_ERROR:
		return SETTLE_AGAIN;
	case FOUND_NOTHING:
		break;
	}
	return push_mark(attempt, err);
}

/* Until it is settled or the deadline has come. err says why not. */
static enum settled settle(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
						   struct error *err)
{
	int64_t deadline_ms = clock_boot_ms() + attempt->config->publish_timeout_ms;
	struct backoff backoff = {.min_ms = FIRST_BACKOFF_MS, .max_ms = MAX_BACKOFF_MS};
	attempt->remote.interrupted = NULL; /* a cancel waits for the outcome */
	for (;;) {
		enum settled settled = settle_once(attempt, announced, announced_len, err);
		int wait_ms = backoff_next_spread(&backoff);
		bool hopeless = err->kind != ERR_UNAVAILABLE && err->kind != ERR_TIMEOUT;
		if (settled != SETTLE_AGAIN || hopeless || clock_boot_ms() + wait_ms >= deadline_ms)
			return settled;
		(void)poll(NULL, 0, wait_ms); /* at most 7.5 s */
		*err = (struct error)ERROR_INIT;
	}
}

/* Of an attempt that may be repeated. With the mark there the next one could only end the build. */
static void leave_open(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len)
{
	struct error err = ERROR_INIT;
	attempt->remote.interrupted = NULL; /* a cancel waits for the outcome */
	if (look(attempt, announced, announced_len, &err) == FOUND_ERROR)
		attempt_log_kiln(&attempt->log, "what became of the last push is left to the next attempt: %s", err.message);
}

void settle_unpublished(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
						bool unknown)
{
	if (attempt->outcome.published || attempt->outcome.closed)
		return;
	if (!unknown) {
		/* Whatever was announced was refused by the remote itself, or never sent: nothing can come any more. */
		attempt->outcome.closed = announced_len > 0;
		return;
	}
	if (attempt->outcome.retryable) {
		leave_open(attempt, announced, announced_len);
		return;
	}
	struct error err = ERROR_INIT;
	enum settled settled = settle(attempt, announced, announced_len, &err);
	if (settled == SETTLED)
		return;
	attempt_log_kiln(&attempt->log, "whether a push may still happen could not be settled: %s", err.message);
	/* There was nothing to push, but an earlier push may come: whoever settles it ends the build. Not to be repeated,
	 * for our mark may be on its way. */
	if (settled == SETTLE_AGAIN)
		(void)outcome_fail(&attempt->outcome, "git_unreachable", false, "settling: %s", err.message); /* it is set */
}

int attempt_settle(struct attempt *attempt)
{
	const struct assignment *assignment = &attempt->assignment;
	if (attempt_open_remote(attempt) < 0)
		return -1;
	struct error err = ERROR_INIT;
	if (workspace_attach(&attempt->workspace, &attempt->mirror, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	(void)snprintf(attempt->base_sha, sizeof(attempt->base_sha), "%s",
				   assignment->base_sha != NULL ? assignment->base_sha : "");
	const char(*announced)[GIT_SHA_SIZE] = assignment->announced;
	if (assignment->settle_retryable) {
		leave_open(attempt, announced, assignment->announced_len);
		return attempt->outcome.published
				   ? 0
				   : outcome_fail(&attempt->outcome, assignment->settle_class, true, "%s", assignment->settle_message);
	}
	enum settled settled = settle(attempt, announced, assignment->announced_len, &err);
	if (attempt->outcome.published)
		return 0;
	if (settled != SETTLED)
		return outcome_fail(&attempt->outcome, "git_unreachable", true, "settling: %s", err.message);
	bool cancelled = str_equal(assignment->settle_status, "cancelled");
	return outcome_fail(&attempt->outcome, cancelled ? "cancelled" : assignment->settle_class, false, "%s",
						assignment->settle_message);
}

int attempt_tidy(struct attempt *attempt)
{
	if (attempt_open_remote(attempt) < 0)
		return -1;
	struct error err = ERROR_INIT;
	struct remote_push request = {.git_dir = attempt->mirror.path,
								  .fence_ref = attempt->fence_ref,
								  .fence_old = attempt->assignment.fence,
								  .fence_value = ""};
	struct push_report report;
	if (remote_push(&attempt->remote, &request, clock_boot_ms() + attempt->config->git_timeout_ms, &report, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	return 0;
}
