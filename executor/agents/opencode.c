/*
 * Provider `opencode`: OpenCode, run as `opencode run --format json`. What it prints was measured with 1.18.33
 * (docs/agents.md): there is no event of the end, so that the answer is its last text, and whether it came to an end is
 * told by the last step's reason; its exit status is 0 also when a refused permission has ended it, and a model whose
 * streams end early keeps it busy for ever.
 */
#include "executor/agents/agent.h"

#include <sys/wait.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/agents/say.h"

#define BROKEN_STEPS 5 /* in a row, after which it is lost */
#define CONFIG_MAX_BYTES 16384

struct opencode_state {
	bool failed;
	char why[256];
	int64_t api_status;
	char reason[32]; /* of the last step's end; "" = none yet, or a step is under way */
	int64_t broken;  /* steps in a row whose stream ended too early */
};

static struct opencode_state *state_of(struct agent_report *report)
{
	return agent_report_state(report, sizeof(struct opencode_state));
}

static bool configured(const struct executor_config *config)
{
	return config->opencode_program != NULL;
}

static const char *versioned(const struct executor_config *config)
{
	return config->opencode_program;
}

/* ---- what is run */

static void model_api(const struct executor_config *config, struct model_api *ret_api)
{
	*ret_api = (struct model_api){
		.protocol = config->opencode_api == OPENCODE_API_ANTHROPIC ? MODEL_ANTHROPIC : MODEL_OPENAI,
		.base_url = config->opencode_base_url,
		.version = "", /* it is in the URL */
		.key_file = config->opencode_key_file,
	};
}

static void write_provider(struct json_writer *w, const struct agent_task *task, const char *model)
{
	CLEANUP(free_p) char *base_url = xasprintf("%s" MODEL_PATH_PREFIX, task->model_url);
	const struct executor_config *config = task->config;
	json_object_begin(w, "provider");
	json_object_begin(w, "kiln");
	json_string(w, "npm",
				config->opencode_api == OPENCODE_API_ANTHROPIC ? "@ai-sdk/anthropic" /* both are built in */
															   : "@ai-sdk/openai-compatible");
	json_object_begin(w, "options");
	json_string(w, "baseURL", base_url);
	json_string(w, "apiKey", task->model_key);
	json_bool(w, "includeUsage", true); /* the proxy counts */
	json_object_end(w);
	json_object_begin(w, "models");
	json_object_begin(w, model);
	json_bool(w, "tool_call", true);
	json_object_end(w);
	json_object_end(w);
	json_object_end(w);
	json_object_end(w);
}

/* Everything by one variable, so that no file has to be written and none in the workspace counts. */
static void write_config(struct json_writer *w, const struct agent_task *task, const char *model)
{
	CLEANUP(free_p) char *full_name = xasprintf("kiln/%s", model);
	json_object_begin(w, NULL);
	json_string(w, "model", full_name);
	json_string(w, "small_model", full_name);
	json_raw(w, "enabled_providers", "[\"kiln\"]");
	json_string(w, "share", "disabled");
	json_bool(w, "autoupdate", false);
	json_bool(w, "snapshot", false);
	/* What would be asked is refused: nobody is there. */
	json_raw(w, "permission", "{\"*\":\"allow\",\"external_directory\":\"deny\",\"question\":\"deny\"}");
	json_raw(w, "agent", "{\"title\":{\"disable\":true}}");
	write_provider(w, task, model);
	json_object_end(w);
}

static int set_environment(const struct agent_task *task, struct agent_program *program, const char *model,
						   struct error *err)
{
	static const char *const off[] = {"OPENCODE_DISABLE_AUTOUPDATE",      "OPENCODE_DISABLE_MODELS_FETCH",
									  "OPENCODE_DISABLE_LSP_DOWNLOAD",    "OPENCODE_DISABLE_SHARE",
									  "OPENCODE_DISABLE_DEFAULT_PLUGINS", "OPENCODE_DISABLE_PROJECT_CONFIG"};
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, CONFIG_MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &text);
	write_config(&w, task, model);
	bool whole = buffer_ok(&text);
	agent_program_environment(program, task);
	if (whole)
		agent_program_env(program, "OPENCODE_CONFIG_CONTENT", text.data);
	if (!whole)
		return error_set(err, ERR_INVALID, "OpenCode's configuration is too long");
	for (size_t i = 0; i < ARRAY_LEN(off); i++)
		agent_program_env(program, off[i], "1");
	/* It installs a plug-in of 95 MB into each HOME unless its registry is out of reach. A project that opens something
	 * may have opened a registry, for npm to be used. */
	if (task->network_proxy == NULL)
		agent_program_env(program, "NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/");
	return 0;
}

