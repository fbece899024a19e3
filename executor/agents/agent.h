/*
 * The port for code agents: one adapter per provider, a file each (command.c, claude_code.c, opencode.c), and one row
 * each in registry.c; docs/adding-an-agent.md shows how one more is added. An adapter says what to run and what its
 * output means; running, limits, deadline and killing are the same for all (attempt/agent_run.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/json/json.h"
#include "common/model/fencing_token.h"
#include "executor/agents/program.h"
#include "executor/agents/report.h"
#include "executor/config.h"
#include "executor/proxy/model_api.h"

/* What is to be done. The caller's memory. */
struct agent_task {
	const struct executor_config *config;
	const struct fencing_token *token;
	const cJSON *agent; /* the spec's {provider, model, command, max_turns, …} */
	const char *project, *branch;
	const char *files, *home, *tmp; /* absolute paths: working directory, HOME, TMPDIR */
	const char *session_id;         /* that it goes on with; its file is there (session_path). NULL: a new one */
	/* For agents with a model: what they take for its API (http://HOST:PORT; the vendor's paths begin behind it) and
	 * for its key. Both are the model proxy's (proxy/proxy.h): no agent is given a real key. */
	const char *model_url, *model_key;
	/* The proxy to what the project's network.allow names (http://USER:PASSWORD@HOST:PORT); NULL: it names nothing. */
	const char *network_proxy;
};

struct code_agent {
	const char *name; /* the provider's */
	/* Whether this worker is set up for it. */
	bool (*configured)(const struct executor_config *config);
	/* The program that `--version` asks for its version, at the daemon's start; a provider whose program does not
	 * answer is not offered. NULL: there is nothing to ask. */
	const char *(*versioned)(const struct executor_config *config);
	/* Where its model is, for the model proxy. NULL: it has none. */
	void (*model_api)(const struct executor_config *config, struct model_api *ret_api);
	/* Fills the program. ERR_NOT_FOUND, ERR_INVALID, ERR_DENIED: this agent cannot be run here. */
	int (*prepare)(const struct agent_task *task, struct agent_program *program, struct error *err);
	/* An event of standard output (a line that is a JSON object), for adapters whose agent speaks a protocol there;
	 * NULL: the output is log and result as it is. Fills the report and appends to `log` what a person wants to read,
	 * in whole lines (say.h). `log` may be full: then the rest is left out. */
	void (*read_event)(struct agent_report *report, const cJSON *event, struct buffer *log);
	/* Where it keeps the session of this id, one file, below HOME, when `files` is its working directory; the caller
	 * frees it. For agents whose sessions can go on in another HOME; NULL: they cannot. */
	char *(*session_path)(const char *session_id, const char *files);
	/* The agent has ended (wait status): sets success, and otherwise error_class and message. */
	void (*finish)(struct agent_report *report, int status);
};

/* NULL when there is no such provider. */
const struct code_agent *code_agent_find(const char *provider);
/* All of them, ends with NULL. */
extern const struct code_agent *const code_agents[];

extern const struct code_agent code_agent_claude_code;
extern const struct code_agent code_agent_command;
extern const struct code_agent code_agent_opencode;

/* What all adapters do with their agent's environment: PATH, HOME, TMPDIR, LANG, KILN_*, and the proxy where there is
 * one. */
void agent_program_environment(struct agent_program *program, const struct agent_task *task);
/* "ended with exit status 3", "was ended by signal 9": for messages. */
void agent_ending(int status, char *text, size_t size);
