/*
 * Where the last build requests lie that this gateway has sent. The tail reads them back like everybody's, and knows by
 * this what they are: to look at a record's type librdkafka makes a list of all its headers, which costs more than all
 * else that the tail does.
 *
 * Of a fixed size: a newer one may take the place of one that was not read yet, whose type is then looked at.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct own_records;

struct own_records *own_records_new(void);
void own_records_free(struct own_records *own);

/* Any thread: the build.requested of this id was acknowledged. */
void own_records_add(struct own_records *own, const char *id, int32_t partition, int64_t offset);
/* Any thread: whether the record there, with this id (36 characters, without a NUL) as its key, is one of them. */
bool own_records_has(struct own_records *own, const char *id, int32_t partition, int64_t offset);
