#include "executor/agents/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"

void agent_report_init(struct agent_report *report)
{
	*report = (struct agent_report){
		.turns = -1, .tokens_input = -1, .tokens_output = -1, .tokens_cached = -1, .cost_usd = -1};
}

void agent_report_release(struct agent_report *report)
{
	free(report->text);
	free(report->version);
	free(report->model);
	free(report->session_id);
	free(report->state);
	report->text = report->version = report->model = report->session_id = NULL;
	report->state = NULL;
}

void *agent_report_state(struct agent_report *report, size_t size)
{
	if (report->state == NULL)
		report->state = xcalloc(1, size);
	return report->state;
}

void agent_report_take(char **field, const char *text)
{
	if (text == NULL)
		return;
	free(*field);
	*field = xstrdup(text);
}

void agent_report_take_name(char **field, const char *name)
{
	if (name == NULL)
		return;
	free(*field);
	*field = strlen(name) <= AGENT_NAME_MAX_BYTES ? xstrdup(name) : NULL;
}

void agent_report_fail(struct agent_report *report, const char *error_class, bool retryable, const char *format, ...)
{
	report->success = false;
	if (report->message[0] != '\0')
		return;
	report->error_class = error_class;
	report->retryable = retryable;
	va_list args;
	va_start(args, format);
	(void)vsnprintf(report->message, sizeof(report->message), format, args);
	va_end(args);
}

void agent_report_denied(struct agent_report *report, const char *tool)
{
	if (report->denials_len < AGENT_MAX_DENIALS)
		(void)snprintf(report->denials[report->denials_len++], AGENT_TOOL_NAME_BYTES, "%s", tool != NULL ? tool : "?");
}

void agent_report_model_failed(struct agent_report *report, int64_t status, const char *why)
{
	if (why == NULL)
		why = "the model's API failed";
	/* Too many requests and time-outs pass; the other 4xx say that the request or the key is wrong. */
	bool passes = status < 400 || status >= 500 || status == 408 || status == 429;
	if (!passes && status != 401 && status != 403)
		agent_report_fail(report, "agent_failed", false, "%s", why);
	else
		agent_report_fail(report, "model_unavailable", passes, "%s", why);
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
	json_array_begin(w, "permission_denials");
	for (size_t i = 0; i < report->denials_len; i++)
		json_string(w, NULL, report->denials[i]);
	json_array_end(w);
	json_object_end(w);
}
