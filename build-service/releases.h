/*
 * attempt.released, which waits for company: its worker only keeps a result a little longer, and a command alone is a
 * request to the broker and a fetch of the worker's. It goes right behind the next assignment to its worker, or when it
 * has waited RELEASES_PATIENCE_MS. Any thread.
 */
#pragma once

#include "build-service/commands.h"

#define RELEASES_PATIENCE_MS 100

struct releases;

/* The producer outlives it. */
struct releases *releases_new(struct kafka_producer *producer);
/* Sends what waits. */
void releases_free(struct releases *releases);

/* Takes those out of the list, which keeps the other commands. */
void releases_take(struct releases *releases, struct command_list *list);
/* An assignment to this worker was just produced. */
void releases_follow(struct releases *releases, const char *worker_id);
/* Looks whether their time has come: to be called often. */
void releases_tick(struct releases *releases);
