#include "executor/attempt/adopt.h"

#include "common/base/str.h"

/* Takes the commit as the publication of this build. */
static int adopt(struct attempt *attempt, const git_oid *commit, struct error *err)
{
	/* Not from base_sha, where the first attempt began: others may have pushed before this commit was rebased. */
	git_oid base;
	bool has_base = false;
	if (commit_base(attempt->mirror.repo, commit, &base, &has_base, err) < 0)
		return error_prefix(err, "the published commit");
	struct outcome *outcome = &attempt->outcome;
	struct aside_limits limits = attempt_aside_limits(attempt);
	limits.link = NULL; /* a cancel comes too late for it */
	if (attempt_files_changed_since(attempt, has_base ? &base : NULL, commit, &limits) < 0)
		attempt_log_kiln(&attempt->log, "the changed files of the published commit cannot be listed");
	outcome->completed = true;
	outcome->error_class = NULL;
	outcome->retryable = false;
	outcome->published = true;
	git_oid_text(commit, outcome->commit_sha);
	attempt_log_kiln(&attempt->log, "commit %s of this build is on %s already", outcome->commit_sha,
					 attempt->refs.branch);
	return 0;
}

/* 1, 0, or -1: the mirror cannot be read, which must not pass for a commit that is not there. */
static int is_in_range(git_repository *repo, const git_oid *commit, const git_oid *tip, const char *base_sha,
					   struct error *err)
{
	CLEANUP(git_commit_free_p) git_commit *object = NULL;
	CLEANUP(git_commit_free_p) git_commit *tip_object = NULL;
	int there = git_commit_lookup(&object, repo, commit);
	if (git_commit_lookup(&tip_object, repo, tip) < 0 || (there < 0 && there != GIT_ENOTFOUND))
		return git_library_error(err, ERR_INTERNAL, "the branch");
	if (there < 0)
		return 0;
	int below = git_oid_equal(commit, tip) ? 1 : git_graph_descendant_of(repo, tip, commit);
	if (below < 0)
		return git_library_error(err, ERR_INTERNAL, "the branch");
	git_oid base;
	struct error ignored = ERROR_INIT;
	if (below == 0 || base_sha[0] == '\0' || git_oid_parse(base_sha, &base, &ignored) < 0)
		return below;
	/* All of the tip's history counts when base is no ancestor of it. */
	bool base_below = git_oid_equal(&base, tip) || git_graph_descendant_of(repo, tip, &base) == 1;
	return !base_below || (!git_oid_equal(commit, &base) && git_graph_descendant_of(repo, &base, commit) != 1);
}

static enum found look_at_branch(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
								 struct error *err)
{
	git_oid tip;
	if (attempt->refs.tip[0] == '\0' || announced_len == 0)
		return FOUND_NOTHING;
	if (mirror_fetch(&attempt->mirror, &attempt->remote, attempt->branch_ref, attempt->refs.tip, &tip, err) < 0)
		return FOUND_ERROR;
	for (size_t i = 0; i < announced_len; i++) {
		git_oid commit;
		if (git_oid_parse(announced[i], &commit, err) < 0)
			continue;
		int in_range = is_in_range(attempt->mirror.repo, &commit, &tip, attempt->base_sha, err);
		if (in_range < 0)
			return FOUND_ERROR;
		if (in_range > 0 && commit_is_ours(attempt->mirror.repo, &commit, &attempt->identity))
			return adopt(attempt, &commit, err) < 0 ? FOUND_ERROR : FOUND_COMMIT;
	}
	return FOUND_NOTHING;
}

enum found adopt_look(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
					  struct error *err)
{
	const char *fence = attempt->refs.fence;
	(void)snprintf(attempt->outcome.fence, sizeof(attempt->outcome.fence), "%s", fence);
	if (str_equal(fence, GIT_EMPTY_BLOB_SHA)) {
		attempt->outcome.closed = true;
		return FOUND_MARK;
	}
	if (fence[0] == '\0')
		return look_at_branch(attempt, announced, announced_len, err);
	git_oid commit;
	if (mirror_fetch(&attempt->mirror, &attempt->remote, attempt->fence_ref, fence, &commit, err) < 0)
		return FOUND_ERROR;
	return adopt(attempt, &commit, err) < 0 ? FOUND_ERROR : FOUND_COMMIT;
}

enum found adopt_look_renewing(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
							   bool *ret_renewed, struct error *err)
{
	enum found found = adopt_look(attempt, announced, announced_len, err);
	if (found != FOUND_ERROR || err->kind != ERR_INTERNAL)
		return found;
	*ret_renewed = true;
	if (attempt_renew_mirror(attempt, err) < 0)
		return FOUND_ERROR;
	return adopt_look(attempt, announced, announced_len, err);
}
