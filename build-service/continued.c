#include "build-service/continued.h"

#include <string.h>

#include "common/base/utf8.h"

void continued_take_row(struct continued *continued, const PGresult *rows, int row)
{
	continued->from = pg_text(rows, row, "continue_from");
	continued->id = pg_text(rows, row, "continued_id");
	continued->ended = pg_bool(rows, row, "continued_ended");
	continued->prompt = pg_text(rows, row, "continued_prompt");
	continued->output = pg_text(rows, row, "continued_output");
	continued->agent = pg_text(rows, row, "continued_agent");
}

/* A text, cut at a character; null when there is none. */
static void write_cut(struct json_writer *w, const char *key, const char *json, bool from_end)
{
	CLEANUP(cJSON_Delete_p) cJSON *tree = NULL;
	struct error err = ERROR_INIT;
	if (json == NULL || json_parse(json, strlen(json), &tree, &err) < 0 || !cJSON_IsString(tree)) {
		json_null(w, key);
		return;
	}
	const char *text = tree->valuestring;
	size_t len = strlen(text), from = 0;
	if (from_end && len > CONTINUED_MAX_BYTES)
		from = utf8_start(text, len - CONTINUED_MAX_BYTES, len);
	json_string_len(w, key, text + from, from_end ? len - from : utf8_cut(text, len, CONTINUED_MAX_BYTES));
}

static const char *problem_of(const struct continued *continued)
{
	if (continued->id == NULL)
		return "unknown";
	return continued->ended ? NULL : "not_ended";
}

void continued_write(struct json_writer *w, const struct continued *continued)
{
	if (continued->from == NULL) {
		json_null(w, "continues");
		return;
	}
	const char *problem = problem_of(continued);
	CLEANUP(cJSON_Delete_p) cJSON *agent = NULL;
	struct error err = ERROR_INIT;
	if (continued->agent != NULL && json_parse(continued->agent, strlen(continued->agent), &agent, &err) < 0)
		agent = NULL; /* an agent that is not legible had no session */
	json_object_begin(w, "continues");
	json_string(w, "build_id", continued->from);
	json_string(w, "problem", problem);
	write_cut(w, "prompt", problem == NULL ? continued->prompt : NULL, false);
	write_cut(w, "output", problem == NULL ? continued->output : NULL, true);
	json_string(w, "provider", json_get_string(agent, "provider"));
	json_string(w, "session_id", json_get_string(agent, "session_id"));
	json_object_end(w);
}
