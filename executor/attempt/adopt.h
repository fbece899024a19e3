/* Looking for this build's publication on the remote: by an earlier attempt, or by a push of ours whose answer was
 * lost. */
#pragma once

#include "executor/attempt/attempt.h"

enum found {
	FOUND_NOTHING,
	FOUND_COMMIT, /* adopted: outcome is completed and published */
	FOUND_MARK,   /* the closing mark: this build was ended without a commit */
	FOUND_ERROR,  /* err is set */
};

/* Looks at attempt->refs: the fence decides; without one, a commit in base..tip that an attempt announced is ours.
 * `announced` are the commits to look for. */
enum found adopt_look(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
					  struct error *err);

/* The same while nothing of the agent's is in the workspace: a mirror that turns out to be broken is made anew, once,
 * and the workspace emptied; then *ret_renewed is set. */
enum found adopt_look_renewing(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
							   bool *ret_renewed, struct error *err);
