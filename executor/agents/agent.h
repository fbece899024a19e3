/*
 * The port for code agents: one adapter per provider (command.c now; Claude Code and OpenCode come as further ones). An
 * adapter says what to run and what its output means; running, limits, deadline and killing are the same for all
 * (attempt/agent_run.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/json/json.h"
#include "executor/config.h"
#include "executor/token.h"

/* What is to be done. The caller's memory. */
struct agent_task {
	const struct executor_config *config;
	const struct token *token;
	const cJSON *agent; /* the spec's {provider, model, command, max_turns, …} */
	const char *project, *branch;
	const char *files, *home, *tmp; /* absolute paths: working directory, HOME, TMPDIR */
};

/* The program. argv[0] is absolute; envp is complete (nothing is inherited); the prompt comes on standard input. */
#define AGENT_MAX_ARGS 32
#define AGENT_MAX_ENV 32
struct agent_program {
	char *argv[AGENT_MAX_ARGS + 1];
	char *envp[AGENT_MAX_ENV + 1];
	size_t argv_len, envp_len;
};

/* BuildResult's agent object, and how it ended. */
struct agent_report {
	bool success;
	char message[256]; /* why not */
	char *version, *model, *session_id;
	int64_t turns, tokens_input, tokens_output, tokens_cached; /* -1 = not known */
	double cost_usd;                                           /* negative = not known */
};

struct code_agent {
	const char *name; /* the provider's */
	/* Whether this worker offers it. */
	bool (*available)(const struct executor_config *config);
	/* Fills the program. ERR_NOT_FOUND, ERR_INVALID: this agent cannot be run here. */
	int (*prepare)(const struct agent_task *task, struct agent_program *program, struct error *err);
	/* A whole line of standard output, for adapters whose agent speaks a protocol there; NULL: the output is only log.
	 */
	void (*read_line)(struct agent_report *report, const char *line, size_t len);
	/* The agent has ended (wait status); sets success and message. */
	void (*finish)(struct agent_report *report, int status);
};

/* NULL when there is no such provider. */
const struct code_agent *code_agent_find(const char *provider);
/* All of them, ends with NULL. */
extern const struct code_agent *const code_agents[];

/* For adapters. Strings are handed over. */
void agent_program_arg(struct agent_program *program, char *argument);
/* PATH, HOME, TMPDIR, LANG and KILN_*: what every agent gets. */
void agent_program_environment(struct agent_program *program, const struct agent_task *task);
void agent_program_release(struct agent_program *program);

void agent_report_init(struct agent_report *report);
void agent_report_release(struct agent_report *report);
/* Writes BuildResult's `agent`. */
void agent_report_write(struct json_writer *w, const char *key, const char *provider,
						const struct agent_report *report);

extern const struct code_agent code_agent_command;
