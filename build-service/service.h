/* What the threads of one build service share. Made by main before any of them starts; the pointers do not change
 * afterwards. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "build-service/barrier.h"
#include "build-service/config.h"
#include "build-service/retries.h"
#include "build-service/vacancies.h"
#include "common/base/wakeup.h"
#include "common/json/schema.h"
#include "common/kafka/producer.h"
#include "common/pg/outbox.h"
#include "common/pg/pg.h"
#include "common/pg/watch.h"

struct deadlines;
struct releases;

#define CONSUMER_NAME "kiln-build-service"
#define LOG_CONSUMER_NAME "kiln-log-store"
#define SERVICE_SOURCE "/kiln/build-service"

struct service {
	const struct service_config *config;
	struct retry_policy policy;
	struct pg_settings pg;
	struct pg_watch *watch;
	struct kafka_settings kafka;
	struct kafka_producer *commands; /* attempt.assign and its like; gives up early, heartbeats repeat */
	struct releases *releases;       /* of `commands` */
	struct partition_ends ends;      /* by records of `commands` */
	struct kafka_producer *events;   /* the relay's; never gives up */
	struct schema_set *schemas;
	struct deadlines *deadlines;
	struct outbox_relay *relay;
	_Atomic int32_t epoch;    /* of the deployment; -1 = not read yet, or a restore is being caught up with */
	_Atomic uint64_t batches; /* committed; tells main whether the service is idle */
	/* At the dispatcher's last look builds waited for a slot, or were parked: a slot that is given back, or a place in a
	 * project, is wanted now. */
	_Atomic bool waiting, parked;
	struct vacancies vacancies;
	struct wakeup dispatch; /* signalled after each commit that queued a build or freed a slot */
};
