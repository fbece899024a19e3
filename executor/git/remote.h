/* The three things that are asked of a remote. One thread (an attempt's child). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/git/access.h"
#include "executor/git/command.h"
#include "executor/git/porcelain.h"

#define GIT_SHA_SIZE 65 /* 40 or 64 hex digits and a NUL; "" = none */
#define GIT_REF_SIZE 256

/* Kind of failure (struct error's kind) of all three: ERR_NOT_FOUND the repository does not exist; ERR_DENIED
 * credentials; ERR_UNAVAILABLE the network, the server, a ref that was to be fetched and is gone, and what is not
 * understood; ERR_TIMEOUT; ERR_CANCELLED; ERR_INVALID the URL is not allowed, or a fetch has hit the remote's limits;
 * ERR_LIMIT the disk is full; ERR_INTERNAL our own repository is broken. */

struct remote_refs {
	bool missing;                   /* there is no such repository (the other fields are empty) */
	char head_branch[GIT_REF_SIZE]; /* the default branch, "" = not told */
	char head[GIT_SHA_SIZE];        /* its tip */
	char branch[GIT_REF_SIZE];      /* the branch that was asked for, else the default one, else "main" */
	char tip[GIT_SHA_SIZE];         /* of `branch`; "" = it does not exist */
	char in_the_way[GIT_REF_SIZE];  /* a branch beside which git cannot have `branch`, cut to the room; "" = none */
	char fence[GIT_SHA_SIZE];       /* "" = none */
};

/* A listing under way: other work can be done between start and finish. */
struct remote_listing {
	const struct git_remote *remote;
	const char *git_dir;
	struct smart_http *asked; /* by upload_pack.h; NULL: by `command` */
	struct git_command command;
	int64_t deadline_ms;
	struct remote_refs refs;
	char wanted[GIT_REF_SIZE]; /* "refs/heads/…", "" until known */
	char fence_ref[GIT_REF_SIZE];
};

/* `branch` may be NULL. `git_dir` is any repository of ours (git wants one). Without git where that is possible
 * (upload_pack.h). After success remote_list_finish must follow. */
int remote_list_start(struct remote_listing *listing, const struct git_remote *remote, const char *git_dir,
					  const char *branch, const char *fence_ref, struct error *err) MUST_CHECK;
/* A repository that does not exist is no error but `missing`. */
int remote_list_finish(struct remote_listing *listing, struct remote_refs *ret_refs, struct error *err) MUST_CHECK;
/* Both at once, always by git. */
int remote_list(const struct git_remote *remote, const char *git_dir, const char *branch, const char *fence_ref,
				struct remote_refs *ret_refs, struct error *err) MUST_CHECK;

/* Fetches one ref with its history: `ref` there becomes `local_ref` in git_dir. */
int remote_fetch(const struct git_remote *remote, const char *git_dir, const char *ref, const char *local_ref,
				 struct error *err) MUST_CHECK;

/* One push. `commit` goes to branch_ref, which must be at `branch_old` ("" = must not exist); branch_ref NULL: not
 * pushed. `fence_value` goes to fence_ref, which must be at `fence_old` ("" = must not exist); fence_ref NULL: pushed
 * without a fence. fence_value "" deletes the ref. */
struct remote_push {
	const char *git_dir;
	const char *branch_ref, *branch_old, *commit;
	const char *fence_ref, *fence_old, *fence_value;
};

struct push_report {
	struct push_line branch, fence; /* fate PUSH_SILENT for what was not pushed or not answered */
	bool atomic_unsupported;        /* refused before anything was sent */
	bool sent;                      /* git was started: without lines the fate is unknown */
	char words[256];                /* the server's own, of a push that it did not take in; "" = none */
};

/* Not interruptible: its outcome decides. 0 whenever git ran to its end with at least one line, or was refused by
 * atomic_unsupported or for its size (HTTP 413: both refs are PUSH_REJECTED then); otherwise -1, and ret_report->sent
 * tells whether the fate is unknown (ERR_DENIED and ERR_NOT_FOUND are refusals before anything was sent). ret_report is
 * always filled. */
int remote_push(const struct git_remote *remote, const struct remote_push *push, int64_t deadline_ms,
				struct push_report *ret_report, struct error *err) MUST_CHECK;

/* What standard error of git means, without the server's lines ("remote: "); for tests. */
enum error_kind remote_error_kind(const char *errors);
