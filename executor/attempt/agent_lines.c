#include "executor/attempt/agent_lines.h"

#include <string.h>

#include "common/base/str.h"

#define SAID_MAX_BYTES ((size_t)1024 * 1024)

void agent_lines_init(struct agent_lines *lines, const struct code_agent *agent, struct agent_report *report,
					  struct attempt_log *log)
{
	*lines = (struct agent_lines){
		.agent = agent,
		.report = report,
		.log = log,
	};
	buffer_init(&lines->line, AGENT_LINE_MAX_BYTES);
	buffer_init(&lines->said, SAID_MAX_BYTES);
}

void agent_lines_release(struct agent_lines *lines)
{
	buffer_release(&lines->line);
	buffer_release(&lines->said);
}

/* ---- one line */

static int hex_value(const char *text)
{
	int value = 0;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(text[i]);
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static bool is_lead(int unit)
{
	return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_trail(int unit)
{
	return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* The unit that the escape at text[at] stands for; -1 when there is none. */
static int escape_at(const char *text, size_t len, size_t at)
{
	return at + 6 <= len && text[at] == '\\' && text[at + 1] == 'u' ? hex_value(text + at + 2) : -1;
}

/* In place: an escape has the length of another. */
static void mend_escapes(char *text, size_t len)
{
	static const char replacement[] = {'f', 'f', 'f', 'd'};
	for (size_t at = 0; at + 1 < len; at++) {
		if (text[at] != '\\')
			continue;
		int unit = escape_at(text, len, at);
		if (is_lead(unit) && is_trail(escape_at(text, len, at + 6))) {
			at += 11;
			continue;
		}
		if (unit == 0 || is_lead(unit) || is_trail(unit))
			memcpy(text + at + 2, replacement, sizeof(replacement));
		at += unit >= 0 ? 5 : 1; /* behind the escape, also of a backslash */
	}
}

cJSON *agent_line_parse(const char *line, size_t len)
{
	struct error err = ERROR_INIT;
	cJSON *tree = NULL;
	if (len == 0 || line[0] != '{')
		return NULL;
	if (json_parse(line, len, &tree, &err) == 0)
		return tree;
	CLEANUP(buffer_release_p) struct buffer mended;
	buffer_init(&mended, 3 * len + 1);
	CHECK(str_append_utf8_lossy(&mended, line, len) == 0);
	mend_escapes(mended.data, mended.len);
	return json_parse(mended.data, mended.len, &tree, &err) == 0 ? tree : NULL;
}

static void mask_text(const struct secrets *secrets, char *text)
{
	if (text != NULL)
		text[secrets_mask(secrets, text, strlen(text))] = '\0';
}

/* In the line they may be spelled in a way that only a parser sees through. As deep as json_parse lets it be. */
static void mask_tree(const struct secrets *secrets, cJSON *tree)
{
	cJSON *item;
	mask_text(secrets, tree->string);
	mask_text(secrets, tree->valuestring);
	cJSON_ArrayForEach(item, tree)
	{
		mask_tree(secrets, item);
	}
}

/* As many as the tree of a line that is JSON has: each but the first of an object or array has a comma before it. A
 * line that is none is refused before a tree is made. */
static bool has_too_many_values(const char *line, size_t len)
{
	bool in_text = false;
	size_t values = 1;
	for (size_t at = 0; at < len && values <= AGENT_LINE_MAX_VALUES; at++) {
		if (in_text && line[at] == '\\')
			at++;
		else if (line[at] == '"')
			in_text = !in_text;
		else if (!in_text && (line[at] == ',' || line[at] == '[' || line[at] == '{'))
			values++;
	}
	return values > AGENT_LINE_MAX_VALUES;
}

static void take_line(struct agent_lines *lines, const char *line, size_t len)
{
	if (line[0] == '{' && has_too_many_values(line, len)) {
		attempt_log_left_out(lines->log, (int64_t)len, 1,
							 "a line of %zu bytes of the agent was left out: too many values", len);
		return;
	}
	CLEANUP(cJSON_Delete_p) cJSON *event = agent_line_parse(line, len);
	if (event == NULL) {
		attempt_log_output(lines->log, STREAM_STDOUT, line, len);
		attempt_log_output(lines->log, STREAM_STDOUT, "\n", 1);
		return;
	}
	if (lines->log->secrets.len > 0)
		mask_tree(&lines->log->secrets, event);
	buffer_clear(&lines->said);
	lines->agent->read_event(lines->report, event, &lines->said);
	if (lines->said.len > 0)
		attempt_log_output(lines->log, STREAM_STDOUT, lines->said.data, lines->said.len);
	if (!buffer_ok(&lines->said))
		attempt_log_end(lines->log, STREAM_STDOUT); /* what did not fit was left out, also a line's end */
}

/* ---- the stream */

static void end_line(struct agent_lines *lines)
{
	if (lines->skipped > 0)
		attempt_log_left_out(lines->log, (int64_t)(lines->line.len + lines->skipped), 1,
							 "a line of %zu bytes of the agent was left out", lines->line.len + lines->skipped);
	else if (lines->line.len > 0)
		take_line(lines, lines->line.data, lines->line.len);
	buffer_clear(&lines->line);
	lines->skipped = 0;
}

void agent_lines_add(struct agent_lines *lines, const char *data, size_t len)
{
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline != NULL ? (size_t)(newline - data) : len;
		if (lines->skipped > 0 || lines->line.len + part > AGENT_LINE_MAX_BYTES)
			lines->skipped += part;
		else if (part > 0)
			CHECK(buffer_append(&lines->line, data, part) == 0);
		data += part;
		len -= part;
		if (newline != NULL) {
			end_line(lines);
			data++;
			len--;
		}
	}
}

void agent_lines_end(struct agent_lines *lines)
{
	end_line(lines);
}
