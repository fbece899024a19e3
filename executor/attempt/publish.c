/*
 * Publishing: one commit (docs/protocol.md section 7). A loop of looking, rebasing, announcing and pushing, in which
 * only the remote's refs decide: the fence ref refs/kiln/builds/BUILD is created together with the branch's change, by
 * compare-and-set on both.
 */
#include "executor/attempt/attempt.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/attempt/adopt.h"
#include "executor/attempt/settle.h"

#define FIRST_BACKOFF_MS 100
#define MAX_BACKOFF_MS 5000

enum step {
	STEP_AGAIN,     /* look at the remote again */
	STEP_PUBLISHED, /* the branch has our commit */
	STEP_OVER,      /* ended otherwise: outcome is set */
};

struct publication {
	struct attempt *attempt;
	int64_t deadline_ms;
	struct backoff backoff;
	bool looked;    /* attempt->refs are fresh */
	bool has_onto;  /* the commit's parent line starts at `onto` (else unborn) */
	git_oid onto;   /* the branch tip, or the start of a new branch */
	git_oid commit; /* C */
	char commit_sha[GIT_SHA_SIZE];
	bool announced_it;  /* C was announced and acknowledged */
	bool without_fence; /* the remote cannot have fences */
	bool unknown;       /* a push of ours may still happen */
	bool untaken;       /* one was not taken in by the remote: another one shall be the last */
	char (*announced)[GIT_SHA_SIZE];
	size_t announced_len;
};

static void add_announced(struct publication *p, const char *sha)
{
	p->announced = xreallocarray(p->announced, p->announced_len + 1, sizeof(*p->announced));
	(void)snprintf(p->announced[p->announced_len++], GIT_SHA_SIZE, "%s", sha);
}

/* A cancel ends the wait. */
static void wait_for(struct publication *p, int wait_ms)
{
	int64_t until_ms = clock_boot_ms() + wait_ms;
	struct pollfd ready = {.fd = p->attempt->link->fd, .events = POLLIN};
	while (clock_boot_ms() < until_ms && !p->attempt->link->cancelled) {
		if (poll(&ready, 1, clock_left_ms(until_ms)) > 0)
			(void)daemon_link_receive(p->attempt->link); /* looked at above */
	}
}

static enum step fail(struct publication *p, const struct error *err)
{
	(void)outcome_fail_git(&p->attempt->outcome, err); /* the step says it */
	return STEP_OVER;
}

/* A failure of the network or the server: again, until the deadline. */
static enum step later(struct publication *p, const struct error *err)
{
	if (err->kind != ERR_UNAVAILABLE && err->kind != ERR_TIMEOUT)
		return fail(p, err);
	int wait_ms = backoff_next_spread(&p->backoff);
	if (clock_boot_ms() + wait_ms >= p->deadline_ms)
		return fail(p, err);
	attempt_log_kiln(&p->attempt->log, "publishing: %s; trying again", err->message);
	attempt_log_flush(&p->attempt->log);
	wait_for(p, wait_ms);
	p->looked = false;
	return STEP_AGAIN;
}

static enum step look(struct publication *p)
{
	struct attempt *attempt = p->attempt;
	struct error err = ERROR_INIT;
	if (remote_list(&attempt->remote, attempt->mirror.path, attempt->refs.branch, attempt->fence_ref, &attempt->refs,
					&err) < 0)
		return later(p, &err);
	p->looked = true;
	switch (adopt_look(attempt, (const char(*)[GIT_SHA_SIZE])p->announced, p->announced_len, &err)) {
	case FOUND_NOTHING:
		return attempt_check_branch(attempt) < 0 ? STEP_OVER : STEP_AGAIN;
	case FOUND_COMMIT:
		return STEP_PUBLISHED;
	case FOUND_MARK:
		(void)outcome_fail(&attempt->outcome, "internal", false,
						   "this build was closed by another attempt"); /* the step says it */
		return STEP_OVER;
	case FOUND_ERROR:
		return later(p, &err);
	}
	return STEP_OVER;
}

