/* What the build service commands (docs/protocol.md section 4). Main thread only. */
#pragma once

#include "executor/daemon/attempts.h"
#include "executor/daemon/daemon.h"

/* A record of our partition with our key, a MAIL_COMMAND. Commands for other incarnations are ignored. */
void commands_handle(struct daemon *daemon, const struct mail *mail);

/* An attempt.assign that was already found to be for us. Idempotent: a held attempt is accepted again, a reported
 * result is sent again. */
void commands_assign(struct daemon *daemon, const struct assigned *assigned);

/* Sends a stored result (again), unless the last message of it is still under way. */
void commands_send_result(struct daemon *daemon, struct reported_item *item);
