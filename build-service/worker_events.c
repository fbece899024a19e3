#include "build-service/worker_events.h"

#include <stdlib.h>
#include <string.h>

#include "build-service/counters.h"
#include "common/base/alloc.h"
#include "common/base/log.h"

/* A heartbeat can have been on its way when the assignment was made; two cannot. */
#define LACKING_BEFORE_RESEND 2
#define RESEND_MAX 1024 /* tokens that wait for the next look */

void worker_decisions_release(struct worker_decisions *decisions)
{
	free(decisions->resend);
	decisions->resend = NULL;
	decisions->resend_len = decisions->resend_size = 0;
}

/* Once, however many heartbeats of a backlog lack it. Who finds no room is lacking in later heartbeats, too. */
static void add_resend(struct worker_decisions *decisions, const struct fencing_token *token)
{
	for (size_t i = 0; i < decisions->resend_len; i++) {
		if (fencing_token_equal(&decisions->resend[i], token))
			return;
	}
	if (decisions->resend_len == RESEND_MAX)
		return;
	if (decisions->resend_len == decisions->resend_size) {
		decisions->resend_size = decisions->resend_size == 0 ? 16 : decisions->resend_size * 2;
		decisions->resend = xreallocarray(decisions->resend, decisions->resend_size, sizeof(*decisions->resend));
	}
	decisions->resend[decisions->resend_len++] = *token;
}

enum standing {
	STANDING_NEW, /* an incarnation after the known one */
	STANDING_CURRENT,
	STANDING_FENCED, /* before it, or its twin from a cloned state directory: the first hello applied wins */
};

static enum standing standing_of(const struct worker *worker, const struct incarnation *incarnation)
{
	if (worker->state == WORKER_UNKNOWN || incarnation->counter > worker->incarnation.counter)
		return STANDING_NEW;
	return incarnation_equal(incarnation, &worker->incarnation) ? STANDING_CURRENT : STANDING_FENCED;
}

/* NULL: it does not list it. */
static const struct listed_token *find_listed(const struct worker_event *event, const struct fencing_token *token)
{
	for (size_t i = 0; i < event->listed_len; i++) {
		if (fencing_token_equal(&event->listed[i].token, token))
			return &event->listed[i];
	}
	return NULL;
}

static void mind_leases(struct worker_decisions *decisions, const struct worker *worker,
						const struct worker_event *event)
{
	leases_heard(decisions->leases, worker->id, worker->partition);
	for (size_t i = 0; i < worker->held_len; i++) {
		const struct held_attempt *held = &worker->held[i];
		const struct listed_token *listed = find_listed(event, &held->token);
		int lacking = leases_listed(decisions->leases, worker->id, &held->token, listed != NULL);
		leases_told(decisions->leases, worker->id, &held->token, listed != NULL && listed->told);
		if (held->accepted)
			(void)leases_accepted(decisions->leases, worker->id, &held->token); /* news or not */
		/* Given to an earlier incarnation it would be ignored. */
		if (lacking > 0 && lacking % LACKING_BEFORE_RESEND == 0 && !held->accepted &&
			incarnation_equal(&held->incarnation, &worker->incarnation))
			add_resend(decisions, &held->token);
	}
}

/* Its predecessor's processes are gone, the hello says so; results that wait to be released are listed as reported. What
 * the predecessor wrote may not be applied yet, so this is not the place to call its attempts lost. */
static void end_unlisted(struct worker_decisions *decisions, const struct worker *worker,
						 const struct worker_event *event)
{
	for (size_t i = 0; i < worker->held_len; i++) {
		if (find_listed(event, &worker->held[i].token) == NULL)
			leases_end(decisions->leases, worker->id, &worker->held[i].token);
	}
}

static void answer(struct worker_decisions *decisions, const struct worker_event *event)
{
	for (size_t i = 0; i < event->listed_len; i++) {
		const struct listed_token *listed = &event->listed[i];
		bool held = listed->fits && (listed->state == ATTEMPT_ASSIGNED || listed->state == ATTEMPT_ACCEPTED);
		struct command command = {.to = event->from, .token = listed->token, .last = listed->ended};
		if (listed->reported && held)
			continue; /* its result is still on its way, or expiry.c ends it */
		if (listed->reported)
			command.kind = COMMAND_RELEASED;
		else if (held && listed->wants_cancel)
			command.kind = COMMAND_CANCEL;
		else if (held || (listed->fits && listed->state == ATTEMPT_FINISHED))
			continue; /* as it should be; or its result was applied meanwhile and the next heartbeat says so */
		else
			command.kind = COMMAND_ABANDON;
		command_list_add(decisions->commands, &command);
	}
}