/* The branch is not where it was: looks again, while there is time. `reason` may be "". */
static enum step moved_on(struct publication *p, const char *reason)
{
	if (clock_boot_ms() >= p->deadline_ms) {
		(void)outcome_fail(&p->attempt->outcome, "git_unreachable", true, "the branch kept moving%s%s",
						   reason[0] != '\0' ? ": " : "", reason); /* the step says it */
		return STEP_OVER;
	}
	wait_for(p, backoff_next_spread(&p->backoff)); /* listings and fetches may disagree for long */
	p->looked = false;
	return STEP_AGAIN;
}

struct rebase {
	struct workspace *workspace;
	const struct commit_identity *identity;
	const git_oid *base, *commit, *onto;
	int64_t picks_until_ms;
};

static int rebase_aside(void *ctx, struct buffer *out, struct error *err)
{
	const struct rebase *rebase = ctx;
	struct commit_made made;
	if (commit_rebase(rebase->workspace, rebase->identity, rebase->base, rebase->commit, rebase->onto,
					  rebase->picks_until_ms, &made, err) < 0)
		return -1;
	CHECK(buffer_append(out, &made, sizeof(made)) == 0);
	return 0;
}

/* Our commits onto the tip. What takes too long would do so in another attempt, too: as a conflict. */
static int put_onto(struct publication *p, const git_oid *tip, struct commit_made *ret_made, struct error *err)
{
	struct attempt *attempt = p->attempt;
	int64_t now_ms = clock_boot_ms();
	struct rebase rebase = {
		.workspace = &attempt->workspace,
		.identity = &attempt->identity,
		.base = p->has_onto ? &p->onto : NULL,
		.commit = &p->commit,
		.onto = tip,
		/* Half of the time that is left: then it becomes one commit. */
		.picks_until_ms = now_ms + (p->deadline_ms - now_ms) / 2,
	};
	const struct aside_limits limits = attempt_aside_limits(attempt);
	CLEANUP(buffer_release_p) struct buffer out;
	buffer_init(&out, sizeof(*ret_made) + 1);
	if (aside_run(&limits, rebase_aside, &rebase, &out, err) < 0)
		return err->kind != ERR_TIMEOUT
				   ? -1
				   : error_set(err, ERR_CONFLICT,
							   "the branch has moved, and the commit could not be put onto it in time");
	CHECK(out.len == sizeof(*ret_made));
	memcpy(ret_made, out.data, sizeof(*ret_made));
	return 0;
}

/* The branch has moved. */
static enum step rebase(struct publication *p)
{
	struct attempt *attempt = p->attempt;
	struct error err = ERROR_INIT;
	git_oid tip;
	if (mirror_fetch(&attempt->mirror, &attempt->remote, attempt->branch_ref, attempt->refs.tip, &tip, &err) < 0)
		return later(p, &err);
	if (git_oid_streq(&tip, attempt->refs.tip) != 0) /* it came with the fetch: a commit of ours may be below it */
		return moved_on(p, "");
	struct commit_made made;
	int64_t began_ms = clock_boot_ms();
	if (put_onto(p, &tip, &made, &err) < 0) {
		if (err.kind == ERR_CONFLICT)
			attempt_keep_patch(attempt, p->has_onto ? &p->onto : NULL, &p->commit);
		return fail(p, &err);
	}
	attempt_log_kiln(&attempt->log, "%s has moved to %.12s: rebased", attempt->refs.branch, attempt->refs.tip);
	if (!made.changed) {
		attempt_log_kiln(&attempt->log, "the branch has all of these changes already: there is nothing to push");
		attempt->outcome.commit_sha[0] = '\0';
		buffer_clear(&attempt->outcome.files_changed);
		return STEP_OVER;
	}
	p->has_onto = true;
	p->onto = tip;
	p->commit = made.commit;
	git_oid_text(&p->commit, p->commit_sha);
	p->announced_it = false;
	const struct aside_limits limits = attempt_aside_limits(attempt);
	(void)attempt_files_changed_since(attempt, &tip, &p->commit, &limits); /* it has said so */
	/* Both have a time of their own; what is left of the publication's is for announcing it and for the remote. */
	p->deadline_ms += clock_boot_ms() - began_ms;
	return STEP_AGAIN;
}

