/* Recorded lines of an agent, played to its adapter. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/str.h"
#include "executor/agents/agent.h"
#include "executor/attempt/agent_lines.h"

#define EXITED(status) ((status) << 8) /* as waitpid has it */

struct replay {
	const struct code_agent *agent;
	struct agent_report report;
	struct buffer said;
};

static inline char *replay_read(const char *provider, const char *name, size_t *ret_len)
{
	char path[512];
	(void)snprintf(path, sizeof(path), "%s/%s/%s.jsonl", RECORDED_DIR, provider, name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	struct buffer text;
	buffer_init(&text, (size_t)1 << 20);
	size_t got;
	do {
		char *room = buffer_reserve(&text, 4096);
		assert_non_null(room);
		got = fread(room, 1, 4096, file);
		buffer_commit(&text, got);
	} while (got > 0);
	assert_int_equal(fclose(file), 0);
	return buffer_detach(&text, ret_len);
}

/* One line, as text. */
static inline void replay_line(struct replay *replay, const char *line, size_t len)
{
	cJSON *event = agent_line_parse(line, len);
	assert_non_null(event);
	replay->agent->read_event(&replay->report, event, &replay->said);
	cJSON_Delete(event);
}

static inline void replay_begin(struct replay *replay, const char *provider)
{
	replay->agent = code_agent_find(provider);
	assert_non_null(replay->agent);
	agent_report_init(&replay->report);
	buffer_init(&replay->said, (size_t)1 << 20);
}

/* All lines of a recording, then the end with this wait status. */
static inline void replay_all(struct replay *replay, const char *provider, const char *name, int status)
{
	size_t len = 0;
	CLEANUP(free_p) char *text = replay_read(provider, name, &len);
	replay_begin(replay, provider);
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		replay_line(replay, line, (size_t)(end - line));
	replay->agent->finish(&replay->report, status);
}

static inline void replay_end(struct replay *replay)
{
	agent_report_release(&replay->report);
	buffer_release(&replay->said);
}

static inline void assert_failed(const struct replay *replay, const char *error_class, bool retryable)
{
	assert_false(replay->report.success);
	assert_string_equal(replay->report.error_class != NULL ? replay->report.error_class : "agent_failed", error_class);
	assert_int_equal(replay->report.retryable, retryable);
	assert_true(replay->report.message[0] != '\0');
}

static inline void recording_fails(const char *provider, const char *name, int status, const char *error_class,
								   bool retryable)
{
	struct replay replay;
	replay_all(&replay, provider, name, status);
	assert_failed(&replay, error_class, retryable);
	replay_end(&replay);
}
