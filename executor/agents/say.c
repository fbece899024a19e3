#include "executor/agents/say.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/alloc.h"

#define TEXT_MAX_BYTES ((size_t)16 * 1024)
#define JSON_MAX_BYTES ((size_t)2 * 1024)
#define TREE_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* A full log takes nothing more: that is what its limit is for. */
static void add(struct buffer *log, const char *mark, const char *text, size_t len, size_t max)
{
	if (mark != NULL)
		(void)buffer_appendf(log, "[%s] ", mark);
	(void)buffer_append(log, text, len < max ? len : max);
	if (len > max)
		(void)buffer_appendf(log, " … (%zu bytes more)", len - max);
	(void)buffer_append_char(log, '\n');
}

void agent_say(struct buffer *log, const char *text)
{
	agent_say_as(log, NULL, text);
}

void agent_say_as(struct buffer *log, const char *mark, const char *text)
{
	if (text == NULL || text[0] == '\0')
		return;
	size_t len = strlen(text);
	while (len > 1 && text[len - 1] == '\n')
		len--;
	add(log, mark, text, len, TEXT_MAX_BYTES);
}

void agent_say_json(struct buffer *log, const char *mark, const cJSON *tree)
{
	CLEANUP(buffer_release_p) struct buffer text;
	buffer_init(&text, TREE_MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &text);
	json_tree(&w, NULL, tree);
	add(log, mark, text.data, text.len, JSON_MAX_BYTES);
}

void agent_sayf(struct buffer *log, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	CLEANUP(free_p) char *text = xvasprintf(format, args);
	va_end(args);
	agent_say(log, text);
}
