/* What an adapter wants to be run: argv and the whole environment. */
#pragma once

#include <stddef.h>

/* argv[0] is absolute; envp is complete (nothing is inherited); the prompt comes on standard input. */
#define AGENT_MAX_ARGS 32
#define AGENT_MAX_ENV 32
struct agent_program {
	char *argv[AGENT_MAX_ARGS + 1];
	char *envp[AGENT_MAX_ENV + 1];
	size_t argv_len, envp_len;
	char *model; /* that it is told to use; NULL = its own choice */
};

/* Strings are handed over. */
void agent_program_arg(struct agent_program *program, char *argument);
/* Copies the text. */
void agent_program_arg_copy(struct agent_program *program, const char *argument);
void agent_program_env(struct agent_program *program, const char *name, const char *value);
/* Accepts a zeroed struct. */
void agent_program_release(struct agent_program *program);
