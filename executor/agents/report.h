/* What an agent has said of itself and its work: BuildResult's `agent` object and `output`, and how it ended. Filled by
 * the adapter, event by event. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/json/json.h"

#define AGENT_MAX_DENIALS 32 /* more are only counted */
#define AGENT_TOOL_NAME_BYTES 64
#define AGENT_NAME_MAX_BYTES 256

struct agent_report {
	bool success;
	const char *error_class; /* static, of schemas/common.json; NULL = agent_failed */
	bool retryable;          /* another attempt may go better */
	char message[256];       /* why not */

	char *text; /* the answer so far, NULL = none; not for agents whose output is the answer */
	char *version, *model, *session_id;
	/* As the model proxy has counted them (attempt/agent_model.h); adapters have no say. -1 = not known; input is
	 * without cached. */
	int64_t turns, tokens_input, tokens_output, tokens_cached;
	double cost_usd;                                        /* negative = not known */
	char denials[AGENT_MAX_DENIALS][AGENT_TOOL_NAME_BYTES]; /* tools whose use was refused, in order */
	size_t denials_len;

	bool hopeless; /* it will not end by itself, or must not go on: error_class and message say why */
	void *state;   /* the adapter's own, from malloc; freed with the report */
};

void agent_report_init(struct agent_report *report);
void agent_report_release(struct agent_report *report);
/* Writes BuildResult's `agent`. */
void agent_report_write(struct json_writer *w, const char *key, const char *provider,
						const struct agent_report *report);

/* For adapters. The adapter's state of `size` bytes, zeroed at its first use. */
void *agent_report_state(struct agent_report *report, size_t size) MUST_CHECK;
/* Replaces a text; NULL changes nothing. */
void agent_report_take(char **field, const char *text);
/* The same for version, model and session_id, which go into messages whole: one of more than AGENT_NAME_MAX_BYTES is no
 * name, and the field is then NULL. */
void agent_report_take_name(char **field, const char *name);
/* A failure; the first one stays. Class NULL is agent_failed. */
void agent_report_fail(struct agent_report *report, const char *error_class, bool retryable, const char *format, ...)
	PRINTF_LIKE(4, 5);
void agent_report_denied(struct agent_report *report, const char *tool);
/* What an answer of the model's API with this HTTP status (0: none came) means for the build. */
void agent_report_model_failed(struct agent_report *report, int64_t status, const char *why);
