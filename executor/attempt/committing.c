/* What the agent left in the workspace, as a tree and, when asked for, a commit. */
#include "executor/attempt/attempt.h"

#include "common/base/str.h"
#include "executor/attempt/memory_bound.h"
#include "executor/git/stage.h"

#define MAX_LEFT_OUT_LINES 20

struct left_out {
	struct attempt *attempt;
	size_t count;
};

static void tell_left_out(void *ctx, const char *path, const char *why)
{
	struct left_out *left_out = ctx;
	if (++left_out->count <= MAX_LEFT_OUT_LINES)
		attempt_log_kiln(&left_out->attempt->log, "left out: %s: %s", path, why);
}

static int start_tree(const struct attempt *attempt, git_oid *ret_tree, bool *ret_has, struct error *err)
{
	*ret_has = attempt->has_start;
	if (!attempt->has_start)
		return 0;
	CLEANUP(git_commit_free_p) git_commit *commit = NULL;
	if (git_commit_lookup(&commit, attempt->workspace.repo, &attempt->start) < 0)
		return git_library_error(err, ERR_INTERNAL, "the commit that the build started from");
	*ret_tree = *git_commit_tree_id(commit);
	return 0;
}

static int stage(struct attempt *attempt, const struct agent_commits *agent, git_oid *ret_tree)
{
	struct error err = ERROR_INIT;
	struct left_out left_out = {.attempt = attempt};
	const struct tree_limits limits = attempt_tree_limits(attempt->config);
	int begun = agent->found ? stage_begin_at(&attempt->workspace, &agent->tip, &limits, &err) : 0;
	if (begun < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	if (begun > 0)
		attempt_log_kiln(&attempt->log, "of the agent's own commits, ignored files and submodules do not stay: %s",
						 err.message);
	if (stage_all(&attempt->workspace, tell_left_out, &left_out, ret_tree, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	if (left_out.count > MAX_LEFT_OUT_LINES)
		attempt_log_kiln(&attempt->log, "left out: %zu paths in all", left_out.count);
	git_oid from;
	bool has_from = false;
	if (start_tree(attempt, &from, &has_from, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	if (attempt_files_changed(attempt, has_from ? &from : NULL, ret_tree) < 0)
		return outcome_fail(&attempt->outcome, "internal", true, "the changed files cannot be listed");
	return 0;
}

int attempt_commit(struct attempt *attempt, struct commit_made *ret_made)
{
	CLEANUP(memory_bound_lift) struct memory_bound bound = memory_bound_set(attempt->config->agent_memory_bytes);
	*ret_made = (struct commit_made){.changed = false};
	git_oid tree;
	struct error err = ERROR_INIT;
	struct agent_commits agent = {.found = false};
	const git_oid *base = attempt->has_start ? &attempt->start : NULL;
	if (attempt->assignment.auto_commit &&
		agent_commits_import(&attempt->workspace, &attempt->remote, base, &agent, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	if (agent.notice[0] != '\0')
		attempt_log_kiln(&attempt->log, "%s", agent.notice);
	if (stage(attempt, &agent, &tree) < 0)
		return -1;
	if (!attempt->assignment.auto_commit)
		return 0;
	if (commit_make(&attempt->workspace, &attempt->identity, base, &agent, &tree, ret_made, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	if (ret_made->unused != NULL)
		attempt_log_kiln(&attempt->log, "the agent's own commits cannot be used (%s): its files go into one commit",
						 ret_made->unused);
	if (ret_made->changed)
		git_oid_text(&ret_made->commit, attempt->outcome.commit_sha);
	return 0;
}
