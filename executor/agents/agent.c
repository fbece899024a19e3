#include "executor/agents/agent.h"

#include <stdio.h>
#include <sys/wait.h>

#include "common/base/str.h"

/* In both spellings: some programs know the one, some the other. Servers of the agent's own are on its loopback. */
static void set_proxy(struct agent_program *program, const char *url)
{
	static const char *const proxies[] = {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"};
	static const char *const exceptions[] = {"NO_PROXY", "no_proxy"};
	for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
		agent_program_env(program, proxies[i], url);
	for (size_t i = 0; i < ARRAY_LEN(exceptions); i++)
		agent_program_env(program, exceptions[i], "127.0.0.1,localhost,::1");
}

void agent_program_environment(struct agent_program *program, const struct agent_task *task)
{
	char attempt[24];
	(void)snprintf(attempt, sizeof(attempt), "%lld", (long long)task->token->attempt);
	agent_program_env(program, "PATH", task->config->agent_path);
	agent_program_env(program, "HOME", task->home);
	agent_program_env(program, "TMPDIR", task->tmp);
	agent_program_env(program, "LANG", "C.UTF-8");
	agent_program_env(program, "GIT_TERMINAL_PROMPT", "0");
	agent_program_env(program, "KILN_BUILD_ID", task->token->build_id);
	agent_program_env(program, "KILN_ATTEMPT", attempt);
	/* Also the mark by which a starting daemon knows processes that have closed the lock's descriptor
	 * (daemon/orphans.h). */
	agent_program_env(program, "KILN_LEASE_ID", task->token->lease_id);
	agent_program_env(program, "KILN_PROJECT", task->project);
	agent_program_env(program, "KILN_BRANCH", task->branch);
	if (task->network_proxy != NULL)
		set_proxy(program, task->network_proxy);
}

void agent_ending(int status, char *text, size_t size)
{
	if (WIFEXITED(status))
		(void)snprintf(text, size, "ended with exit status %d", WEXITSTATUS(status));
	else
		(void)snprintf(text, size, "was ended by signal %d", WTERMSIG(status));
}
