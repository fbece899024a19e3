/*
 * Templates: text with placeholders {{name}}, blanks inside the braces allowed. A placeholder's name is
 * [A-Za-z_][A-Za-z0-9_]{0,62}; anything else between braces is plain text. Substitution is one pass: values are not
 * looked into. {{prompt}} is the build's prompt; a text without it gets the prompt after a blank line.
 */
#pragma once

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/json/json.h"
#include "common/json/schema.h"

#define TEMPLATE_NAME_MAX 63

struct template_input {
	const char *text;       /* NULL: no template, the prompt is taken as it is */
	const cJSON *defaults;  /* object of strings, or NULL */
	const cJSON *variables; /* object of strings as posted, or NULL */
	const char *prompt;
	const char *pointer; /* of `variables` in the body, "/variables" */
};

/* Appends the rendered prompt to `out` (its maximum is the limit; the caller looks at buffer_ok). Every missing and
 * every unknown variable becomes one problem, unless something is told of it already; of what no placeholder can name
 * the schema tells. */
void template_render(const struct template_input *input, struct buffer *out, struct schema_problems *problems);

/* NAME@VERSION, of a version that there may be. */
bool template_is_version(const char *text, size_t len);

/* The next placeholder at or after `from`: true with its name (in ret_name), its first byte and the byte after it. */
bool template_next(const char *from, const char **ret_begin, const char **ret_end,
				   char ret_name[TEMPLATE_NAME_MAX + 1]);
