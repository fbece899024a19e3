/* From an assignment to a workspace with the branch's files in it. The listing of the remote, which takes longest, runs
 * while the workspace is made. */
#include "executor/attempt/attempt.h"

#include "common/base/str.h"
#include "executor/attempt/adopt.h"
#include "executor/attempt/memory_bound.h"

/* Where the workspace starts: the branch, else the default branch, else nothing. `ret_ref` is NULL for an unborn
 * branch. */
static void choose_start(const struct attempt *attempt, char *ref, size_t ref_size, const char **ret_ref,
						 const char **ret_sha)
{
	const struct remote_refs *refs = &attempt->refs;
	*ret_ref = NULL;
	if (refs->tip[0] != '\0') {
		*ret_ref = attempt->branch_ref;
		*ret_sha = refs->tip;
	} else if (refs->head[0] != '\0') {
		if (refs->head_branch[0] != '\0')
			(void)snprintf(ref, ref_size, "refs/heads/%s", refs->head_branch);
		else
			(void)snprintf(ref, ref_size, "HEAD"); /* detached */
		*ret_ref = ref;
		*ret_sha = refs->head;
	}
}

/* A repository may be as hostile as an agent, and gets no more than one. */
static int check_out(struct attempt *attempt, const git_oid *commit, bool *ret_corrupt, struct error *err)
{
	const struct executor_config *config = attempt->config;
	const struct tree_limits limits = attempt_tree_limits(config);
	CLEANUP(memory_bound_lift) struct memory_bound bound = memory_bound_set(config->agent_memory_bytes);
	return workspace_checkout(&attempt->workspace, commit, &limits, ret_corrupt, err);
}

/* While the listing runs: our repository, and the files of the branch as we know it. A wrong guess costs the difference
 * only. */
