#include "build-service/actions.h"

#include <string.h>

#include "build-service/result.h"
#include "common/base/str.h"

#define EPOCH_JUMP 1000

static void set_text(char *field, size_t size, const char *text)
{
	size_t len = text == NULL ? 0 : strlen(text);
	CHECK(len < size); /* readers of records have looked at the lengths */
	if (len > 0)
		memcpy(field, text, len);
	field[len] = '\0';
}

static const char *or_null(const char *field)
{
	return field[0] == '\0' ? NULL : field;
}

/* --- where a build goes --- */

static void wait_in_queue(struct build *build, bool settling, int64_t not_before_ms)
{
	build->status = STATUS_PENDING;
	build->phase = PHASE_QUEUED;
	build->settling = settling;
	build->queue = (struct queue_place){.waiting = true, .settling = settling, .not_before_ms = not_before_ms};
	build->queue_changed = true;
	build->queued_now = true;
	build->changed = true;
}

static void leave_queue(struct build *build)
{
	if (build->queue.waiting) {
		build->queue.waiting = false;
		build->queue_changed = true;
	}
}

static void end_attempt(struct build *build, enum attempt_state state, const char *reason)
{
	build->attempt.state = state;
	build->attempt.end_reason = reason;
	build->attempt.changed = true;
	build->slot_released = true;
	build->changed = true;
}

static const char *terminal_type(enum build_status status)
{
	switch (status) {
	case STATUS_COMPLETED:
		return "build.completed";
	case STATUS_FAILED:
		return "build.failed";
	case STATUS_CANCELLED:
		return "build.cancelled";
	case STATUS_PENDING:
	case STATUS_RUNNING:
		break;
	}
	CHECK(!"a terminal status");
	return NULL;
}

static void set_ended(struct build *build, enum build_status status)
{
	leave_queue(build);
	build->status = status;
	build->phase = PHASE_NONE;
	build->settling = false;
	build->changed = true;
}

/* The terminal event. `result` NULL: made from the error. */
static void emit_end(const struct transition_context *context, struct build *build, const char *result,
					 const char *error_class, const char *message, bool unsettled)
{
	if (result == NULL)
		result = result_made(context->trail->arena, build, error_class, message);
	build->result = result;
	build->error_class = error_class;
	build->finished_now = true;
	trail_emit(context->trail, build, terminal_type(build->status),
			   &(struct trail_extra){.result = result, .unsettled = unsettled});
}

/* How a build is to end that was not published. */
struct ending {
	enum build_status status;
	const char *error_class, *message;
	const char *result; /* NULL = to be made */
};

/* A push of this build may still land: only a settling attempt proves that it did not (docs/protocol.md section 7).
 * Returns what it came to. */
static bool must_settle(const struct build *build, bool proven)
{
	return build->pushing_seen && !proven;
}

static void begin_settling(const struct transition_context *context, struct build *build, const struct ending *ending)
{
	build->settle_end =
		settle_end_made(context->trail->arena, ending->status, ending->error_class, ending->message, ending->result);
	build->settle_age_ms = 0;
	wait_in_queue(build, true, 0);
}

/* `proven`: nothing of this build can reach the branch any more. */
static void end_unpublished(const struct transition_context *context, struct build *build, const struct ending *ending,
							bool proven)
{
	if (must_settle(build, proven)) {
		begin_settling(context, build, ending);
		trail_emit(context->trail, build, "build.phase", NULL);
		return;
	}
	set_ended(build, ending->status);
	emit_end(context, build, ending->result, ending->error_class, ending->message, false);
}

static void end_settled(const struct transition_context *context, struct build *build, bool proven)
{
	struct settle_end end;
	settle_end_read(context->trail->arena, build->settle_end, &end);
	set_ended(build, end.status);
	emit_end(context, build, end.result, end.error_class, end.error_message, !proven);
}

/* --- the actions --- */

void action_create(const struct transition_context *context, struct build *build)
{
	build->exists = true;
	build->is_new = true;
	build->attempt = (struct attempt){.state = ATTEMPT_NONE};
	wait_in_queue(build, false, 0);
	trail_emit(context->trail, build, "build.pending", NULL);
}

