/* One attempt, in its own process: what its steps share. attempt.c tells the story, each step is a file. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/http/address_guard.h"
#include "common/model/prices.h"
#include "executor/attempt/aside.h"
#include "executor/attempt/assignment.h"
#include "executor/attempt/daemon_link.h"
#include "executor/attempt/log.h"
#include "executor/attempt/outcome.h"
#include "executor/config.h"
#include "executor/git/commit.h"
#include "executor/git/mirror.h"
#include "executor/git/remote.h"
#include "executor/git/tree_limits.h"
#include "executor/git/workspace.h"
#include "executor/proxy/proxy.h"
#include "executor/sandbox/sandbox.h"

struct attempt {
	const struct executor_config *config;
	const struct address_guard *guard;         /* of git */
	const struct address_guard *network_guard; /* of what the project opens to its agent */
	const struct sandbox *sandbox;
	const char *agent_versions; /* as the daemon has found them (agents/offers.h) */
	struct daemon_link *link;
	struct assignment assignment;
	struct attempt_log log;
	struct outcome outcome;
	char *prompt;          /* the agent's: the spec's, with what comes before it */
	const char *continued; /* "resumed", "context"; NULL = the build continues none */
	const char *resumed_session;
	int lock_fd;
	struct model_prices *prices;
	struct model_proxy *model_proxy; /* NULL: the agent has no model, and no network */
	char *model_socket;              /* where the proxy listens for a confined agent; else NULL */

	bool store_failed; /* the artifact store, and the worker's log says so */

	struct git_remote remote;
	struct mirror mirror;
	struct workspace workspace;
	struct commit_identity identity;
	char fence_ref[GIT_REF_SIZE];

	/* From prepare on. */
	struct remote_refs refs;            /* as last seen */
	char branch_ref[GIT_REF_SIZE + 16]; /* refs/heads/… */
	char base_sha[GIT_SHA_SIZE];        /* where the first attempt started; "" = unborn */
	bool has_start;
	git_oid start;          /* the commit that the workspace holds, when has_start */
	uint64_t base_phase_id; /* the phase that announced base_sha: to be acknowledged before any push */
};

/* The whole story; fills attempt->outcome. */
void attempt_run(struct attempt *attempt);

/*
 * The steps. Each returns 0 to go on, -1 when the attempt has come to its end (outcome says how).
 */

/* Opens mirror and remote; looks at the remote. With `workspace` also fetches, and fills the workspace. */
int attempt_prepare(struct attempt *attempt);
/* The same without workspace and agent: for settling and tidying. */
int attempt_open_remote(struct attempt *attempt);
/* No step: a new mirror, and an empty workspace on it, instead of one that is broken by what `err` says. Failed: err says
 * why, and nothing can be fetched any more. */
int attempt_renew_mirror(struct attempt *attempt, struct error *err) MUST_CHECK;
/* Keeps the artifacts of what the agent left, as far as they can be kept; the outcome and the log say which. Fails
 * nothing. */
void attempt_keep_artifacts(struct attempt *attempt);
/* The same for a commit that does not fit the branch, as ARTIFACT_WORK_PATCH. `base` NULL: there is nothing below it.
 */
void attempt_keep_patch(struct attempt *attempt, const git_oid *base, const git_oid *commit);
/* A commit that is not pushed, as ARTIFACT_COMMIT_BUNDLE. A step: with a store that does not take it the commit would
 * be lost, and the attempt has failed. Without KILN_ARTIFACTS_DIR that is told only. */
int attempt_keep_commit(struct attempt *attempt, const git_oid *base, const git_oid *commit);
/* Commits what the agent left; ret_made->changed false: nothing. Sets files_changed. */
int attempt_commit(struct attempt *attempt, struct commit_made *ret_made);
/* docs/protocol.md section 7: the commit to the branch, or nothing. */
int attempt_publish(struct attempt *attempt, const struct commit_made *made);
/* MODE_SETTLE. */
int attempt_settle(struct attempt *attempt);
/* MODE_TIDY: deletes the fence ref where it still stands at the known value. */
int attempt_tidy(struct attempt *attempt);

/* How large a tree may be that is checked out or staged. */
struct tree_limits attempt_tree_limits(const struct executor_config *config);
/* What the agent is to be confined to, as far as it is known now. */
struct sandbox_spec attempt_sandbox_spec(const struct attempt *attempt);
/* Announces a phase; commit_sha may be NULL. Returns the frame's id, for daemon_link_wait_acked. */
uint64_t attempt_phase(struct attempt *attempt, const char *phase, const char *commit_sha);
/* A debug line: where the time goes until the agent runs. */
void attempt_mark(const struct attempt *attempt, const char *step);
/* outcome_cancel and -1 when the build is to be cancelled. */
int attempt_check_cancelled(struct attempt *attempt);
/* -1 with the outcome set, for good: what was listed has a branch beside which git cannot make ours. */
int attempt_check_branch(struct attempt *attempt);
/* Says what differs between two trees of the workspace (from NULL: the empty one) in the outcome, which without success
 * says nothing: the log says why. */
int attempt_files_changed(struct attempt *attempt, const git_oid *from_tree, const git_oid *to_tree);
/* The same of two commits, which may be others' than this attempt's: aside. */
int attempt_files_changed_since(struct attempt *attempt, const git_oid *from, const git_oid *to,
								const struct aside_limits *limits);
/* Of what is done aside with a commit that may be hard to put onto the branch, or to compare: KILN_PUBLISH_TIMEOUT_MS
 * from now, so that it does not depend on how long the remote took before. A cancel ends it. */
struct aside_limits attempt_aside_limits(const struct attempt *attempt);
