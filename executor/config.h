/* The executor's settings: one table (config.c), read by the daemon and, from the same environment, by its children. */
#pragma once

#include <stdint.h>

#include "common/base/config.h"

/* Which protocol OpenCode speaks with the model's API. */
enum opencode_api { OPENCODE_API_OPENAI, OPENCODE_API_ANTHROPIC };

struct executor_config {
	struct config_common common; /* first, as config.h wants it */
	char *state_dir;             /* absolute */
	char *worker_id;             /* NULL: the one in the state directory */
	int64_t slots;
	char **labels;
	char *sandbox; /* the name of one (sandbox/sandbox.h) */
	char *bwrap_program;
	char **sandbox_readable;

	char *command_agents_dir;  /* NULL: no agent provider `command` here */
	char *agent_path;          /* PATH of agents */
	char *claude_code_program; /* NULL: no agent provider `claude-code` here */
	char *claude_code_key_file, *claude_code_base_url, *claude_code_model;
	char *opencode_program; /* NULL: no agent provider `opencode` here */
	char *opencode_key_file, *opencode_base_url, *opencode_model;
	int64_t opencode_api; /* enum opencode_api */
	int64_t model_retries;
	char *model_prices; /* JSON (common/model/prices.h); NULL = none */
	int64_t model_idle_timeout_ms;
	bool model_server_tools;
	char *network_allow; /* NULL: projects may open public destinations only */
	int64_t network_idle_timeout_ms;
	int64_t agent_output_limit_bytes, agent_max_file_bytes, agent_max_processes;
	int64_t agent_no_progress_s; /* 0 = never */
	int64_t sessions_bytes;      /* of all sessions that are kept; 0 = none */
	int64_t agent_memory_bytes, agent_disk_bytes, agent_max_files, agent_cpu_s;

	char *credentials_dir;
	char *git_base_url, *git_allow;
	int64_t mirrors_bytes; /* 0 = a share of the disk */
	int64_t mirrors_days;  /* 0 = for ever */
	char *committer_name, *committer_email;
	char *artifacts_dir; /* NULL: artifacts are not kept */
	int64_t artifacts_max_files, artifacts_max_file_bytes, artifacts_max_bytes, artifacts_timeout_ms, artifacts_days;

	int64_t heartbeat_ms, dead_man_ms, resend_ms;
	int64_t kill_grace_ms;
	int64_t git_timeout_ms, prepare_timeout_ms, commit_timeout_ms, publish_timeout_ms;
};

extern const struct config_option executor_options[];
extern const size_t executor_options_len;

/* What no variable can say alone, and what files and folders say. The daemon, after config_load; ERR_INVALID with every
 * rule that is broken, one a line. */
int executor_config_check(const struct executor_config *config, struct error *err) MUST_CHECK;
