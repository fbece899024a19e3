/*
 * Idempotency-Key: the id of a build that was posted with a key is a function of who posted what where, so that every
 * gateway gives the same request the same id without asking anybody (docs/contract.md).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/ids.h"

#define IDEMPOTENCY_KEY_MAX 255

/* The header's value: a structured-field string in quotes, or the bare text, of 1 to 255 printable ASCII characters.
 * The key without quotes and escapes goes to `ret`. ERR_INVALID. */
int idempotency_key_read(const char *value, size_t len, char ret[IDEMPOTENCY_KEY_MAX + 1],
						 struct error *err) MUST_CHECK;

/* HMAC-SHA-256(secret; length-prefixed owner, route, scope, key); `scope` is what the route's path names. */
void idempotency_digest(const void *secret, size_t secret_len, const char *owner, const char *route, const char *scope,
						const char *key, uint8_t ret[SHA256_SIZE]);
/* UUIDv8 of HMAC-SHA-256(secret; length-prefixed owner, route, project_id, key). */
void idempotency_build_id(const void *secret, size_t secret_len, const char *owner, const char *route,
						  const char *project_id, const char *key, char ret[UUID_TEXT_SIZE]);
