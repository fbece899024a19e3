/*
 * Memory for the JSON trees of one thread that go together: of a batch of records, say. malloc and free of every node
 * cost more than to parse it. While the pool is open, all that cJSON takes on this thread comes from it, and what comes
 * from it is not given back one by one: cJSON_Delete does nothing to it.
 *
 * The thread that made the pool opens, closes and empties it, and deletes all trees that come from it. What does not
 * fit comes from malloc, as ever; trees may be of both.
 */
#pragma once

#include <stddef.h>

#include "common/base/compiler.h"

struct json_pool;

/* Makes pools possible. Before other threads use cJSON. */
void json_pool_prepare(void);

/* Enough for what comes in usual numbers. */
#define JSON_POOL_BYTES ((size_t)8 * 1024 * 1024)

/* The pool of the calling thread, which must have none. Bytes of address space; memory only as it is used. */
struct json_pool *json_pool_new(size_t bytes);
/* On that thread too, or when it has ended. No tree of it is left. */
void json_pool_free(struct json_pool *pool);

void json_pool_open(struct json_pool *pool);
/* Trees stay as they are, and new ones come from malloc. */
void json_pool_close(struct json_pool *pool);
/* Forgets all trees. Memory that was unusually much goes back to the system. */
void json_pool_empty(struct json_pool *pool);
