#include "executor/proxy/reach.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/compiler.h"
#include "common/base/str.h"

enum place {
	ELSEWHERE, /* nothing in there is of interest */
	ROOT,      /* the outermost object */
	TOOLS,     /* its list of tools */
	TOOL,
	TOOL_TYPE,
	SAID, /* messages, and whatever is in them */
	ADDRESS,
	OPTION, /* one that must not be set */
};

/* Tools of these types run where the agent is; a * at the end stands for any ending. */
static const char *const anthropic_tools[] = {
	"custom", "bash_*", "text_editor_*", "computer_*", "memory_*", "tool_search_tool_*", NULL};
static const char *const openai_tools[] = {"function", "custom", NULL};
/* Of OpenAI, and of others that speak its protocol. */
static const char *const options[] = {
	"mcp_servers", "web_search_options", "search_parameters", "enable_search", "web_search", "plugins", NULL};

void reach_reader_init(struct reach_reader *reader, enum model_protocol protocol)
{
	*reader = (struct reach_reader){.protocol = protocol};
}

static void find(struct reach_reader *reader, const char *what)
{
	if (reader->found)
		return;
	reader->found = true;
	(void)snprintf(reader->why, sizeof(reader->why), "%s \"%.*s\"", what, (int)reader->text_len, reader->text);
}

/* ---- names */

static bool text_is(const struct reach_reader *reader, const char *pattern)
{
	size_t len = strlen(pattern);
	bool prefix = len > 0 && pattern[len - 1] == '*';
	if (prefix)
		len--;
	return (prefix ? reader->text_len >= len : reader->text_len == len) && strncasecmp(reader->text, pattern, len) == 0;
}

static bool text_is_one_of(const struct reach_reader *reader, const char *const *patterns)
{
	for (; *patterns != NULL; patterns++) {
		if (text_is(reader, *patterns))
			return true;
	}
	return false;
}

static bool text_ends(const struct reach_reader *reader, const char *end)
{
	size_t len = strlen(end);
	return reader->text_len >= len && strncasecmp(reader->text + reader->text_len - len, end, len) == 0;
}

/* The place of the value behind the key that has just ended. */
static enum place place_of_key(const struct reach_reader *reader, enum place object)
{
	switch (object) {
	case ROOT:
		if (text_is(reader, "tools"))
			return TOOLS;
		if (text_is(reader, "messages") || text_is(reader, "system"))
			return SAID;
		return text_is_one_of(reader, options) ? OPTION : ELSEWHERE;
	case TOOL:
		return text_is(reader, "type") ? TOOL_TYPE : ELSEWHERE;
	case SAID:
		/* What a model has told a tool: nobody but the tool reads it. */
		if (reader->protocol == MODEL_ANTHROPIC && text_is(reader, "input"))
			return ELSEWHERE;
		return text_ends(reader, "url") || text_ends(reader, "uri") ? ADDRESS : SAID;
	case ELSEWHERE:
	case TOOLS:
	case TOOL_TYPE:
	case ADDRESS:
	case OPTION:
		break;
	}
	return ELSEWHERE;
}

/* ---- values */

static enum place place_of_value(const struct reach_reader *reader)
{
	if (reader->depth == 0)
		return ROOT;
	const struct reach_frame *frame = &reader->frames[reader->depth - 1];
	if (!frame->is_array)
		return reader->next;
	return frame->place == TOOLS ? TOOL : frame->place;
}

static void end_of_value(struct reach_reader *reader, enum place place)
{
	if (place == TOOL_TYPE) {
		reader->frames[reader->depth - 1].has_type = true;
		if (!text_is_one_of(reader, reader->protocol == MODEL_ANTHROPIC ? anthropic_tools : openai_tools))
			find(reader, "a tool that does not run here, of type");
	} else if (place == ADDRESS && reader->text_len > 0 && !text_is(reader, "data:*")) {
		find(reader, "something to be fetched from");
	}
}

/* A value begins: an option that is set is found as soon as it shows. */
static void begin_value(struct reach_reader *reader, char c)
{
	enum place place = place_of_value(reader);
	bool in_list = reader->depth > 0 && reader->frames[reader->depth - 1].is_array;
	if (place == OPTION && (in_list || (c != '[' && c != 'n' && c != 'f')))
		find(reader, "an option that makes the model reach out, near");
}

static void push(struct reach_reader *reader, bool is_array)
{
	enum place place = place_of_value(reader);
	if (place == ADDRESS)
		place = SAID; /* {"image_url": {"url": …}} */
	if (place == TOOLS && !is_array)
		place = TOOL; /* no vendor takes it so; looked at all the same */
	if (place == ELSEWHERE || place == TOOL_TYPE) {
		reader->skipped = 1;
		return;
	}
	if (reader->depth == REACH_DEPTH) {
		find(reader, "too much nesting behind");
		return;
	}
	reader->frames[reader->depth++] = (struct reach_frame){.place = (unsigned char)place, .is_array = is_array};
	reader->wants_key = !is_array;
}

