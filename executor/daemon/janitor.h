/* A thread that removes what was moved to STATE/trash: workspaces of ended attempts, broken mirrors. Removing may take
 * long; nobody waits for it. */
#pragma once

struct janitor;

/* `state_dir` is the caller's and outlives it. */
struct janitor *janitor_start(const char *state_dir);
void janitor_wake(struct janitor *janitor);
void janitor_stop(struct janitor *janitor);

/* Moves STATE/work/LEASE to the trash; absent is fine. Main thread. */
void janitor_discard_workspace(const char *state_dir, const char *lease_id);
/* The same for what a spare child has made ahead. */
void janitor_discard_spare(const char *state_dir, int pid);
/* At start: everything in STATE/work and STATE/spares, and half-made mirrors. */
void janitor_discard_leftovers(const char *state_dir);
