/* A thread that removes what was moved to STATE/trash: workspaces of ended attempts, broken mirrors, and the mirrors
 * that it moves there itself (mirrors.h); and, at its start and every hour, artifacts that are too old. Removing may
 * take long; nobody waits for it. */
#pragma once

#include "common/artifacts/artifact_store.h"
#include "executor/config.h"

struct janitor;

/* `config` and `store` (NULL: none) are the caller's and outlive it. */
struct janitor *janitor_start(const struct executor_config *config, struct artifact_store *store);
void janitor_wake(struct janitor *janitor);
/* Ends the thread and frees it. Not NULL. */
void janitor_stop(struct janitor *janitor);

/* Moves STATE/work/LEASE to the trash; absent is fine. Main thread. */
void janitor_discard_workspace(const char *state_dir, const char *lease_id);
/* The same for what a spare child has made ahead. */
void janitor_discard_spare(const char *state_dir, int pid);
/* At start: everything in STATE/work and STATE/spares, and half-made mirrors. */
void janitor_discard_leftovers(const char *state_dir);
