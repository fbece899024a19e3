#include "build-service/losses.h"

#include <string.h>

#include "build-service/result.h"
#include "common/base/log.h"

/* By what its build's lock gives: when the worker's attempts were read, another instance may have been about to commit
 * the accept. */
static bool is_accepted(const struct build *build, const struct fencing_token *token)
{
	struct fencing_token current;
	build_token(build, &current);
	return build->exists && build->attempt.state == ATTEMPT_ACCEPTED && fencing_token_equal(&current, token);
}

/* Of an earlier start of the worker, by what its row's lock gives, too: the hello may not have been committed. */
static bool is_orphaned(const struct losses *losses, const struct lease_due *due, const struct worker *worker,
						const struct held_attempt *held)
{
	return !incarnation_equal(&held->incarnation, &worker->incarnation) &&
		   leases_due_is_over(losses->leases, due, &held->token);
}

static bool is_unread(const struct losses *losses, const struct lease_due *due, const struct held_attempt *held)
{
	return leases_due_is_told(losses->leases, due, &held->token);
}

static bool is_lost(const struct losses *losses, const struct lease_due *due, const struct worker *worker,
					const struct held_attempt *held)
{
	return !is_unread(losses, due, held) &&
		   (lease_due_has(due, &held->token) || is_orphaned(losses, due, worker, held));
}

void losses_want(struct losses *losses, const struct lease_due *due, const struct worker *worker)
{
	size_t wanted = 0;
	for (size_t i = 0; wanted < LOSSES_AT_ONCE && i < worker->held_len; i++) {
		const struct held_attempt *held = &worker->held[i];
		if (!is_unread(losses, due, held) && !is_lost(losses, due, worker, held))
			continue;
		build_set_want(losses->set, held->token.build_id);
		wanted++;
	}
}

/* Whose accept was applied after the last heartbeat, and before this transaction, is not due: its lease has only begun.
 */
static void spare_accepted(const struct losses *losses, struct lease_due *due)
{
	size_t left = 0;
	for (size_t i = 0; i < due->tokens_len; i++) {
		const struct fencing_token *token = &due->tokens[i];
		const struct build *build = build_set_find(losses->set, token->build_id);
		bool spared =
			build != NULL && is_accepted(build, token) && leases_accepted(losses->leases, due->worker_id, token);
		if (!spared)
			due->tokens[left++] = *token;
	}
	due->tokens_len = left;
}

static enum loss_reason reason_of(const struct lease_due *due, const struct worker *worker, bool orphaned)
{
	if (orphaned)
		return LOSS_WORKER_RESTARTED;
	if (!due->silent)
		return LOSS_NOT_HELD;
	return worker->state == WORKER_GONE ? LOSS_WORKER_RESTARTED : LOSS_LEASE_EXPIRED;
}

/* Several accepted ones at once, those of other transactions among them. */
static bool is_mass(const struct losses *losses, const struct lease_due *due, const struct worker *worker)
{
	size_t accepted = 0;
	for (size_t i = 0; i < worker->held_len; i++) {
		const struct held_attempt *held = &worker->held[i];
		if (!is_lost(losses, due, worker, held))
			continue;
		const struct build *build = build_set_find(losses->set, held->token.build_id);
		accepted += build == NULL ? held->accepted : is_accepted(build, &held->token);
	}
	return accepted > 1 || due->rest;
}

static void tell(struct losses *losses, const struct worker *worker, struct command command)
{
	memcpy(command.to.worker_id, worker->id, UUID_TEXT_SIZE);
	command_list_add(losses->commands, &command);
}

/* Kafka had its result, all of that partition was applied since, and it is held still: nobody here can read it. Its
 * processes are gone, and nothing better will come. */
static bool end_unread(struct losses *losses, const struct worker *worker, const struct held_attempt *held,
					   struct build *build)
{
	static const char message[] = "the worker's result cannot be read";
	const struct occurrence occurrence = {
		.what = HAPPENED_FINISH,
		.token = held->token,
		.finish = {.outcome = OUTCOME_FAILED,
				   .retryable = build->attempt.mode == MODE_SETTLE,
				   .result = result_made(losses->set->trail.arena, build, "internal", message),
				   .error_class = "internal",
				   .error_message = message}};
	if (transition_apply(&losses->context, build, &occurrence) != APPLIED)
		return false;
	log_error("an attempt ends whose result cannot be read", "build_id", build->id, "attempt",
			  LOG_INT(held->token.attempt), "worker_id", worker->id, NULL);
	tell(losses, worker,
		 (struct command){.kind = COMMAND_RELEASED,
						  .to = {.incarnation = worker->incarnation},
						  .token = held->token,
						  .last = build_ended(build)});
	return true;
}

/* Counts it, unless nobody is left to be told, and no lease ran out. */
static bool lose(struct losses *losses, const struct lease_due *due, const struct worker *worker,
				 const struct held_attempt *held, struct build *build, bool mass, size_t *lost)
{
	bool orphaned = is_orphaned(losses, due, worker, held);
	const struct occurrence occurrence = {.what = HAPPENED_LOSS,
										  .token = held->token,
										  .loss = {.reason = reason_of(due, worker, orphaned), .mass = mass}};
	if (transition_apply(&losses->context, build, &occurrence) != APPLIED)
		return false;
	if (!orphaned) {
		tell(losses, worker,
			 (struct command){.kind = COMMAND_ABANDON, .to = {.incarnation = held->incarnation}, .token = held->token});
		++*lost;
	}
	return true;
}

size_t losses_apply(struct losses *losses, struct lease_due *due, struct worker *worker, bool *ret_more)
{
	spare_accepted(losses, due);
	bool mass = is_mass(losses, due, worker);
	size_t lost = 0, applied = 0;
	bool more = false;
	for (size_t i = 0; i < worker->held_len; i++) {
		const struct held_attempt *held = &worker->held[i];
		bool unread = is_unread(losses, due, held);
		if (!unread && !is_lost(losses, due, worker, held))
			continue;
		struct build *build = build_set_find(losses->set, held->token.build_id);
		if (build == NULL || trail_is_full(losses->context.trail)) {
			more = true;
			break;
		}
		if (build->exists)
			applied +=
				unread ? end_unread(losses, worker, held, build) : lose(losses, due, worker, held, build, mass, &lost);
	}
	if (due->silent && (worker->state == WORKER_ACTIVE || worker->state == WORKER_DRAINING)) {
		worker->state = WORKER_LOST;
		worker->changed = true;
	}
	*ret_more = more && applied > 0; /* of what does not apply, the next time would be the same */
	return lost;
}
