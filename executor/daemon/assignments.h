/* The thread that reads this worker's partition of kiln.build.assignments, from the end offset that it reads first, and
 * posts our own records to the mailbox. */
#pragma once

#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/config.h"
#include "common/kafka/producer.h"
#include "executor/daemon/mailbox.h"

struct assignments;

/* Starts the thread; MAIL_POSITIONED comes when it reads. `producer` must outlive it: it is made ready for what the
 * daemon will say first. */
struct assignments *assignments_start(const struct kafka_settings *settings, struct kafka_producer *producer,
									  const char *worker_id, struct mailbox *mailbox);
/* Ends the thread, within seconds, and frees it. Not NULL. */
void assignments_stop(struct assignments *assignments);

int32_t assignments_partition(const struct assignments *assignments);
/* Up to where the partition has been read. Any thread; -1 before it is positioned. Everything below was posted to the
 * mailbox before this value was set. */
int64_t assignments_position(const struct assignments *assignments);
