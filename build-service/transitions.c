#include "build-service/transitions.h"

#include <string.h>

#include "build-service/actions.h"

/* What to do with an event in a state. */
enum action {
	ILLEGAL = 0,
	REPEAT, /* known already */
	STALE,  /* too late: ignored and counted */
	CREATE,
	REFUSE,
	ASSIGN,
	START,
	ADVANCE,  /* starts first when the accept was not seen */
	CONCLUDE, /* the same */
	LOSE,
	END_WISHED,  /* cancelled at once */
	WISH,        /* the worker is told */
	WISH_SETTLE, /* settling goes on and ends as cancelled */
	EXPIRE,
	GIVE_UP,
	NOTE_LATE,
	NOTE_PUSH, /* known already when another push is */
};

/* clang-format off */
static const enum action table[LIFE_COUNT][HAPPENED_COUNT] = {
	/*                         REQUEST  REFUSAL  ASSIGN   ACCEPT   PHASE    FINISH    LOSS   CANCEL       QUEUE_T. SETTLE_T. LATE     L_PUSH */
	[LIFE_NEW]             = { CREATE,  REFUSE,  ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL,  ILLEGAL, ILLEGAL,   ILLEGAL, ILLEGAL, ILLEGAL,  ILLEGAL },
	[LIFE_QUEUED]          = { REPEAT,  REPEAT,  ASSIGN,  STALE,   STALE,   STALE,    STALE, END_WISHED,  EXPIRE,  STALE,   STALE,    NOTE_PUSH },
	[LIFE_ASSIGNED]        = { REPEAT,  REPEAT,  ILLEGAL, START,   ADVANCE, CONCLUDE, LOSE,  WISH,        STALE,   STALE,   STALE,    NOTE_PUSH },
	[LIFE_RUNNING]         = { REPEAT,  REPEAT,  ILLEGAL, REPEAT,  ADVANCE, CONCLUDE, LOSE,  WISH,        STALE,   STALE,   STALE,    NOTE_PUSH },
	[LIFE_SETTLE_QUEUED]   = { REPEAT,  REPEAT,  ASSIGN,  STALE,   STALE,   STALE,    STALE, WISH_SETTLE, STALE,   GIVE_UP, STALE,    NOTE_PUSH },
	[LIFE_SETTLE_ASSIGNED] = { REPEAT,  REPEAT,  ILLEGAL, START,   ADVANCE, CONCLUDE, LOSE,  WISH_SETTLE, STALE,   STALE,   STALE,    NOTE_PUSH },
	[LIFE_SETTLE_RUNNING]  = { REPEAT,  REPEAT,  ILLEGAL, REPEAT,  ADVANCE, CONCLUDE, LOSE,  WISH_SETTLE, STALE,   STALE,   STALE,    NOTE_PUSH },
	[LIFE_ENDED]           = { REPEAT,  REPEAT,  ILLEGAL, STALE,   STALE,   STALE,    STALE, REPEAT,      STALE,   STALE,   NOTE_LATE, STALE },
};
/* clang-format on */

enum life build_life(const struct build *build)
{
	if (!build->exists)
		return LIFE_NEW;
	switch (build->phase) {
	case PHASE_NONE:
		return LIFE_ENDED;
	case PHASE_QUEUED:
		return build->settling ? LIFE_SETTLE_QUEUED : LIFE_QUEUED;
	case PHASE_ASSIGNED:
		return build->settling ? LIFE_SETTLE_ASSIGNED : LIFE_ASSIGNED;
	case PHASE_PREPARING:
	case PHASE_AGENT:
	case PHASE_COMMITTING:
	case PHASE_PUSHING:
		break;
	}
	return build->settling ? LIFE_SETTLE_RUNNING : LIFE_RUNNING;
}

static bool has_token(enum happening what)
{
	return what == HAPPENED_ACCEPT || what == HAPPENED_PHASE || what == HAPPENED_FINISH || what == HAPPENED_LOSS;
}

/* A message of the current attempt after its result is a repeat; one of a lost attempt, or of any other token, is
 * stale. */
static bool token_fits(const struct build *build, const struct occurrence *occurrence, enum applied *ret_otherwise)
{
	struct fencing_token current;
	build_token(build, &current);
	if (!fencing_token_equal(&current, &occurrence->token)) {
		*ret_otherwise = APPLIED_STALE;
		return false;
	}
	*ret_otherwise = build->attempt.state == ATTEMPT_FINISHED ? APPLIED_REPEAT : APPLIED_STALE;
	return build_is_held(build);
}

enum applied transition_apply(const struct transition_context *context, struct build *build,
							  const struct occurrence *occurrence)
{
	enum applied otherwise;
	if (build->exists && has_token(occurrence->what) && !token_fits(build, occurrence, &otherwise))
		return otherwise;
	switch (table[build_life(build)][occurrence->what]) {
	case ILLEGAL:
		return APPLIED_ILLEGAL;
	case REPEAT:
		return APPLIED_REPEAT;
	case STALE:
		return APPLIED_STALE;
	case CREATE:
		action_create(context, build);
		return APPLIED;
	case REFUSE:
		action_refuse(context, build, occurrence);
		return APPLIED;
	case ASSIGN:
		action_assign(context, build, occurrence);
		return APPLIED;
	case START:
		action_start(context, build);
		return APPLIED;
	case ADVANCE:
		return action_advance(context, build, occurrence);
	case CONCLUDE:
		action_conclude(context, build, occurrence);
		return APPLIED;
	case LOSE:
		action_lose(context, build, occurrence);
		return APPLIED;
	case END_WISHED:
		action_end_wished(context, build);
		return APPLIED;
	case WISH:
		return action_wish(context, build);
	case WISH_SETTLE:
		return action_wish_settle(context, build);
	case EXPIRE:
		action_expire(context, build);
		return APPLIED;
	case GIVE_UP:
		action_give_up(context, build);
		return APPLIED;
	case NOTE_LATE:
		action_note_late(context, build, occurrence);
		return APPLIED;
	case NOTE_PUSH:
		return action_note_push(context, build, occurrence);
	}
	return APPLIED_ILLEGAL;
}

const char *life_name(enum life life)
{
	static const char *const names[] = {"new",           "queued",          "assigned",       "running",
										"settle_queued", "settle_assigned", "settle_running", "ended"};
	return names[life];
}

const char *happening_name(enum happening what)
{
	static const char *const names[] = {"request",       "refusal",        "assign",      "accept",
										"phase",         "finish",         "loss",        "cancel",
										"queue_timeout", "settle_timeout", "late_commit", "late_push"};
	return names[what];
}
