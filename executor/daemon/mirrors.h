/*
 * Which mirrors go: the ones that no build has used for KILN_RETENTION_MIRRORS_DAYS, and, while all of them take more
 * than KILN_MIRRORS_BYTES, the one whose last use is longest ago, and the next. One that an attempt uses stays. What is
 * gone is fetched again by the next build of its repository.
 */
#pragma once

#include <stdbool.h>

#include "executor/config.h"

/* Moves them to STATE/trash. Looks at every file of every mirror: that may take long, and ends when `is_stopped`,
 * which is asked at each of them. The janitor's thread. */
void mirrors_limit(const struct executor_config *config, bool (*is_stopped)(void *ctx), void *ctx);
