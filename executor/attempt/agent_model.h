/* The model of an attempt's agent, and its network: the proxy to them, from the build's limits to what the result says.
 */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "executor/agents/agent.h"
#include "executor/attempt/attempt.h"

/* For an agent with a model, or a project whose network.allow names something, makes the attempt's proxy, which listens
 * from then on. *ret_model_url is what the agent takes for its model's API, *ret_network_proxy what it goes by to other
 * servers; both to be freed, NULL when there is none. Again: only the URLs. -1: the outcome says why. */
int attempt_open_proxy(struct attempt *attempt, const struct code_agent *agent, char **ret_model_url,
					   char **ret_network_proxy) MUST_CHECK;
/* Whether the build's limits can be kept with this model (NULL: the agent's own choice). -1 as above. */
int attempt_check_model(struct attempt *attempt, const char *model) MUST_CHECK;

/* While the agent runs, and after it: the proxy's lines go into the log; a limit that was reached makes the report
 * hopeless. Returns the bytes of the lines. */
int64_t agent_model_take(struct model_proxy *proxy, struct attempt_log *log, struct agent_report *report);
/* After the last of it: turns, tokens and cost as they were on the wire, whatever the agent says. */
void agent_model_count(struct model_proxy *proxy, struct agent_report *report);
