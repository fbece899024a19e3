#include "executor/agents/agent.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

const struct code_agent *const code_agents[] = {
	&code_agent_command,
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

void agent_program_arg(struct agent_program *program, char *argument)
{
	CHECK(program->argv_len < AGENT_MAX_ARGS);
	program->argv[program->argv_len++] = argument;
	program->argv[program->argv_len] = NULL;
}

static void add_env(struct agent_program *program, const char *name, const char *value)
{
	CHECK(program->envp_len < AGENT_MAX_ENV);
	program->envp[program->envp_len++] = xasprintf("%s=%s", name, value);
	program->envp[program->envp_len] = NULL;
}

void agent_program_environment(struct agent_program *program, const struct agent_task *task)
{
	char attempt[24];
	(void)snprintf(attempt, sizeof(attempt), "%lld", (long long)task->token->attempt);
	add_env(program, "PATH", task->config->agent_path);
	add_env(program, "HOME", task->home);
	add_env(program, "TMPDIR", task->tmp);
	add_env(program, "LANG", "C.UTF-8");
	add_env(program, "GIT_TERMINAL_PROMPT", "0");
	add_env(program, "KILN_BUILD_ID", task->token->build_id);
	add_env(program, "KILN_ATTEMPT", attempt);
	/* Also the mark by which a starting daemon knows processes that have closed the lock's descriptor
	 * (daemon/orphans.h). */
	add_env(program, "KILN_LEASE_ID", task->token->lease_id);
	add_env(program, "KILN_PROJECT", task->project);
	add_env(program, "KILN_BRANCH", task->branch);
}

void agent_program_release(struct agent_program *program)
{
	for (size_t i = 0; i < program->argv_len; i++)
		free(program->argv[i]);
	for (size_t i = 0; i < program->envp_len; i++)
		free(program->envp[i]);
	*program = (struct agent_program){.argv_len = 0};
}

void agent_report_init(struct agent_report *report)
{
	*report = (struct agent_report){
		.turns = -1, .tokens_input = -1, .tokens_output = -1, .tokens_cached = -1, .cost_usd = -1};
}

void agent_report_release(struct agent_report *report)
{
	free(report->version);
	free(report->model);
	free(report->session_id);
	report->version = report->model = report->session_id = NULL;
}

static void write_count(struct json_writer *w, const char *key, int64_t value)
{
	if (value < 0)
		json_null(w, key);
	else
		json_int(w, key, value);
}

void agent_report_write(struct json_writer *w, const char *key, const char *provider, const struct agent_report *report)
{
	json_object_begin(w, key);
	json_string(w, "provider", provider);
	json_string(w, "version", report->version);
	json_string(w, "model", report->model);
	json_string(w, "session_id", report->session_id);
	write_count(w, "turns", report->turns);
	json_object_begin(w, "tokens");
	write_count(w, "input", report->tokens_input);
	write_count(w, "output", report->tokens_output);
	write_count(w, "cached", report->tokens_cached);
	json_object_end(w);
	if (report->cost_usd < 0)
		json_null(w, "cost_usd");
	else
		json_double(w, "cost_usd", report->cost_usd);
	json_object_end(w);
}
