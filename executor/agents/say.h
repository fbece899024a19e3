/* An agent's events as lines for people: what adapters write into the build's log. Long texts are cut, and say so; what
 * does not fit into the log's buffer is left out. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/json/json.h"

/* The text, ended by a line break; nothing for NULL and "". */
void agent_say(struct buffer *log, const char *text);
/* The text behind a mark: "[Write] …". */
void agent_say_as(struct buffer *log, const char *mark, const char *text);
/* A tree on one line behind a mark. */
void agent_say_json(struct buffer *log, const char *mark, const cJSON *tree);
void agent_sayf(struct buffer *log, const char *format, ...) PRINTF_LIKE(2, 3);
