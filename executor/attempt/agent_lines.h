/*
 * The standard output of an agent that speaks a protocol there: cut into lines; each that is a JSON object is given to
 * the adapter, and what that makes of it to the log; any other line is log as it is. A line over AGENT_LINE_MAX_BYTES
 * is left out, and so is an object of more than AGENT_LINE_MAX_VALUES values, each of which takes some hundred bytes of
 * this process's memory for the two of its text; the log says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "executor/agents/agent.h"
#include "executor/attempt/log.h"

#define AGENT_LINE_MAX_BYTES ((size_t)16 * 1024 * 1024)
#define AGENT_LINE_MAX_VALUES ((size_t)256 * 1024)

struct agent_lines {
	const struct code_agent *agent;
	struct agent_report *report;
	struct attempt_log *log;
	struct buffer line, said;
	size_t skipped; /* bytes of the present line that were left out */
};

void agent_lines_init(struct agent_lines *lines, const struct code_agent *agent, struct agent_report *report,
					  struct attempt_log *log);
void agent_lines_release(struct agent_lines *lines);
/* Bytes of the agent, cut anywhere. */
void agent_lines_add(struct agent_lines *lines, const char *data, size_t len);
/* The end of the stream: an unfinished line becomes one. */
void agent_lines_end(struct agent_lines *lines);

/* Parses a line of JSON as agents write it. What Kiln's own JSON may not have (NUL and lone surrogates as escapes,
 * invalid UTF-8: tools print anything) becomes U+FFFD. NULL when it is no object. The caller's, cJSON_Delete. */
cJSON *agent_line_parse(const char *line, size_t len);
