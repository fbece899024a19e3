/* An inbox on a thread of its own, whose handler writes each record into the table `applied` and does what the record's
 * data says. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "common/pg/inbox.h"
#include "services.h"

/* What a record may say. */
#define SAY_POISON_SQL "poison-sql"         /* fails with SQLSTATE 22P02 */
#define SAY_POISON_INVALID "poison-invalid" /* fails with ERR_INVALID */
#define SAY_TOO_MUCH "too-much"             /* several in one transaction fail with SQLSTATE 57014 */
#define SAY_SLOW_COMMIT "slow-commit"       /* the COMMIT takes longer than the connection waits for its answer */
#define SAY_URGENT "urgent"                 /* somebody waits for it, where member_start_patient was called */
#define SAY_FREEZE "freeze" /* the process stops itself (SIGSTOP) inside of the transaction, the first time */

struct member {
	struct inbox *inbox;
	pthread_t thread;
	_Atomic int taken, lost, applied, committed, ticks;
};

/* `applied` and what SAY_SLOW_COMMIT needs. */
void member_tables(const struct test_database *database);
void member_start(struct member *member, const struct test_database *database, const char *consumer,
				  const char *const *topics, size_t topics_len, int call_timeout_ms);
/* As member_start, but what is not urgent waits for others for a minute. */
void member_start_patient(struct member *member, const struct test_database *database, const char *consumer,
						  const char *const *topics, size_t topics_len);
void member_stop(struct member *member);

int64_t applied_rows(const struct test_database *database);
int64_t applied_distinct(const struct test_database *database);
