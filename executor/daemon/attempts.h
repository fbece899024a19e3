/* The attempts that this worker holds: from the assignment until the result is stored (docs/protocol.md section 5).
 * Main thread only. */
#pragma once

#include "common/base/trace.h"
#include "common/kafka/cloudevent.h"
#include "common/model/fencing_token.h"
#include "executor/daemon/daemon.h"

/* An attempt.assign as it came. */
struct assigned {
	const char *data;
	size_t len;
	const char *traceparent; /* the record's; "" = none */
};

struct held {
	struct list_node node;
	uint64_t serial; /* for messages under way: pointers may be gone when they come back */
	struct fencing_token token;
	char *assignment; /* its data */
	size_t assignment_len;
	char traceparent[CLOUDEVENT_TRACEPARENT_SIZE]; /* "" = none */
	const char *trace_id;                          /* for the log; NULL = none */
	char trace_id_text[TRACE_ID_SIZE];
	bool tidy; /* the daemon's own work on a fence ref: takes no slot, is in no heartbeat, has no result */

	struct child child;
	bool child_gone;  /* its process is reaped; what it left behind is being killed */
	size_t forwarded; /* frames of the child that Kafka has not acknowledged */
	char *result;     /* the RESULT frame */
	size_t result_len;

	bool cancelled; /* by command */
	bool abandoned; /* by command: ends without a word */
	bool pushing;   /* it announced a commit: only a publication or the closing mark may end it */
	char announced_sha[65];
	char *base_sha, *branch; /* as its phases said */
	bool settling;           /* a second child settles what the first one left */

	const char *kill_class; /* why we killed it; NULL = we did not */
	const char *kill_message;
	bool kill_final;  /* another attempt would end the same way */
	int64_t kill_ms;  /* SIGKILL after a cancel; INT64_MAX = none */
	int64_t phase_ms; /* until when its phase must be over; INT64_MAX = it has no limit of ours */
	bool preparing;   /* it is the phase before the agent's, else the one after it */

	char *successor; /* an assignment of the same build that came while this was ending */
	size_t successor_len;
	char successor_traceparent[CLOUDEVENT_TRACEPARENT_SIZE];
};

struct held *attempts_find(struct daemon *daemon, const struct fencing_token *token);
struct held *attempts_find_build(struct daemon *daemon, const char *build_id);
/* Those that take a slot. */
size_t attempts_slots_used(const struct daemon *daemon);

/* Starts a child on it, with attempt.accepted sent before. The data is copied. False when no child can be made. */
bool attempts_start(struct daemon *daemon, const struct fencing_token *token, const struct assigned *assigned,
					bool tidy);
/* Gives the child its work: the held assignment, or another one that takes its place. */
void attempts_instruct(struct held *held, const char *assignment, size_t len);
void attempts_cancel(struct daemon *daemon, struct held *held);
void attempts_abandon(struct daemon *daemon, struct held *held);
/* Kills the child; the result says why. */
void attempts_kill(struct daemon *daemon, struct held *held, const char *error_class, const char *message);
void attempts_kill_all(struct daemon *daemon, const char *error_class, const char *message);

/* The child's socket is readable, or writable. */
void attempts_serve(struct daemon *daemon, struct held *held);
/* Kafka has acknowledged a frame of the attempt with that serial. */
void attempts_acked(struct daemon *daemon, uint64_t serial, uint64_t frame_id);
/* Reaps children, ends attempts whose processes are all gone, keeps kill deadlines and the spare child. */
void attempts_tick(struct daemon *daemon, int64_t now_ms);
/* When attempts_tick has something to do next (clock_boot_ms). */
int64_t attempts_due_ms(const struct daemon *daemon);
/* How many frames of a child may be unacknowledged before the daemon stops reading from it. */
bool attempts_reads(const struct held *held);

/* attempt_end.c: everything of it is gone: the result, or another child to settle, or the successor. Frees held. */
void attempts_end(struct daemon *daemon, struct held *held);
