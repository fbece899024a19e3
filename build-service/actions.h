/* What each action of the table in transitions.c does to a build. Only transitions.c calls these. */
#pragma once

#include "build-service/transitions.h"

void action_create(const struct transition_context *context, struct build *build);
void action_refuse(const struct transition_context *context, struct build *build, const struct occurrence *occurrence);
void action_assign(const struct transition_context *context, struct build *build, const struct occurrence *occurrence);
void action_start(const struct transition_context *context, struct build *build);
enum applied action_advance(const struct transition_context *context, struct build *build,
							const struct occurrence *occurrence);
void action_conclude(const struct transition_context *context, struct build *build,
					 const struct occurrence *occurrence);
void action_lose(const struct transition_context *context, struct build *build, const struct occurrence *occurrence);
void action_end_wished(const struct transition_context *context, struct build *build);
enum applied action_wish(const struct transition_context *context, struct build *build);
enum applied action_wish_settle(const struct transition_context *context, struct build *build);
void action_expire(const struct transition_context *context, struct build *build);
void action_give_up(const struct transition_context *context, struct build *build);
enum applied action_note_push(const struct transition_context *context, struct build *build,
							  const struct occurrence *occurrence);
void action_note_late(const struct transition_context *context, struct build *build,
					  const struct occurrence *occurrence);
