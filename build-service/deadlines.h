/*
 * Accept deadlines (docs/protocol.md section 5): run by whoever sent the assignment, from Kafka's acknowledgement of
 * it. This is only the memory of what runs; strikes.c decides. Forgotten at a crash: whoever takes over the worker's
 * partition starts it afresh.
 */
#pragma once

#include <stdint.h>

#include "build-service/commands.h"

struct deadlines;
struct deadline;

struct deadlines *deadlines_new(int64_t accept_ms);
/* After the producer is gone: nothing is in flight any more. */
void deadlines_free(struct deadlines *deadlines);

/* Before the assignment is produced: it is in flight until deadline_sent. Any thread. */
struct deadline *deadlines_add(struct deadlines *deadlines, const struct fencing_token *token,
							   const struct addressee *worker);
/* The producer's report (or its refusal, `sent` false): the time runs from now on. Without a report it runs as well:
 * the assignment may have been written. */
void deadline_sent(struct deadline *deadline);
/* While it is in flight: whose it is. */
const struct fencing_token *deadline_token(const struct deadline *deadline);
const struct addressee *deadline_worker(const struct deadline *deadline);
/* The producer had no room for it: nobody was told, and no time runs until deadlines_again. */
void deadline_unsent(struct deadline *deadline);
/* Copies the tokens of up to `max` of those. */
size_t deadlines_unsent(struct deadlines *deadlines, struct fencing_token *ret_tokens, size_t max);
/* It is produced once more, and in flight until deadline_sent or deadline_unsent. NULL when it is none of those: its
 * time runs already, or it is not known here. */
struct deadline *deadlines_again(struct deadlines *deadlines, const char *lease_id);
/* Takes over one that somebody else sent; nothing when it is known. */
void deadlines_start(struct deadlines *deadlines, const struct fencing_token *token, const struct addressee *worker);
/* Accepted or over. Any thread; nothing when it is not known. */
void deadlines_drop(struct deadlines *deadlines, const char *lease_id);

struct overdue {
	struct fencing_token token;
	struct addressee worker;
};
/* Copies up to `max` whose time has passed, without the first `skip` of them; they stay until dropped. */
size_t deadlines_overdue(struct deadlines *deadlines, size_t skip, struct overdue *ret_overdue, size_t max);
