/* Labels: what a worker offers, and what a build may ask for (schemas/common.json). */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"

/* What the labels of a worker may come to (and its agents, of which there are few), each with 4 bytes more. */
#define LABELS_MAX_BYTES ((size_t)65536)

/* Comma-separated: is each one that a build can ask for, and are they no more than the build service takes? A
 * config_option's check. ERR_INVALID names the bad one, ERR_LIMIT. */
int labels_check(const char *text, struct error *err) MUST_CHECK;