/* Before a commit is pushed the build service knows of it, and knows where the build started. */
static enum step announce(struct publication *p)
{
	struct attempt *attempt = p->attempt;
	uint64_t id = attempt_phase(attempt, "pushing", p->commit_sha);
	struct error err = ERROR_INIT;
	if (daemon_link_wait_acked(attempt->link, attempt->base_phase_id, p->deadline_ms, &err) < 0 ||
		daemon_link_wait_acked(attempt->link, id, p->deadline_ms, &err) < 0) {
		(void)outcome_fail(&attempt->outcome, "internal", true, "the commit could not be announced: %s",
						   err.message); /* the step says it */
		add_announced(p, p->commit_sha); /* it may have been heard all the same */
		return STEP_OVER;
	}
	add_announced(p, p->commit_sha);
	p->announced_it = true;
	return STEP_AGAIN;
}

/* A lease switches git's own fast-forward check off. */
static bool is_fast_forward(const struct publication *p)
{
	const char *tip = p->attempt->refs.tip;
	git_oid oid;
	struct error err = ERROR_INIT;
	return tip[0] == '\0' || (git_oid_parse(tip, &oid, &err) == 0 &&
							  git_graph_descendant_of(p->attempt->workspace.repo, &p->commit, &oid) == 1);
}

static enum step judge(struct publication *p, const struct push_report *report, bool failed, const struct error *err)
{
	struct attempt *attempt = p->attempt;
	if (report->branch.fate == PUSH_UPDATED)
		return STEP_PUBLISHED;
	p->looked = false;
	if (!p->without_fence && (report->atomic_unsupported || report->fence.fate == PUSH_HIDDEN)) {
		attempt_log_kiln(&attempt->log, "this remote cannot keep a fence: publishing under the weaker guarantee");
		p->without_fence = true;
		return STEP_AGAIN;
	}
	if (report->branch.fate == PUSH_SILENT) {
		p->unknown = p->unknown || report->sent;
		struct error silent = ERROR_INIT;
		(void)error_set(&silent, ERR_UNAVAILABLE, "the remote did not say what became of the push"); /* used below */
		return later(p, failed ? err : &silent);
	}
	if (report->branch.fate == PUSH_STALE && report->fence.fate != PUSH_REJECTED) {
		attempt_log_kiln(&attempt->log, "the push was refused (%s): looking again", report->branch.reason);
		return moved_on(p, report->branch.reason);
	}
	/* Its disk may have been full for a moment; a limit or a check of its would refuse this for ever. */
	if (report->branch.fate == PUSH_UNTAKEN && !p->untaken && clock_boot_ms() < p->deadline_ms) {
		attempt_log_kiln(&attempt->log, "the remote did not take the push in: trying once more");
		p->untaken = true;
		wait_for(p, backoff_next_spread(&p->backoff));
		return STEP_AGAIN;
	}
	const struct push_line *line = report->branch.fate == PUSH_STALE ? &report->fence : &report->branch;
	const char *words = report->branch.fate == PUSH_UNTAKEN ? report->words : "";
	(void)outcome_fail(&attempt->outcome, "push_rejected", false, "the remote refused the push: %s%s%s", line->reason,
					   words[0] != '\0' ? ": " : "", words); /* the step says it */
	return STEP_OVER;
}

