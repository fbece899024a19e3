/*
 * Tokens, projects and templates in memory, so that builds are accepted without asking Postgres, and while it is away.
 * One thread reads what changed: when a writer says so (the channel kiln_caches) and once a second; everything at
 * first, after an outage, and every ten minutes. What a request misses is looked up and put in (fill.h), templates only
 * so; what this gateway writes it puts in itself. Bounded in number and bytes; nothing is kept on disk.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api-gateway/callers/entities.h"
#include "api-gateway/gateway.h"
#include "common/pg/pg.h"

int caches_start(struct gateway *gateway, struct caches **ret_caches, struct error *err) MUST_CHECK;
/* Ends the thread and frees them. Takes NULL. */
void caches_stop(struct caches *caches);

/* With a reference for the caller; NULL when not in memory. Any thread. */
struct api_token *caches_token(struct caches *caches, const uint8_t hash[SHA256_SIZE]);
/* For what goes on for long: false when it has expired or been revoked, and when it was lost from memory, which was
 * full: then the client comes again. */
bool caches_token_works(struct caches *caches, const struct api_token *token);
struct project *caches_project(struct caches *caches, const char *id_or_name);
/* NAME (the newest version) or NAME@VERSION. */
struct template *caches_template(struct caches *caches, const char *reference);

void caches_put_token(struct caches *caches, struct api_token *token);
void caches_drop_token(struct caches *caches, const uint8_t hash[SHA256_SIZE]);
/* A deleted one is taken out; an older version than the one in memory is ignored. */
void caches_put_project(struct caches *caches, struct project *project);
/* The newest of its name, as far as is known. */
void caches_put_template(struct caches *caches, struct template *template);

/* Look-ups in Postgres that put what they find into memory, unless the thread may know better by now. 0 with NULL:
 * there is none. */
int caches_load_token(struct caches *caches, struct pg_conn *conn, const uint8_t hash[SHA256_SIZE],
					  struct api_token **ret, struct error *err) MUST_CHECK;
int caches_load_project(struct caches *caches, struct pg_conn *conn, const char *id_or_name, struct project **ret,
						struct error *err) MUST_CHECK;
int caches_load_template(struct caches *caches, struct pg_conn *conn, const char *reference, struct template **ret,
						 struct error *err) MUST_CHECK;

/* The deployment's secret for Idempotency-Key, 32 bytes or more; NULL until Postgres has been read once. Static from
 * then on. */
const uint8_t *caches_secret(struct caches *caches, size_t *ret_len);

/* By the last look, at most about a second ago; a statement of the thread's that takes too long is not an absence. Any
 * thread. */
bool caches_database_up(struct caches *caches);