void action_refuse(const struct transition_context *context, struct build *build, const struct occurrence *occurrence)
{
	action_create(context, build);
	end_unpublished(context, build, &(struct ending){STATUS_FAILED, "rejected", occurrence->refusal.message, NULL},
					true);
}

void action_assign(const struct transition_context *context, struct build *build, const struct occurrence *occurrence)
{
	int32_t number = build->attempt.number + 1;
	int32_t floor = occurrence->assign.epoch * EPOCH_JUMP + 1;
	build->attempt = (struct attempt){
		.number = number > floor ? number : floor,
		.incarnation = occurrence->assign.incarnation,
		.mode = build->settling ? MODE_SETTLE : MODE_RUN,
		.state = ATTEMPT_ASSIGNED,
		.is_new = true,
	};
	set_text(build->attempt.lease_id, sizeof(build->attempt.lease_id), occurrence->assign.lease_id);
	set_text(build->attempt.worker_id, sizeof(build->attempt.worker_id), occurrence->assign.worker_id);
	leave_queue(build);
	build->phase = PHASE_ASSIGNED;
	trail_emit(context->trail, build, "build.phase", &(struct trail_extra){.worker_id = build->attempt.worker_id});
}

void action_start(const struct transition_context *context, struct build *build)
{
	build->attempt.state = ATTEMPT_ACCEPTED;
	build->attempt.phase = PHASE_PREPARING;
	build->attempt.changed = true;
	build->status = STATUS_RUNNING;
	build->phase = PHASE_PREPARING;
	if (build->attempt.mode == MODE_RUN)
		build->attempts_used++;
	build->started_now = true;
	trail_emit(
		context->trail, build, "build.started",
		&(struct trail_extra){.worker_id = build->attempt.worker_id, .mode = attempt_mode_name(build->attempt.mode)});
}

/* The first attempt that says where it started from says it for all. */
static void record_base(struct build *build, const struct occurrence *occurrence)
{
	if (build->branch[0] != '\0' || occurrence->phase.branch == NULL)
		return;
	set_text(build->branch, sizeof(build->branch), occurrence->phase.branch);
	set_text(build->base_sha, sizeof(build->base_sha), occurrence->phase.base_sha);
	build->changed = true;
}

enum applied action_advance(const struct transition_context *context, struct build *build,
							const struct occurrence *occurrence)
{
	enum build_phase phase = occurrence->phase.phase;
	const char *commit_sha = occurrence->phase.commit_sha;
	bool started = build->attempt.state == ATTEMPT_ASSIGNED;
	if (started)
		action_start(context, build);
	/* A rebase announces `pushing` again with another commit; nothing else goes back or repeats. */
	bool other_commit =
		phase == PHASE_PUSHING && commit_sha != NULL && strcmp(commit_sha, build->attempt.commit_sha) != 0;
	if (phase < build->phase || (phase == build->phase && !other_commit))
		return started ? APPLIED : APPLIED_REPEAT;
	record_base(build, occurrence);
	build->phase = phase;
	build->attempt.phase = phase;
	build->attempt.changed = true;
	struct trail_extra extra = {0};
	if (phase == PHASE_AGENT) {
		extra.with_base = true;
		extra.base_sha = occurrence->phase.base_sha;
		extra.branch = occurrence->phase.branch;
		extra.sandbox = occurrence->phase.sandbox;
		extra.continued = occurrence->phase.continued;
	}
	if (phase == PHASE_PUSHING) {
		build->pushing_seen = true;
		set_text(build->attempt.commit_sha, sizeof(build->attempt.commit_sha), commit_sha);
		extra.commit_sha = commit_sha;
	}
	trail_emit(context->trail, build, "build.phase", &extra);
	return APPLIED;
}

/* Back into the queue; attempt_lost tells the reason, and by its status what follows. */
static void emit_lost(const struct transition_context *context, struct build *build, enum loss_reason reason,
					  const char *error_class, const char *message)
{
	trail_emit(context->trail, build, "build.attempt_lost",
			   &(struct trail_extra){
				   .reason = loss_reason_name(reason), .error_class = error_class, .error_message = message});
}

