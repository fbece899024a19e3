/*
 * What a transaction has to publish, by name: its outbox rows say of which builds which events, and the relay reads
 * these from the trail (docs/protocol.md section 3; migrations/0015_outbox_names.sql).
 */
#pragma once

#include "build-service/build.h"
#include "common/pg/outbox.h"
#include "common/pg/rows.h"

/* A row for so many builds stays whole in its table's page. */
#define OUTBOX_PART_BUILDS 64
/* A row is read and published at once. It ends with the build that reaches this, whose events may be larger. */
#define OUTBOX_PART_BYTES ((size_t)1024 * 1024)

#define OUTBOX_NAME_COLUMNS 6

struct outbox_names {
	struct rows rows; /* the last columns of insert_trail.sql */
	struct outbox_part {
		int32_t number;
		size_t builds, bytes;
	} parts[OUTBOX_SHARDS];
};

void outbox_names_init(struct outbox_names *names);
void outbox_names_release(struct outbox_names *names);
void outbox_names_clear(struct outbox_names *names);
/* The build's events of this transaction; nothing when it has none. Once for each build. */
void outbox_names_add(struct outbox_names *names, const struct build *build);
