/* Who this worker is (docs/protocol.md section 5): the worker id and the incarnation, kept in the state directory that
 * one daemon at a time holds the lock of. */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/ids.h"
#include "common/json/json.h"

struct worker_identity {
	char worker_id[UUID_TEXT_SIZE];
	int64_t counter;
	char nonce[UUID_TEXT_SIZE];
	int lock_fd; /* the state directory is ours until it closes */
};

/* Makes the directories of the state directory, takes its lock (ERR_CONFLICT: another daemon has it), reads or makes
 * the worker id, and writes the next counter, fsynced before it returns. `worker_id` overrides the one on disk; NULL =
 * none. */
int worker_identity_take(const char *state_dir, const char *worker_id, struct worker_identity *ret_identity,
						 struct error *err) MUST_CHECK;
void worker_identity_release(struct worker_identity *identity);

/* Writes worker_id and incarnation into the open object. */
void worker_identity_write(struct json_writer *w, const struct worker_identity *identity);
/* Whether a command is for this incarnation. */
bool worker_identity_is_addressed(const struct worker_identity *identity, const cJSON *command);

/* Replaces DIR/NAME by `text`, durably: written beside, fsynced, renamed, the directory fsynced. */
int write_file_durably(int dir_fd, const char *name, const char *text, size_t len, struct error *err) MUST_CHECK;
