/*
 * Leases, as the owner of a worker's partition of kiln.worker.events remembers them (docs/protocol.md section 5): when
 * each worker was last heard of, and when each of its attempts was last listed. By this process's own clock; forgotten
 * when the partition goes. expiry.c decides what is lost.
 *
 * One thread's: the inbox's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "build-service/build.h"

struct leases;

struct leases *leases_new(int64_t lease_ms);
void leases_free(struct leases *leases);

/* The partition is mine from now on: every worker in it counts as heard of now. */
void leases_taken(struct leases *leases, int32_t partition);
void leases_lost(struct leases *leases, int32_t partition);
/* Is what this worker says, and its silence, applied on this thread? */
bool leases_minds(const struct leases *leases, const char *worker_id);
/* A worker that the database knows in an own partition, after a takeover. */
void leases_watch(struct leases *leases, const char *worker_id, int32_t partition);
/* It said goodbye: what it still holds by the database runs out at once. */
void leases_run_out(struct leases *leases, const char *worker_id, int32_t partition);

/* A hello or heartbeat of the worker's current incarnation was read. */
void leases_heard(struct leases *leases, const char *worker_id, int32_t partition);
/* For each attempt that the database says it holds, after leases_heard. Returns how many heartbeats in a row have
 * lacked it, this one included. */
int leases_listed(struct leases *leases, const char *worker_id, const struct fencing_token *token, bool listed);
/* A new start of the worker does not list this attempt of an earlier one, whose processes are gone: it is due at once.
 * After leases_listed. */
void leases_end(struct leases *leases, const char *worker_id, const struct fencing_token *token);
/* Whether its worker says now that Kafka has its result, all that it has sent of it. After leases_listed. For as long as
 * a lease lasts, without a break: it is due. */
void leases_told(struct leases *leases, const char *worker_id, const struct fencing_token *token, bool told);
/* The database says that it was accepted. True when that is news here: then its lease begins anew. For the worker, a
 * lease runs from the newest heartbeat that Kafka acknowledged, which after a late accept is one that does not list it
 * yet; counted from the assignment, it could be over here while the worker still pushes. */
bool leases_accepted(struct leases *leases, const char *worker_id, const struct fencing_token *token);
/* A worker with something that ran out. */
struct lease_due {
	char worker_id[UUID_TEXT_SIZE];
	int32_t partition;
	bool silent;       /* the worker itself; otherwise only attempts: */
	uint64_t over;     /* those that leases_end was called for by then; 0: none */
	int64_t told_ms;   /* those whose result Kafka has had since then; 0: none */
	size_t tokens_len; /* those that its heartbeats lack, some of them */
	struct fencing_token tokens[8];
	bool cut;  /* more of them are due: the next time */
	bool rest; /* of what was cut the last time, or expired in part */
};
/* Whether this attempt is part of it, as silent or lacking. */
bool lease_due_has(const struct lease_due *due, const struct fencing_token *token);
/* Whether it is part of it because its worker was started anew. */
bool leases_due_is_over(const struct leases *leases, const struct lease_due *due, const struct fencing_token *token);
/* Whether it is part of it because Kafka has its result, and it is held all the same. */
bool leases_due_is_told(const struct leases *leases, const struct lease_due *due, const struct fencing_token *token);
/* Copies up to `max`, without the first `skip` of them. */
size_t leases_due(struct leases *leases, size_t skip, struct lease_due *ret_due, size_t max);
/* Looks again at a worker that was due: false when it has been heard of and its attempts listed since; otherwise *due
 * is what still is of it. What ran out since then is not part of it, nor is the silence of a worker that was not silent
 * then: what was waited for meanwhile had been written before. */
bool leases_still_due(struct leases *leases, struct lease_due *due);
/* Some of it was expired: what is left stays due. */
void leases_expired_in_part(struct leases *leases, const struct lease_due *due);
/* It was expired. A silent worker is minded again when it is heard of. */
void leases_forget_due(struct leases *leases, const struct lease_due *due);
