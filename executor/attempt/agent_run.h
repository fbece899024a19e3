/* Runs an agent to its end: prompt on standard input, outputs into the log, deadline, limits of silence and of output,
 * cancel: SIGTERM, and SIGKILL after a grace. Afterwards none of its processes is left. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "executor/agents/agent.h"
#include "executor/attempt/daemon_link.h"
#include "executor/attempt/log.h"
#include "executor/attempt/output_tail.h"
#include "executor/proxy/proxy.h"
#include "executor/sandbox/sandbox.h"

struct agent_run {
	const struct executor_config *config;
	const struct code_agent *agent;
	const struct agent_program *program;
	const char *prompt;
	const struct sandbox *sandbox;
	const struct sandbox_spec *sandbox_spec;
	int lock_fd; /* held by what holds the agent, until all of it has gone */
	int64_t timeout_ms;
	struct attempt_log *log;
	struct daemon_link *link;
	struct output_tail *output;      /* standard output, of agents that speak no protocol there; else the answer */
	struct agent_report *report;     /* filled by the adapter */
	struct model_proxy *model_proxy; /* has been started, and is stopped here; NULL: neither a model nor a network */
};

enum agent_end {
	AGENT_EXITED, /* report->success tells */
	AGENT_TIMED_OUT,
	AGENT_MADE_NO_PROGRESS, /* it printed nothing, and did nothing with its model, for too long */
	AGENT_PRINTED_TOO_MUCH,
	AGENT_CANCELLED,
	AGENT_STOPPED, /* it was over a limit or lost: report->message tells */
};

/* -1 only when it could not be started, or its processes cannot be killed. ERR_INVALID: its program cannot be run;
 * ERR_UNAVAILABLE: the sandbox does not start; any other: something of ours. */
int agent_run(const struct agent_run *run, enum agent_end *ret_end, struct error *err) MUST_CHECK;
