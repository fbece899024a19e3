/*
 * The topics of common/kafka/topics.h: made when they are missing, checked and corrected when they are there. A topic
 * with another number of partitions is refused: keys would move, and with them what the services own.
 */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "migrate/kafka_admin.h"

/* replication 0: min(3, brokers). */
int topics_ensure(struct kafka_admin *admin, int replication, struct error *err) MUST_CHECK;
