/*
 * Regular expressions for `pattern`, by PCRE2: compiled once at load (with its JIT where the kernel permits), matched
 * without a lock by any number of threads. Schemas keep to what ECMA-262 and PCRE2 read alike: literals, sets, groups,
 * alternatives, anchors and counted repeats.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"

struct pattern; /* immutable, any thread */

int pattern_new(const char *text, struct pattern **ret_pattern, struct error *err) MUST_CHECK;
void pattern_free(struct pattern *pattern);
DEFINE_CLEANUP(struct pattern, pattern_free)

/* As in JSON Schema not anchored: matches anywhere unless the pattern has ^ and $. `text` is valid UTF-8. A text that
 * needs more than PATTERN_MATCH_LIMIT steps does not match: no input costs more than that. */
#define PATTERN_MATCH_LIMIT 100000
bool pattern_matches(const struct pattern *pattern, const char *text, size_t len);