static void ask_to_drain(struct worker_decisions *decisions, const struct worker *worker)
{
	struct command command = {.kind = COMMAND_DRAIN, .to = {.incarnation = worker->incarnation}};
	memcpy(command.to.worker_id, worker->id, UUID_TEXT_SIZE);
	command_list_add(decisions->commands, &command);
}

static void hear(struct worker_decisions *decisions, struct worker *worker, const struct worker_event *event,
				 enum standing standing)
{
	if (standing == STANDING_CURRENT && worker->state == WORKER_GONE)
		return; /* overtaken by its own goodbye: heartbeats have a producer of their own */
	if (standing == STANDING_NEW) {
		worker->incarnation = event->from.incarnation;
		worker->state = WORKER_ACTIVE;
		worker->drain_requested = false;
	}
	/* Draining lasts as long as the incarnation: a heartbeat from before may come after. */
	if (event->draining || worker->drain_requested ||
		(standing == STANDING_CURRENT && worker->state == WORKER_DRAINING))
		worker->state = WORKER_DRAINING;
	else
		worker->state = WORKER_ACTIVE;
	worker->facts = event->facts;
	worker->heard = true;
	worker->changed = true;
	mind_leases(decisions, worker, event);
	if (standing == STANDING_NEW)
		end_unlisted(decisions, worker, event);
	answer(decisions, event);
	if (worker->drain_requested && !event->draining)
		ask_to_drain(decisions, worker);
}

static void request_drain(struct worker_decisions *decisions, struct worker *worker)
{
	if (worker->state == WORKER_GONE)
		return;
	if (worker->state == WORKER_ACTIVE)
		worker->state = WORKER_DRAINING;
	worker->drain_requested = true;
	worker->changed = true;
	ask_to_drain(decisions, worker);
}

static void fence(struct worker_decisions *decisions, const struct worker *worker, const struct worker_event *event)
{
	bool twin = event->from.incarnation.counter == worker->incarnation.counter;
	log_warn("worker fenced", "worker_id", worker->id, "counter", LOG_INT(event->from.incarnation.counter), "current",
			 LOG_INT(worker->incarnation.counter), NULL);
	metric_add(&counter_fenced, 1);
	command_list_add(decisions->commands,
					 &(struct command){.kind = COMMAND_FENCED,
									   .to = event->from,
									   .reason = twin ? "another worker runs with this state directory"
													  : "a later start of this worker is known"});
}

void worker_event_decide(struct worker_decisions *decisions, const struct worker_event *event)
{
	if (event->kind == WORKER_EVENT_OTHER)
		return;
	struct worker *worker = worker_set_find(decisions->workers, event->from.worker_id);
	CHECK(worker != NULL);
	enum standing standing = standing_of(worker, &event->from.incarnation);
	if (standing == STANDING_FENCED) {
		if (event->kind == WORKER_HELLO || event->kind == WORKER_HEARTBEAT)
			fence(decisions, worker, event);
		return;
	}
	switch (event->kind) {
	case WORKER_HELLO:
	case WORKER_HEARTBEAT:
		hear(decisions, worker, event, standing);
		return;
	case WORKER_DRAINING_NOW:
		if (standing == STANDING_CURRENT && worker->state != WORKER_GONE) {
			worker->state = WORKER_DRAINING;
			worker->changed = true;
		}
		return;
	case WORKER_DRAIN_REQUESTED:
		if (standing == STANDING_CURRENT)
			request_drain(decisions, worker);
		return;
	case WORKER_BYE:
		if (standing == STANDING_CURRENT) {
			worker->state = WORKER_GONE;
			worker->changed = true;
			leases_run_out(decisions->leases, worker->id, worker->partition);
		}
		return;
	case WORKER_EVENT_OTHER:
		return;
	}
}
