/*
 * The thread that writes to the state directory for the main thread, which beats and keeps the dead-man rule, and so must
 * never wait for a disk. What it is given is done in order, one after the other. The main thread only calls it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "executor/daemon/janitor.h"
#include "executor/daemon/mailbox.h"

/* How much it may be behind: then it takes no more. A part of its places is for results only: of the rest an attempt's
 * orphans may make very many at once. */
#define STATE_WRITER_MAX_JOBS 1024
#define STATE_WRITER_RESULTS_ONLY 512
#define STATE_WRITER_MAX_BYTES ((size_t)64 * 1024 * 1024) /* of results */

struct state_writer;

/* What it is given is the caller's and outlives it. `janitor` is woken when there is trash. */
struct state_writer *state_writer_start(const char *state_dir, struct mailbox *mailbox, struct janitor *janitor);
/* Does what is left, ends the thread and frees it; or returns false when that has not ended until then (clock_boot_ms):
 * the disk hangs. Then neither it nor what it was given may be freed; it may be called again. Not NULL. */
bool state_writer_stop(struct state_writer *writer, int64_t deadline_ms) MUST_CHECK;

/* STATE/results/LEASE.json, durably; the text is copied. MAIL_SAVED tells the outcome. False: it is too far behind. */
bool state_writer_save_result(struct state_writer *writer, const char *lease_id, const char *text,
							  size_t len) MUST_CHECK;

/* Of these nobody waits for the outcome. What there is no room for stays, as after a crash, until the next daemon
 * starts. */
void state_writer_remove_result(struct state_writer *writer, const char *lease_id);
/* An attempt of which no process is left: its workspace goes to the trash, its lock is removed. */
void state_writer_clear_lease(struct state_writer *writer, const char *lease_id);
/* A spare child has died: what it has made ahead goes to the trash. */
void state_writer_clear_spare(struct state_writer *writer, int pid);