static void pop(struct reach_reader *reader)
{
	if (reader->depth == 0)
		return;
	const struct reach_frame *frame = &reader->frames[--reader->depth];
	if (frame->place == TOOL && !frame->is_array && !frame->has_type && reader->protocol == MODEL_OPENAI) {
		reader->text_len = 0;
		find(reader, "a tool without a type");
	}
	reader->ended = reader->depth == 0;
	reader->wants_key = false;
}

/* ---- strings */

static void collect(struct reach_reader *reader, unsigned c)
{
	if (reader->text_len < sizeof(reader->text))
		reader->text[reader->text_len++] = (char)(c < 0x80 ? c : '?');
	reader->collects = reader->text_len < sizeof(reader->text);
}

static void take_escaped(struct reach_reader *reader, char c)
{
	static const char names[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	if (reader->escape == 1 && c == 'u') {
		reader->escape = 2;
		reader->escaped = 0;
		return;
	}
	if (reader->escape == 1) {
		const char *name = c != '\0' ? strchr(names, c) : NULL;
		reader->escape = 0;
		if (reader->collects)
			collect(reader, (unsigned char)(name != NULL ? meanings[name - names] : c));
		return;
	}
	int digit = hex_digit(c);
	reader->escaped = reader->escaped * 16 + (unsigned)(digit >= 0 ? digit : 0);
	reader->escape = reader->escape == 5 ? 0 : reader->escape + 1;
	if (reader->escape == 0 && reader->collects)
		collect(reader, reader->escaped);
}

static void end_string(struct reach_reader *reader)
{
	reader->in_string = false;
	if (reader->skipped > 0)
		return;
	if (reader->is_key)
		reader->next = (unsigned char)place_of_key(reader, reader->frames[reader->depth - 1].place);
	else
		end_of_value(reader, place_of_value(reader));
}

/* Inside of a string: how many bytes were taken. */
static size_t take_string(struct reach_reader *reader, const char *data, size_t len)
{
	if (reader->escape != 0) {
		take_escaped(reader, *data);
		return 1;
	}
	if (!reader->collects) {
		const char *quote = memchr(data, '"', len);
		size_t end = quote != NULL ? (size_t)(quote - data) : len;
		const char *backslash = memchr(data, '\\', end);
		if (backslash != NULL)
			end = (size_t)(backslash - data);
		if (end > 0)
			return end;
	}
	if (*data == '\\')
		reader->escape = 1;
	else if (*data == '"')
		end_string(reader);
	else
		collect(reader, (unsigned char)*data);
	return 1;
}

static void begin_string(struct reach_reader *reader)
{
	bool in_object = reader->skipped == 0 && reader->depth > 0 && !reader->frames[reader->depth - 1].is_array;
	reader->in_string = true;
	reader->escape = 0;
	reader->is_key = in_object && reader->wants_key;
	reader->wants_key = false;
	if (reader->skipped > 0 || reader->depth == 0) {
		reader->collects = reader->is_key = false;
		return;
	}
	if (!reader->is_key)
		begin_value(reader, '"');
	enum place place = reader->is_key ? ELSEWHERE : place_of_value(reader);
	reader->collects = reader->is_key || place == TOOL_TYPE || place == ADDRESS;
	if (reader->collects)
		reader->text_len = 0;
}

/* ---- everything else */

static void step(struct reach_reader *reader, char c)
{
	bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
	if (c == '"') {
		begin_string(reader);
		return;
	}
	if (reader->skipped > 0) {
		reader->skipped += opens ? 1 : 0;
		reader->skipped -= closes ? 1 : 0;
		return;
	}
	bool scalar = !opens && !closes && strchr(",: \t\r\n", c) == NULL;
	if (opens || (scalar && !reader->in_scalar))
		begin_value(reader, c);
	reader->in_scalar = scalar;
	if (opens)
		push(reader, c == '[');
	else if (closes)
		pop(reader);
	else if (c == ',')
		reader->wants_key = reader->depth > 0 && !reader->frames[reader->depth - 1].is_array;
}

void reach_reader_add(struct reach_reader *reader, const char *data, size_t len)
{
	while (len > 0 && !reader->ended && !reader->found) {
		size_t part = 1;
		if (reader->in_string)
			part = take_string(reader, data, len);
		else
			step(reader, *data);
		data += part;
		len -= part;
	}
}
