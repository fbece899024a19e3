/*
 * The one validator: an interpreter of the JSON Schema (2020-12) files under schemas/, which are embedded at build
 * time. What the service accepts and what the published contract says are the same bytes.
 *
 * Keywords: type (string or list), properties, required, additionalProperties (false or schema), propertyNames,
 * minProperties, maxProperties, enum, const, minimum, maximum, minLength, maxLength (code points), pattern (what PCRE2
 * and ECMA-262 read alike), format (uuid, date-time, uri are checked), items,
 * minItems, maxItems, uniqueItems, oneOf, anyOf, allOf, $ref ("#/$defs/x" and "other-file.json" /
 * "other-file.json#/$defs/x" relative to the referring file), default (ignored), and Kiln's own x-max-bytes and
 * x-min-bytes (UTF-8 bytes of a string), x-max-canonical-bytes (of an object as RFC 8785 writes it) and x-says (what a
 * pattern asks for, for the detail: "… is not X"). An unknown keyword that is not an annotation (title, description, $id, $schema, $comment, examples, default, deprecated, x-*) fails at load,
 * so a schema never promises what is not checked.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/compiler.h"
#include "common/base/error.h"

/* One embedded file; the table is generated (see cmake/Embed.cmake): kiln_schema_files[], ends with name NULL. Names
 * are paths below schemas/, for example "events/build.requested.json". */
struct schema_file {
	const char *name;
	const char *data;
	size_t len;
};

struct schema_set; /* all files compiled; immutable, any thread */
struct schema;     /* one of them */

int schema_set_load(const struct schema_file *files, struct schema_set **ret_set, struct error *err) MUST_CHECK;
void schema_set_free(struct schema_set *set);
/* NULL when there is no such file, or when it is no schema but a table (a JSON array). Owned by the set. */
const struct schema *schema_find(const struct schema_set *set, const char *name);

/* One thing that is wrong. */
struct schema_problem {
	char *pointer; /* RFC 6901, "" is the whole document */
	char *code; /* stable, for programs: required, unknown_field, type, enum, minimum, too_long, pattern, format, … */
	char *detail; /* one sentence for people; quotes at most 64 bytes of the input */
};

#define SCHEMA_MAX_PROBLEMS 128 /* more than what has the most members, the variables of a build, can have alone */

struct schema_problems {
	struct schema_problem items[SCHEMA_MAX_PROBLEMS];
	size_t len;
	bool truncated; /* there were more */
};

void schema_problems_release(struct schema_problems *problems);
/* Adds one (dropped, and truncated set, past the maximum): for rules that a schema cannot say. */
void schema_problem_add(struct schema_problems *problems, const char *pointer, const char *code, const char *format,
						...) PRINTF_LIKE(4, 5);
/* The same for a rule that knows a value better than its schema: in the place of what was said of that pointer, so that
 * one mistake is told once. */
void schema_problem_put(struct schema_problems *problems, const char *pointer, const char *code, const char *format,
						...) PRINTF_LIKE(4, 5);
/* Has something been said of that pointer? Of what follows from it nothing else is worth saying. */
bool schema_problems_have(const struct schema_problems *problems, const char *pointer);

/* All problems at once, in document order. `problems` is zeroed by the caller. True when there is none. */
bool schema_validate(const struct schema *schema, const cJSON *document, struct schema_problems *problems);
