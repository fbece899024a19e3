/* How an attempt ended: what its RESULT frame, and so attempt.finished, says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/agents/agent.h"
#include "executor/artifacts/list.h"
#include "executor/attempt/output_tail.h"
#include "executor/git/remote.h"
#include "executor/secrets.h"

/* Error classes are those of schemas/common.json, as text. */
struct outcome {
	bool completed;
	const char *error_class; /* static; NULL when completed; "cancelled" makes the outcome `cancelled` */
	char error_message[512];
	bool retryable;
	bool published;                /* the branch was changed by this build */
	bool closed;                   /* no push of this build can change the branch any more */
	char commit_sha[GIT_SHA_SIZE]; /* "" = none */
	char branch[GIT_REF_SIZE];     /* "" = not known */
	char fence[GIT_SHA_SIZE];      /* where the fence ref was left, "" = none: for the daemon, to tidy up */
	const char *provider;          /* the agent's; NULL = no agent ran */
	struct agent_report report;
	struct output_tail output;
	const struct secrets *secrets; /* masked in output and error; NULL: none are known */
	struct buffer files_changed;   /* JSON array; empty = [] */
	struct artifact_list artifacts;
	int64_t started_ms; /* clock_boot_ms */
};

void outcome_init(struct outcome *outcome);
void outcome_release(struct outcome *outcome);

/* Sets the failure; the first one stays. Returns -1, so that a step can end with it. */
int outcome_fail(struct outcome *outcome, const char *error_class, bool retryable, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* From an error of git/: its kind decides class and retryable, but that one with an errno is this machine's. */
int outcome_fail_git(struct outcome *outcome, const struct error *err);
int outcome_cancel(struct outcome *outcome);

/* With what it goes into (attempt.finished, build.finished), it is within KAFKA_MAX_MESSAGE_BYTES. */
#define OUTCOME_MAX_BYTES ((size_t)6 * 1024 * 1024)

/* {outcome, published, closed, retryable, result, fence}. What would be more than OUTCOME_MAX_BYTES is told as a failure
 * (`internal`) instead. `out` is empty, and has room for that much. */
void outcome_write(const struct outcome *outcome, struct buffer *out);
