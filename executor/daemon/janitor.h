/* A thread that removes what was moved to STATE/trash: workspaces of ended attempts, broken mirrors, and the mirrors
 * that it moves there itself (mirrors.h); and, at its start and every hour, artifacts that are too old. Removing may
 * take long; nobody waits for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/artifacts/artifact_store.h"
#include "executor/config.h"

struct janitor;

/* `config` and `store` (NULL: none) are the caller's and outlive it. */
struct janitor *janitor_start(const struct executor_config *config, struct artifact_store *store);
void janitor_wake(struct janitor *janitor);
/* Ends the thread and frees it, or returns false when it has not ended until then (clock_boot_ms): the disk hangs, and
 * it must not be freed. Not NULL. */
bool janitor_stop(struct janitor *janitor, int64_t deadline_ms) MUST_CHECK;

/* At start: everything in STATE/work and STATE/spares, and half-made mirrors, goes to the trash. Main thread. */
void janitor_discard_leftovers(const char *state_dir);
