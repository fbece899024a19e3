/*
 * A build that names an earlier one (`continue_from`) goes on from where that one ended: its agent is told what was
 * asked then and what was answered, in front of its own prompt.
 */
#pragma once

#include "executor/attempt/attempt.h"

/* Sets attempt->prompt, and attempt->continued when the build continues another. -1: that build cannot be continued
 * (outcome says why). */
int attempt_continue(struct attempt *attempt);
