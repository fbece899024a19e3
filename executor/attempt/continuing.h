/*
 * A build that names an earlier one (`continue_from`) goes on from where that one ended. Where this worker has kept the
 * session of its agent (session.h) and the same agent can go on with it, it does; else the agent is told what was asked
 * then and what was answered, in front of its own prompt.
 */
#pragma once

#include "executor/attempt/attempt.h"

/* Sets attempt->prompt and, when the build continues another, attempt->continued and attempt->resumed_session. -1: that
 * build cannot be continued (outcome says why). */
int attempt_continue(struct attempt *attempt);
/* The agent has ended: keeps its session for a build that continues this one. */
void attempt_keep_session(const struct attempt *attempt, const struct code_agent *agent);
