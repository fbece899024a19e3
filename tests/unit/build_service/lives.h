/* Builds in every state of their life, for the tests of transitions and the trail. */
#pragma once

#include "tests/unit/unit.h"

#include "build-service/transitions.h"

#define LIVES_BUILD_ID "01890000-0000-7000-8000-000000000001"
#define LIVES_LEASE "11111111-1111-4111-8111-111111111111"
#define LIVES_OTHER_LEASE "22222222-2222-4222-8222-222222222222"
#define LIVES_WORKER "33333333-3333-4333-8333-333333333333"
#define LIVES_NONCE "44444444-4444-4444-8444-444444444444"
#define LIVES_SHA "0123456789012345678901234567890123456789"

struct lives {
	struct arena arena;
	struct trail trail;
	struct transition_context context;
	struct build build;
};

/* Of the whole file, with its group fixtures. */
extern struct lives sample;
int lives_set_up(void **state);
int lives_tear_down(void **state);

/* A new build with everything a request sets, not there yet. */
void lives_new(struct lives *lives);
/* Takes a new build to a state by legal events. */
void lives_reach(struct lives *lives, enum life life);

/* An occurrence with the current token and ordinary contents. */
struct occurrence lives_occurrence(const struct lives *lives, enum happening what);
/* A finish that says that the attempt has failed. */
struct occurrence lives_failure(const struct lives *lives, bool retryable);
enum applied lives_apply(struct lives *lives, const struct occurrence *occurrence);
enum applied lives_happen(struct lives *lives, enum happening what);

/* The type of the event `back` from the end (0 = the last); "" when there are not so many. */
const char *lives_event(const struct lives *lives, size_t back);
size_t lives_count(const struct lives *lives, const char *type);
/* Is `text` in the body of the last event? */
bool lives_last_says(const struct lives *lives, const char *text);
/* What holds of every build after every event. */
void lives_check(const struct lives *lives);
