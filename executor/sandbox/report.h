/* What sandbox-init says of the agent, through a pipe that the agent does not have: one record at its end. Included by
 * both sides, as only model_address.h is besides. */
#pragma once

enum sandbox_report_kind {
	SANDBOX_AGENT_ENDED = 1,  /* value: its wait status */
	SANDBOX_EXEC_FAILED = 2,  /* value: errno of execve */
	SANDBOX_SET_UP_FAILED = 3 /* value: errno of what init does before */
};

struct sandbox_report {
	int kind, value;
};
