#include "executor/agents/agent.h"

#include "common/base/str.h"

const struct code_agent *const code_agents[] = {
	&code_agent_command,
	&code_agent_claude_code,
	&code_agent_opencode,
	NULL,
};

const struct code_agent *code_agent_find(const char *provider)
{
	for (size_t i = 0; code_agents[i] != NULL; i++) {
		if (str_equal(code_agents[i]->name, provider))
			return code_agents[i];
	}
	return NULL;
}