static void conclude_settling(const struct transition_context *context, struct build *build,
							  const struct occurrence *occurrence)
{
	if (occurrence->finish.outcome == OUTCOME_COMPLETED) {
		set_ended(build, STATUS_COMPLETED);
		emit_end(context, build, occurrence->finish.result, NULL, NULL, false);
	} else if (occurrence->finish.closed || !occurrence->finish.retryable ||
			   build->settle_age_ms >= context->policy->settle_limit_ms) {
		end_settled(context, build, occurrence->finish.closed);
	} else {
		wait_in_queue(build, true, retries_backoff_ms(context->policy, build->attempt.number, build->id));
		emit_lost(context, build, LOSS_FAILED, occurrence->finish.error_class, occurrence->finish.error_message);
	}
}

/* False: it was lost too often. */
static bool wait_after_loss(const struct transition_context *context, struct build *build, enum loss_reason reason,
							bool accepted, const char *error_class, const char *message)
{
	if (!retries_after_loss(context->policy, build))
		return false;
	wait_in_queue(build, false, retries_wait_after_loss_ms(context->policy, build, accepted));
	emit_lost(context, build, reason, error_class, message);
	return true;
}

/* The worker has ended the attempt because its own lease ran out, and has found the way back in time to tell it. */
static bool is_loss(const struct occurrence *occurrence)
{
	return occurrence->finish.outcome == OUTCOME_FAILED && occurrence->finish.retryable &&
		   !occurrence->finish.published && str_equal(occurrence->finish.error_class, "worker_lost");
}

static void conclude_run(const struct transition_context *context, struct build *build,
						 const struct occurrence *occurrence)
{
	enum outcome outcome = occurrence->finish.outcome;
	const char *error_class = occurrence->finish.error_class, *message = occurrence->finish.error_message;
	bool proven = occurrence->finish.closed || occurrence->finish.published;
	if (is_loss(occurrence) && !build->cancel_requested) {
		retries_count_loss(context->policy, build, false);
		if (!wait_after_loss(context, build, LOSS_NOT_HELD, true, error_class, message))
			end_unpublished(context, build, &(struct ending){STATUS_FAILED, error_class, message, NULL}, proven);
		return;
	}
	if (outcome == OUTCOME_COMPLETED) {
		set_ended(build, STATUS_COMPLETED);
		emit_end(context, build, occurrence->finish.result, NULL, NULL, must_settle(build, proven));
		return;
	}
	/* Cancelled without a wish: the worker hands it back, and that is no try. */
	bool handed_back = outcome == OUTCOME_CANCELLED && !build->cancel_requested;
	if (handed_back && build->attempts_used > 0)
		build->attempts_used--;
	bool again = handed_back || (outcome == OUTCOME_FAILED && occurrence->finish.retryable);
	if (again && !build->cancel_requested && !occurrence->finish.published && retries_after_failure(build)) {
		wait_in_queue(build, false,
					  handed_back ? 0 : retries_backoff_ms(context->policy, build->attempts_used, build->id));
		emit_lost(context, build, LOSS_FAILED, error_class, message);
		return;
	}
	bool cancelled = build->cancel_requested && (outcome == OUTCOME_CANCELLED || again);
	struct ending ending = {STATUS_FAILED, error_class, message, occurrence->finish.result};
	if (cancelled) {
		ending.status = STATUS_CANCELLED;
		if (outcome != OUTCOME_CANCELLED) {
			ending.error_class = "cancelled";
			ending.message = "cancelled";
			ending.result = NULL;
		}
	}
	end_unpublished(context, build, &ending, proven);
}

void action_conclude(const struct transition_context *context, struct build *build, const struct occurrence *occurrence)
{
	if (build->attempt.state == ATTEMPT_ASSIGNED)
		action_start(context, build);
	static const char *const reasons[] = {"completed", "failed", "cancelled"};
	end_attempt(build, ATTEMPT_FINISHED, reasons[occurrence->finish.outcome]);
	if (build->attempt.mode == MODE_SETTLE)
		conclude_settling(context, build, occurrence);
	else
		conclude_run(context, build, occurrence);
}

static const char *loss_message(enum loss_reason reason)
{
	switch (reason) {
	case LOSS_ACCEPT_TIMEOUT:
		return "the worker did not accept the attempt in time";
	case LOSS_LEASE_EXPIRED:
		return "the worker was not heard of any more";
	case LOSS_WORKER_RESTARTED:
		return "the worker was restarted";
	case LOSS_NOT_HELD:
		return "the worker does not hold the attempt any more";
	case LOSS_FAILED:
		break;
	}
	return "the attempt failed";
}