static int prepare(const struct agent_task *task, struct agent_program *program, struct error *err)
{
	const char *model = json_get_string(task->agent, "model");
	if (model == NULL)
		model = task->config->opencode_model;
	if (model == NULL)
		return error_set(err, ERR_INVALID, "no model is named, and this worker has none for opencode");
	program->model = xstrdup(model);
	const char *const fixed[] = {task->config->opencode_program, "run", "--format", "json"};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		agent_program_arg_copy(program, fixed[i]);
	return set_environment(task, program, model, err);
}

/* ---- what it says */

static bool is_refusal(const char *error)
{
	return error != NULL && (strstr(error, "rejected permission") != NULL ||
							 strstr(error, "prevents you from using this specific tool call") != NULL);
}

static void read_tool(struct agent_report *report, const cJSON *part, struct buffer *log)
{
	const cJSON *state = json_get(part, "state");
	const char *tool = json_get_string(part, "tool"), *error = json_get_string(state, "error");
	agent_say_json(log, tool != NULL ? tool : "tool", json_get(state, "input"));
	if (!str_equal(json_get_string(state, "status"), "error")) {
		agent_say_as(log, "result", json_get_string(state, "output"));
		return;
	}
	agent_say_as(log, "error", error != NULL ? error : "failed");
	if (is_refusal(error))
		agent_report_denied(report, tool);
}

static void read_step_end(struct agent_report *report, const cJSON *part)
{
	struct opencode_state *state = state_of(report);
	const char *reason = json_get_string(part, "reason");
	(void)snprintf(state->reason, sizeof(state->reason), "%s", reason != NULL ? reason : "unknown");
	state->broken = str_equal(state->reason, "unknown") ? state->broken + 1 : 0;
	if (state->broken >= BROKEN_STEPS) {
		report->hopeless = true;
		agent_report_fail(report, "model_unavailable", true, "the model's stream ended too early %lld times in a row",
						  (long long)state->broken);
	}
}

static void read_error(struct agent_report *report, const cJSON *event, struct buffer *log)
{
	struct opencode_state *state = state_of(report);
	const cJSON *error = json_get(event, "error"), *data = json_get(error, "data");
	const char *name = json_get_string(error, "name"), *message = json_get_string(data, "message");
	state->failed = true;
	/* What is no event in the model's stream comes as an error without a name of its own. */
	bool of_model = str_equal(name, "APIError") || (message != NULL && str_starts(message, "JSON parsing failed"));
	state->api_status = of_model ? json_get_int(data, "statusCode", 0) : -1;
	(void)snprintf(state->why, sizeof(state->why), "%s%s%s", name != NULL ? name : "error", message != NULL ? ": " : "",
				   message != NULL ? message : "");
	agent_sayf(log, "[error] %s (status %lld)", state->why, (long long)json_get_int(data, "statusCode", 0));
}

static void read_event(struct agent_report *report, const cJSON *event, struct buffer *log)
{
	const char *type = json_get_string(event, "type");
	const cJSON *part = json_get(event, "part");
	agent_report_take_name(&report->session_id, json_get_string(event, "sessionID"));
	if (str_equal(type, "step_start")) {
		state_of(report)->reason[0] = '\0';
	} else if (str_equal(type, "text")) {
		agent_say(log, json_get_string(part, "text"));
		agent_report_take(&report->text, json_get_string(part, "text"));
	} else if (str_equal(type, "tool_use")) {
		read_tool(report, part, log);
	} else if (str_equal(type, "step_finish")) {
		read_step_end(report, part);
	} else if (str_equal(type, "error")) {
		read_error(report, event, log);
	}
}

/* ---- the end */

static void finish(struct agent_report *report, int status)
{
	const struct opencode_state *state = state_of(report);
	char ending[64];
	agent_ending(status, ending, sizeof(ending));
	report->success = false;
	if (state->failed && state->api_status >= 0)
		agent_report_model_failed(report, state->api_status, state->why);
	else if (state->failed)
		agent_report_fail(report, NULL, false, "%s", state->why);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		agent_report_fail(report, NULL, false, "the agent %s", ending);
	else if (str_equal(state->reason, "unknown"))
		agent_report_fail(report, "model_unavailable", true, "the model's stream ended too early");
	else if (!str_equal(state->reason, "stop") && report->denials_len > 0)
		agent_report_fail(report, NULL, false, "the agent stopped when it was refused to use \"%s\"",
						  report->denials[report->denials_len - 1]);
	else if (!str_equal(state->reason, "stop"))
		agent_report_fail(report, NULL, false, "the agent stopped before the model had come to an end (%s)",
						  state->reason[0] != '\0' ? state->reason : "within a step");
	else
		report->success = report->message[0] == '\0';
}

const struct code_agent code_agent_opencode = {
	.name = "opencode",
	.configured = configured,
	.versioned = versioned,
	.model_api = model_api,
	.prepare = prepare,
	.read_event = read_event,
	.finish = finish,
};
