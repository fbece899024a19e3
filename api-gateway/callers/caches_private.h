/* Shared inside of caches*.c only: caches.c has what is in memory, caches_refresh.c what is asked for it,
 * caches_follow.c the thread that asks. */
#pragma once

#include <pthread.h>

#include "api-gateway/callers/caches.h"
#include "api-gateway/callers/shared_map.h"
#include "common/base/wakeup.h"

#define CACHES_MAX_TOKENS 100000
#define CACHES_MAX_PROJECTS 100000
#define CACHES_MAX_TEMPLATES 2000                    /* keys: a version by itself and, of the newest, the name */
#define CACHES_MAX_BYTES ((size_t)128 * 1024 * 1024) /* of tokens, of projects by id, of projects by name */
#define CACHES_MAX_TEMPLATE_BYTES ((size_t)64 * 1024 * 1024)
#define CACHES_SECRET_MAX 64

/* How far a walk over everything has come: kinds before `kind`, and of it what lies before `last`. */
struct reload {
	bool under_way;
	int64_t began_ms;
	size_t kind, rows, bytes; /* rows and bytes: of `kind`, so far */
	char last[80];
};

struct caches {
	struct shared_map *tokens; /* by hash */
	struct shared_map *projects_by_id;
	struct shared_map *projects_by_name;
	struct shared_map *templates; /* by NAME@VERSION, and the newest by NAME */

	/* How often the thread has looked for changes. What a worker read before a look may be older than what was found
	 * by it: it is put only if there was none meanwhile. */
	pthread_mutex_t looks_lock;
	uint64_t looks;

	_Atomic bool stop, up;
	_Atomic size_t secret_len;
	uint8_t secret[CACHES_SECRET_MAX]; /* written once, before secret_len */

	/* The thread's. */
	struct pg_conn *conn;
	pthread_t thread;
	struct wakeup wakeup;          /* signalled to stop */
	unsigned listening_generation; /* of the connection that LISTENs */
	int64_t refreshed_ms, reloaded_ms;
	bool reload_due; /* another one, behind the one that is under way */
	struct reload reload;
	bool complained; /* of a database that was away from the start */
};

void caches_drop_project(struct caches *caches, const char *id, const char *name);

/* The thread, between what it has read of changes and what it makes of that. */
void caches_looked(struct caches *caches);

/* The thread. What changed lately, as far as memory does not have it. ERR_TIMEOUT: a statement took too long. */
int caches_refresh(struct caches *caches, struct error *err) MUST_CHECK;
/* The thread. Everything, page by page, with a refresh about each second; what is gone from Postgres goes from here. One
 * that fails goes on where it was when it is called again: on a slow Postgres it would never come to its end. */
int caches_reload(struct caches *caches, struct error *err) MUST_CHECK;
/* The thread. Whether Postgres answers the smallest question: also where the secret comes from. */
int caches_ask_secret(struct caches *caches, struct error *err) MUST_CHECK;

/* Starts and ends the thread; the caches stay. Not NULL. */
int caches_follow_start(struct caches *caches, struct error *err) MUST_CHECK;
void caches_follow_stop(struct caches *caches);