static void lose_run(const struct transition_context *context, struct build *build, const struct occurrence *occurrence,
					 bool accepted)
{
	enum loss_reason reason = occurrence->loss.reason;
	if (accepted)
		retries_count_loss(context->policy, build, occurrence->loss.mass);
	if (!build->cancel_requested && wait_after_loss(context, build, reason, accepted, NULL, NULL))
		return;
	struct ending ending = {STATUS_FAILED, "worker_lost", loss_message(reason), NULL};
	if (build->cancel_requested)
		ending = (struct ending){STATUS_CANCELLED, "cancelled", "cancelled", NULL};
	if (must_settle(build, false)) {
		begin_settling(context, build, &ending);
		emit_lost(context, build, reason, NULL, NULL);
		return;
	}
	set_ended(build, ending.status);
	emit_lost(context, build, reason, NULL, NULL);
	emit_end(context, build, NULL, ending.error_class, ending.message, false);
}

void action_lose(const struct transition_context *context, struct build *build, const struct occurrence *occurrence)
{
	bool accepted = build->attempt.state == ATTEMPT_ACCEPTED;
	end_attempt(build, ATTEMPT_LOST, loss_reason_name(occurrence->loss.reason));
	if (build->attempt.mode == MODE_RUN) {
		lose_run(context, build, occurrence, accepted);
	} else if (build->settle_age_ms >= context->policy->settle_limit_ms) {
		/* As after a lost run: the loss first, with the status that follows. */
		struct settle_end end;
		settle_end_read(context->trail->arena, build->settle_end, &end);
		set_ended(build, end.status);
		emit_lost(context, build, occurrence->loss.reason, NULL, NULL);
		emit_end(context, build, end.result, end.error_class, end.error_message, true);
	} else {
		wait_in_queue(build, true, 0);
		emit_lost(context, build, occurrence->loss.reason, NULL, NULL);
	}
}

static enum applied wish(const struct transition_context *context, struct build *build, bool settle)
{
	if (build->cancel_requested)
		return APPLIED_REPEAT;
	build->cancel_requested = true;
	if (settle)
		build->settle_end = settle_end_made(context->trail->arena, STATUS_CANCELLED, "cancelled", "cancelled", NULL);
	struct trail_extra extra = {.cancel_requested = true};
	if (build->phase == PHASE_PUSHING)
		extra.commit_sha = or_null(build->attempt.commit_sha);
	trail_emit(context->trail, build, "build.phase", &extra);
	return APPLIED;
}

enum applied action_wish(const struct transition_context *context, struct build *build)
{
	return wish(context, build, false);
}

enum applied action_wish_settle(const struct transition_context *context, struct build *build)
{
	return wish(context, build, true);
}

void action_end_wished(const struct transition_context *context, struct build *build)
{
	build->cancel_requested = true;
	end_unpublished(context, build,
					&(struct ending){STATUS_CANCELLED, "cancelled", "cancelled while it was queued", NULL}, false);
}

void action_expire(const struct transition_context *context, struct build *build)
{
	end_unpublished(context, build,
					&(struct ending){STATUS_FAILED, "queue_timeout", "no worker took the build in time", NULL}, false);
}

void action_give_up(const struct transition_context *context, struct build *build)
{
	end_settled(context, build, false);
}

void action_note_late(const struct transition_context *context, struct build *build,
					  const struct occurrence *occurrence)
{
	trail_emit(context->trail, build, "build.late_commit",
			   &(struct trail_extra){.commit_sha = occurrence->late.commit_sha,
									 .lost_attempt = occurrence->late.lost_attempt});
}

enum applied action_note_push(const struct transition_context *context, struct build *build,
							  const struct occurrence *occurrence)
{
	if (build->attempt.number == occurrence->late.lost_attempt)
		set_text(build->attempt.commit_sha, sizeof(build->attempt.commit_sha), occurrence->late.commit_sha);
	if (build->pushing_seen)
		return APPLIED_REPEAT;
	build->pushing_seen = true;
	trail_emit(context->trail, build, "build.phase",
			   &(struct trail_extra){.commit_sha = occurrence->late.commit_sha,
									 .lost_attempt = occurrence->late.lost_attempt});
	return APPLIED;
}
