/*
 * Ids of new builds: UUIDv7, whose last digits are chosen so that builds of the same moment share a partition.
 *
 * The id is the key of all of a build's records, and the key decides on their partition. With random ids the builds of
 * one moment lie on all partitions of a topic, and librdkafka sends, and the broker appends and syncs, a request for
 * each partition: at a thousand builds a second almost every record was a request of its own. Sharing a partition, they
 * share requests, and so do their events and results after them. The next moment has another partition, at random, so
 * that in any second all of them carry the same load (Kafka's own clients do the same for records without a key:
 * KIP-480).
 */
#pragma once

#include "common/base/ids.h"

#define BUILD_ID_MOMENT_MS 10

/* From the caller's random bits. Any thread. */
void build_id_new(const uint8_t random[8], char ret[UUID_TEXT_SIZE]);
