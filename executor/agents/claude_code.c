/*
 * Provider `claude-code`: Anthropic's Claude Code, run as `claude -p` with stream-json on standard output. What it
 * prints, and when its exit status lies, was measured with 2.1.332 (docs/agents.md). Everything that counts is in its
 * last event, `result`; the events before are for the log. What it took is the model proxy's to say.
 */
#include "executor/agents/agent.h"

#include <ctype.h>
#include <sys/wait.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/agents/say.h"

#define ANTHROPIC_URL "https://api.anthropic.com"
/* The workspace's own settings and servers are not read: they could run commands before the model has said a word. */
#define UNATTENDED                                                                                                     \
	"You run unattended: nobody answers questions or grants permissions, and your last message is what the person "    \
	"gets to read. If the working directory has a CLAUDE.md, read it first and follow it."

struct claude_state {
	bool has_result, is_error;
	char subtype[64], ended_by[64]; /* of the result */
	char why[256];
	int64_t api_status;
};

static struct claude_state *state_of(struct agent_report *report)
{
	return agent_report_state(report, sizeof(struct claude_state));
}

static bool configured(const struct executor_config *config)
{
	return config->claude_code_program != NULL;
}

static const char *versioned(const struct executor_config *config)
{
	return config->claude_code_program;
}

static void model_api(const struct executor_config *config, struct model_api *ret_api)
{
	*ret_api = (struct model_api){
		.protocol = MODEL_ANTHROPIC,
		.base_url = config->claude_code_base_url != NULL ? config->claude_code_base_url : ANTHROPIC_URL,
		.version = "/v1",
		.key_file = config->claude_code_key_file,
	};
}

static void set_environment(const struct agent_task *task, struct agent_program *program)
{
	char retries[24];
	(void)snprintf(retries, sizeof(retries), "%lld", (long long)task->config->model_retries);
	agent_program_environment(program, task);
	agent_program_env(program, "ANTHROPIC_API_KEY", task->model_key);
	agent_program_env(program, "ANTHROPIC_BASE_URL", task->model_url);
	agent_program_env(program, "CLAUDE_CODE_MAX_RETRIES", retries);
	/* No telemetry, no titles, no look-ups of other hosts, no update of itself. */
	agent_program_env(program, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
	agent_program_env(program, "DISABLE_AUTOUPDATER", "1");
}

static int prepare(const struct agent_task *task, struct agent_program *program, struct error *err)
{
	const char *model = json_get_string(task->agent, "model");
	int64_t turns = json_get_int(task->agent, "max_turns", 0);
	(void)err; /* there is nothing that could be wrong */
	const char *const fixed[] = {task->config->claude_code_program,
								 "-p",
								 "--output-format",
								 "stream-json",
								 "--verbose",
								 "--permission-mode",
								 "acceptEdits",
								 "--allowedTools=Bash",
								 "--setting-sources=user",
								 "--strict-mcp-config"};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		agent_program_arg_copy(program, fixed[i]);
	agent_program_arg_copy(program, "--append-system-prompt=" UNATTENDED);
	if (task->session_id != NULL)
		agent_program_arg(program, xasprintf("--resume=%s", task->session_id));
	program->model = xstrdup(model != NULL ? model : task->config->claude_code_model);
	if (program->model != NULL)
		agent_program_arg(program, xasprintf("--model=%s", program->model));
	if (turns > 0)
		agent_program_arg(program, xasprintf("--max-turns=%lld", (long long)turns));
	set_environment(task, program);
	return 0;
}

/* Measured with 2.1.332: the folder is named for the working directory, what is no letter or digit being a dash. */
static char *session_path(const char *session_id, const char *files)
{
	CLEANUP(free_p) char *folder = xstrdup(files);
	for (char *c = folder; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c))
			*c = '-';
	}
	return xasprintf(".claude/projects/%s/%s.jsonl", folder, session_id);
}

/* ---- the log */

static void say_result(struct buffer *log, const cJSON *block)
{
	const char *mark = json_get_bool(block, "is_error", false) ? "error" : "result";
	const cJSON *content = json_get(block, "content");
	agent_say_as(log, mark, json_get_string(block, "content"));
	const cJSON *part;
	if (!cJSON_IsArray(content))
		return;
	cJSON_ArrayForEach(part, content)
	{
		agent_say_as(log, mark, json_get_string(part, "text"));
	}
}

static void say_retry(struct buffer *log, const cJSON *event)
{
	const char *why = json_get_string(event, "error");
	agent_sayf(log, "[model API] %s (status %lld), retry %lld of %lld", why != NULL ? why : "failed",
			   (long long)json_get_int(event, "error_status", 0), (long long)json_get_int(event, "attempt", 0),
			   (long long)json_get_int(event, "max_retries", 0));
}

/* ---- the events */