static enum step push(struct publication *p)
{
	struct attempt *attempt = p->attempt;
	if (!is_fast_forward(p)) {
		(void)outcome_fail(&attempt->outcome, "internal", true,
						   "the commit does not descend from the branch"); /* the step says it */
		return STEP_OVER;
	}
	int64_t asked_ms = clock_boot_ms(); /* before the question: a pause anywhere in between counts against us */
	int64_t lease_left_ms = daemon_link_ask_lease(attempt->link);
	struct remote_push request = {
		.git_dir = attempt->workspace.git_dir,
		.branch_ref = attempt->branch_ref,
		.branch_old = attempt->refs.tip,
		.commit = p->commit_sha,
		.fence_ref = p->without_fence ? NULL : attempt->fence_ref,
		.fence_old = "",
		.fence_value = p->commit_sha,
	};
	struct push_report report;
	struct error err = ERROR_INIT;
	if (lease_left_ms <= 0 || clock_boot_ms() >= asked_ms + lease_left_ms) {
		(void)outcome_fail(&attempt->outcome, "worker_lost", true,
						   "the lease ran out before the push"); /* the step says it */
		return STEP_OVER;
	}
	log_info("push begins", "build_id", attempt->assignment.token.build_id, "attempt",
			 LOG_INT(attempt->assignment.token.attempt), "commit", p->commit_sha, NULL);
	int rc = remote_push(&attempt->remote, &request, clock_boot_ms() + attempt->config->git_timeout_ms, &report, &err);
	log_info("push ended", "build_id", attempt->assignment.token.build_id, "attempt",
			 LOG_INT(attempt->assignment.token.attempt), "branch", push_fate_name(report.branch.fate), "fence",
			 push_fate_name(report.fence.fate), NULL);
	if (report.branch.fate == PUSH_UPDATED && request.fence_ref != NULL && report.fence.fate == PUSH_UPDATED)
		(void)snprintf(attempt->outcome.fence, sizeof(attempt->outcome.fence), "%s", p->commit_sha);
	return judge(p, &report, rc < 0, &err);
}

/* Whether the commit stands on what the branch was when last looked at. A new branch stands on its start. */
static bool stands_on_tip(const struct publication *p)
{
	const char *tip = p->attempt->refs.tip;
	return tip[0] == '\0' || (p->has_onto && git_oid_streq(&p->onto, tip) == 0);
}

static enum step once(struct publication *p)
{
	struct attempt *attempt = p->attempt;
	enum step step = STEP_AGAIN;
	if (attempt_check_cancelled(attempt) < 0)
		return STEP_OVER;
	if (!p->looked)
		step = look(p);
	if (step == STEP_AGAIN && p->looked && !stands_on_tip(p))
		step = rebase(p);
	if (step != STEP_AGAIN || !p->looked || !stands_on_tip(p))
		return step;
	if (!p->announced_it && announce(p) == STEP_OVER)
		return STEP_OVER;
	/* A cancel that was read before the announcement was acknowledged must not see a publication. */
	if (attempt_check_cancelled(attempt) < 0)
		return STEP_OVER;
	return push(p);
}

int attempt_publish(struct attempt *attempt, const struct commit_made *made)
{
	const struct assignment *assignment = &attempt->assignment;
	struct publication p = {
		.attempt = attempt,
		.deadline_ms = clock_boot_ms() + attempt->config->publish_timeout_ms,
		.backoff = {.min_ms = FIRST_BACKOFF_MS, .max_ms = MAX_BACKOFF_MS},
		/* By attempt_prepare; leases and fence catch what has changed since. What it fetched may be newer than what it
		 * listed, and an earlier push is only found in what was listed. */
		.looked = assignment->announced_len == 0,
		.has_onto = attempt->has_start,
		.onto = attempt->start,
		.commit = made->commit,
		.unknown = assignment->announced_len > 0, /* pushes of earlier attempts */
	};
	git_oid_text(&p.commit, p.commit_sha);
	for (size_t i = 0; i < assignment->announced_len; i++)
		add_announced(&p, assignment->announced[i]);

	enum step step = STEP_AGAIN;
	while (step == STEP_AGAIN)
		step = once(&p);
	if (step == STEP_PUBLISHED && !attempt->outcome.published) {
		attempt->outcome.published = true;
		(void)snprintf(attempt->outcome.commit_sha, sizeof(attempt->outcome.commit_sha), "%s", p.commit_sha);
		CLEANUP(free_p) char *objects = xasprintf("%s/objects", attempt->workspace.git_dir);
		if (!attempt->workspace.torn)
			mirror_adopt(&attempt->mirror, objects, attempt->branch_ref, &p.commit);
	}
	if (step == STEP_OVER)
		settle_unpublished(attempt, (const char(*)[GIT_SHA_SIZE])p.announced, p.announced_len, p.unknown);
	free(p.announced);
	return step == STEP_PUBLISHED ? 0 : -1;
}
