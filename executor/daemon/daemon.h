/*
 * The daemon: one main thread that owns everything here, one thread each for the assignments, the two producers, the
 * state directory, the trash and the ops port. Children are forked by the main thread, which lives as long as the
 * process (PR_SET_PDEATHSIG is about the thread that forked).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "executor/agents/offers.h"
#include "executor/config.h"
#include "executor/daemon/assignments.h"
#include "executor/daemon/child.h"
#include "executor/daemon/janitor.h"
#include "executor/daemon/mailbox.h"
#include "executor/daemon/nursery.h"
#include "executor/daemon/over.h"
#include "executor/daemon/packer.h"
#include "executor/daemon/reported.h"
#include "executor/daemon/sender.h"
#include "executor/daemon/state_writer.h"
#include "executor/daemon/tidying.h"
#include "executor/daemon/worker_identity.h"

enum daemon_state {
	DAEMON_CLEARING, /* killing what earlier daemons left; waiting for the assignments to be positioned */
	DAEMON_GREETING, /* the hello is on its way */
	DAEMON_READY,
	DAEMON_LEAVING, /* the bye is on its way */
	DAEMON_OVER,
};

/* What others read: the ops thread and metrics. */
struct daemon_view {
	_Atomic int state;
	_Atomic int64_t heartbeat_acked_ms; /* creation of the newest heartbeat that Kafka has acknowledged; 0 = none */
};

struct daemon {
	const struct executor_config *config;
	struct worker_identity identity;
	struct agent_offers offers;
	struct mailbox *mailbox;
	struct kafka_producer *producer, *heartbeat_producer;
	struct assignments *assignments;
	struct artifact_store *artifacts; /* NULL: they are not kept */
	struct janitor *janitor;
	struct state_writer *state_writer;
	struct sender sender;
	struct reported reported;
	struct over over;
	struct tidying tidying;
	struct daemon_view view;
	enum daemon_state state;
	char hostname[256];

	struct list_node held; /* struct held (attempts.h), in order of arrival */
	size_t held_len;
	uint64_t last_serial;
	struct nursery nursery;
	struct packer packer;
	struct child spare;
	bool has_spare;
	int64_t spare_due_ms; /* when the next one is made; INT64_MAX = there is one */
	int64_t sweep_due_ms; /* when children that nobody knows are looked for; INT64_MAX = not */

	int64_t heartbeat_due_ms;
	int64_t read_offset; /* of the assignments: handled up to here */
	bool dead;           /* the dead-man rule has struck: nothing starts until a heartbeat is acknowledged again */

	bool drain_wished; /* worker.drain: like a SIGTERM, but what runs may take its time */
	bool draining;
	bool drain_limited;        /* by a signal */
	int64_t drain_deadline_ms; /* INT64_MAX = none, or it has passed */
	int64_t give_up_ms;        /* of what was killed at the deadline; INT64_MAX = nothing was */
	int64_t leave_ms;          /* while leaving: when it ends without waiting any longer */
	int exit_status;
};

/* Runs until it is drained or fenced; returns the exit status. signals_init has been called. */
int daemon_run(const struct executor_config *config);

void daemon_set_state(struct daemon *daemon, enum daemon_state state);
