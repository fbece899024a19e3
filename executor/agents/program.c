#include "executor/agents/program.h"

#include <stdlib.h>

#include "common/base/alloc.h"

void agent_program_arg(struct agent_program *program, char *argument)
{
	CHECK(program->argv_len < AGENT_MAX_ARGS);
	program->argv[program->argv_len++] = argument;
	program->argv[program->argv_len] = NULL;
}

void agent_program_arg_copy(struct agent_program *program, const char *argument)
{
	agent_program_arg(program, xstrdup(argument));
}

void agent_program_env(struct agent_program *program, const char *name, const char *value)
{
	CHECK(program->envp_len < AGENT_MAX_ENV);
	program->envp[program->envp_len++] = xasprintf("%s=%s", name, value);
	program->envp[program->envp_len] = NULL;
}

void agent_program_release(struct agent_program *program)
{
	for (size_t i = 0; i < program->argv_len; i++)
		free(program->argv[i]);
	for (size_t i = 0; i < program->envp_len; i++)
		free(program->envp[i]);
	free(program->model);
	*program = (struct agent_program){.argv_len = 0};
}