static int get_ready(struct attempt *attempt, git_oid *ret_guess, bool *ret_guessed)
{
	struct error err = ERROR_INIT;
	if (workspace_attach(&attempt->workspace, &attempt->mirror, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	char ref[GIT_REF_SIZE];
	const char *branch = attempt->assignment.branch;
	(void)snprintf(ref, sizeof(ref), "refs/heads/%s", branch != NULL ? branch : "main");
	bool corrupt = false;
	*ret_guessed = mirror_knows(&attempt->mirror, ref, ret_guess) && check_out(attempt, ret_guess, &corrupt, &err) == 0;
	return 0;
}

static int list(struct attempt *attempt, git_oid *ret_guess, bool *ret_guessed)
{
	struct remote_listing listing;
	struct error err = ERROR_INIT;
	if (remote_list_start(&listing, &attempt->remote, attempt->mirror.path, attempt->assignment.branch,
						  attempt->fence_ref, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	attempt_mark(attempt, "listing started");
	int ready = get_ready(attempt, ret_guess, ret_guessed);
	attempt_mark(attempt, "workspace guessed");
	if (remote_list_finish(&listing, &attempt->refs, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	attempt_mark(attempt, "remote listed");
	if (ready < 0)
		return -1;
	if (!branch_is_safe(attempt->refs.branch))
		return outcome_fail(&attempt->outcome, "git_unreachable", false,
							"the remote's default branch has a name that Kiln does not handle");
	(void)snprintf(attempt->branch_ref, sizeof(attempt->branch_ref), "refs/heads/%s", attempt->refs.branch);
	(void)snprintf(attempt->outcome.branch, sizeof(attempt->outcome.branch), "%s", attempt->refs.branch);
	if (attempt->refs.missing && !attempt->remote.may_be_missing)
		return outcome_fail(&attempt->outcome, "git_unreachable", false, "there is no repository at this URL");
	if (attempt->refs.missing)
		attempt_log_kiln(&attempt->log, "there is no repository yet: the first push makes it");
	return 0;
}

/* What is too large for us is too large for the next attempt. */
static int reject_too_large(struct attempt *attempt, int rc, const struct error *err)
{
	if (rc < 0 && err->kind == ERR_INVALID)
		(void)outcome_fail(&attempt->outcome, "rejected", false, "%s", err->message); /* rc says it */
	return rc;
}

static int fetch_start(struct attempt *attempt, const char *ref, const char *sha, git_oid *ret_start, struct error *err)
{
	int rc = mirror_fetch(&attempt->mirror, &attempt->remote, ref, sha, ret_start, err);
	return reject_too_large(attempt, rc, err);
}

static int check_out_start(struct attempt *attempt, const git_oid *start, bool *ret_corrupt, struct error *err)
{
	int rc = check_out(attempt, start, ret_corrupt, err);
	return reject_too_large(attempt, rc, err);
}

/* Fetches and checks out. ERR_INTERNAL: something of ours is broken; then the mirror is made anew, once. */
static int fill(struct attempt *attempt, const char *ref, const char *sha, const git_oid *guess, struct error *err)
{
	bool corrupt = false;
	git_oid start;
	int rc = fetch_start(attempt, ref, sha, &start, err);
	corrupt = rc < 0 && err->kind == ERR_INTERNAL;
	if (rc == 0 && (guess == NULL || !git_oid_equal(guess, &start)))
		rc = check_out_start(attempt, &start, &corrupt, err);
	if (rc < 0 && corrupt) {
		if (attempt_renew_mirror(attempt, err) < 0 || fetch_start(attempt, ref, sha, &start, err) < 0 ||
			check_out_start(attempt, &start, &corrupt, err) < 0)
			return -1;
		rc = 0;
	}
	if (rc == 0) {
		attempt->has_start = true;
		attempt->start = start;
	}
	return rc;
}

/* An attempt after the first may find that the build was published already, or closed. `guessed`: whether files of the
 * branch are in the workspace. */
static int look_for_publication(struct attempt *attempt, bool *guessed)
{
	const struct assignment *assignment = &attempt->assignment;
	if (!assignment->has_earlier && attempt->refs.fence[0] == '\0')
		return 0;
	struct error err = ERROR_INIT;
	bool renewed = false;
	const char(*announced)[GIT_SHA_SIZE] = assignment->announced;
	enum found found = adopt_look_renewing(attempt, announced, assignment->announced_len, &renewed, &err);
	*guessed = *guessed && !renewed; /* the workspace is empty again */
	switch (found) {
	case FOUND_NOTHING:
		return 0;
	case FOUND_COMMIT:
		return -1;
	case FOUND_MARK:
		return outcome_fail(&attempt->outcome, "internal", false, "this build was closed by another attempt");
	case FOUND_ERROR:
		return outcome_fail_git(&attempt->outcome, &err);
	}
	return -1;
}

int attempt_prepare(struct attempt *attempt)
{
	git_oid guess;
	bool guessed = false;
	if (attempt_open_remote(attempt) < 0 || list(attempt, &guess, &guessed) < 0)
		return -1;

	char ref_space[GIT_REF_SIZE + 16];
	const char *ref, *sha = "";
	choose_start(attempt, ref_space, sizeof(ref_space), &ref, &sha);
	const char *base = attempt->assignment.base_sha;
	(void)snprintf(attempt->base_sha, sizeof(attempt->base_sha), "%s", base != NULL ? base : sha);
	if (look_for_publication(attempt, &guessed) < 0)
		return -1;
	if (attempt->assignment.auto_push && attempt_check_branch(attempt) < 0)
		return -1;
	struct error err = ERROR_INIT;
	if (ref != NULL && fill(attempt, ref, sha, guessed ? &guess : NULL, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	if (ref == NULL && guessed &&
		workspace_attach(&attempt->workspace, &attempt->mirror, &err) < 0) /* empties it again */
		return outcome_fail_git(&attempt->outcome, &err);
	if (base == NULL && attempt->has_start) /* the branch may have moved between listing and fetch */
		git_oid_text(&attempt->start, attempt->base_sha);
	if (attempt->has_start && str_equal(ref, attempt->branch_ref))
		git_oid_text(&attempt->start, attempt->refs.tip);
	attempt_mark(attempt, "workspace filled");
	const struct sandbox_spec spec = attempt_sandbox_spec(attempt);
	const struct sandbox_view view = attempt->sandbox->view(&spec);
	if (workspace_hand_over(&attempt->workspace, view.objects, attempt->refs.branch,
							attempt->has_start ? &attempt->start : NULL, &err) < 0)
		return outcome_fail_git(&attempt->outcome, &err);
	return 0;
}