static void read_system(struct agent_report *report, const cJSON *event, struct buffer *log)
{
	const char *subtype = json_get_string(event, "subtype");
	if (str_equal(subtype, "init")) {
		agent_report_take_name(&report->version, json_get_string(event, "claude_code_version"));
		agent_report_take_name(&report->model, json_get_string(event, "model"));
		agent_report_take_name(&report->session_id, json_get_string(event, "session_id"));
		agent_sayf(log, "[claude-code] version %s, model %s, session %s",
				   report->version != NULL ? report->version : "?", report->model != NULL ? report->model : "?",
				   report->session_id != NULL ? report->session_id : "?");
	} else if (str_equal(subtype, "api_retry")) {
		say_retry(log, event);
	} else if (str_equal(subtype, "permission_denied")) {
		/* Also in the result, which says it again; but not every run comes to one. */
		agent_report_denied(report, json_get_string(event, "tool_name"));
		agent_say_as(log, "denied", json_get_string(event, "message"));
	}
}

static void read_assistant(struct agent_report *report, const cJSON *event, struct buffer *log)
{
	const cJSON *content = json_get(json_get(event, "message"), "content"), *block;
	bool own = json_get_string(event, "parent_tool_use_id") == NULL; /* else a subagent's */
	if (!cJSON_IsArray(content))
		return;
	cJSON_ArrayForEach(block, content)
	{
		const char *type = json_get_string(block, "type");
		if (str_equal(type, "text")) {
			agent_say(log, json_get_string(block, "text"));
			if (own)
				agent_report_take(&report->text, json_get_string(block, "text"));
		} else if (str_equal(type, "tool_use")) {
			const char *name = json_get_string(block, "name");
			agent_say_json(log, name != NULL ? name : "tool", json_get(block, "input"));
		}
	}
}

static void read_user(const cJSON *event, struct buffer *log)
{
	const cJSON *content = json_get(json_get(event, "message"), "content"), *block;
	if (!cJSON_IsArray(content))
		return;
	cJSON_ArrayForEach(block, content)
	{
		if (str_equal(json_get_string(block, "type"), "tool_result"))
			say_result(log, block);
	}
}

static void keep(char *field, size_t size, const char *text)
{
	(void)snprintf(field, size, "%s", text != NULL ? text : "");
}

static void read_result(struct agent_report *report, const cJSON *event)
{
	struct claude_state *state = state_of(report);
	const cJSON *denials = json_get(event, "permission_denials"), *denial;
	const char *first_error = NULL, *result = json_get_string(event, "result");
	const cJSON *errors = json_get(event, "errors");
	if (cJSON_IsArray(errors) && cJSON_IsString(cJSON_GetArrayItem(errors, 0)))
		first_error = cJSON_GetArrayItem(errors, 0)->valuestring;
	state->has_result = true;
	state->is_error = json_get_bool(event, "is_error", true);
	state->api_status = json_get_int(event, "api_error_status", 0);
	keep(state->subtype, sizeof(state->subtype), json_get_string(event, "subtype"));
	keep(state->ended_by, sizeof(state->ended_by), json_get_string(event, "terminal_reason"));
	keep(state->why, sizeof(state->why), first_error != NULL ? first_error : result);
	agent_report_take_name(&report->session_id, json_get_string(event, "session_id"));
	agent_report_take(&report->text, result);
	report->denials_len = 0;
	if (cJSON_IsArray(denials)) {
		cJSON_ArrayForEach(denial, denials)
		{
			agent_report_denied(report, json_get_string(denial, "tool_name"));
		}
	}
}

static void read_event(struct agent_report *report, const cJSON *event, struct buffer *log)
{
	const char *type = json_get_string(event, "type");
	if (str_equal(type, "system"))
		read_system(report, event, log);
	else if (str_equal(type, "assistant"))
		read_assistant(report, event, log);
	else if (str_equal(type, "user"))
		read_user(event, log);
	else if (str_equal(type, "result"))
		read_result(report, event);
}

/* ---- the end */

static void finish(struct agent_report *report, int status)
{
	const struct claude_state *state = state_of(report);
	char ending[64];
	agent_ending(status, ending, sizeof(ending));
	const char *why = state->why[0] != '\0' ? state->why : state->subtype;
	report->success = false;
	if (!state->has_result)
		agent_report_fail(report, NULL, false, "the agent %s and gave no result", ending);
	else if (str_equal(state->subtype, "error_max_turns"))
		agent_report_fail(report, "turn_limit", false, "%s", why);
	else if (state->is_error && (state->api_status != 0 || str_equal(state->ended_by, "api_error")))
		agent_report_model_failed(report, state->api_status, state->why[0] != '\0' ? state->why : NULL);
	else if (state->is_error || !str_equal(state->subtype, "success"))
		agent_report_fail(report, NULL, false, "%s", why);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		agent_report_fail(report, NULL, false, "the agent reported success, but %s", ending);
	else
		report->success = report->message[0] == '\0';
}

const struct code_agent code_agent_claude_code = {
	.name = "claude-code",
	.configured = configured,
	.versioned = versioned,
	.model_api = model_api,
	.prepare = prepare,
	.session_path = session_path,
	.read_event = read_event,
	.finish = finish,
};
