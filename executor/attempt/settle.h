/*
 * Settling (docs/protocol.md section 7): a build that announced a push ends without a commit only when it is certain
 * that none can come any more: the fence holds a commit (then that is the publication), or we put the closing mark
 * there. An attempt that may be repeated only looks: the next one's fence push decides, and the mark would keep it out.
 */
#pragma once

#include "executor/attempt/attempt.h"

/* For an attempt that ends without having published: adopts, or (unless it is to be repeated) closes, as far as
 * needed. `announced` are all commits that were announced for this build, `unknown` whether a push of one of them may
 * still happen. A publication that is found turns the outcome into completed; a completed one without a commit is no
 * longer when it could not be settled in time; where the remote refuses the mark for good it stays, and is not closed. */
void settle_unpublished(struct attempt *attempt, const char (*announced)[GIT_SHA_SIZE], size_t announced_len,
						bool unknown);
