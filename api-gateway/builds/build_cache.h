/*
 * Ended builds as GET /builds/{id} has answered them within the last second: who asks again in that time is answered by
 * the loop. An ended build changes hardly ever (a commit that is found late, the end of its retention); nobody sees
 * such a change more than BUILD_CACHE_KEPT_MS late. Bounded in number and size. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api-gateway/http/etag.h"
#include "api-gateway/callers/shared_map.h"
#include "common/base/compiler.h"

#define BUILD_CACHE_KEPT_MS 1000
#define BUILD_CACHE_MAX_BODY ((size_t)16 * 1024) /* a longer one is read each time */

struct cached_build {
	struct shared shared; /* first */
	int64_t until_ms;
	char etag[ETAG_SIZE];
	const char *project_name;
	size_t body_len;
	const char *body;
	char room[]; /* of both */
};

/* `read_ms` (clock_boot_ms): before Postgres was asked. `id` is a valid one. */
void build_cache_keep(struct shared_map *map, const char *id, const char *project_name, const char *etag,
					  const void *body, size_t body_len, int64_t read_ms);
/* With a reference for the caller, or NULL: not known, or too old. */
struct cached_build *build_cache_find(struct shared_map *map, const char *id, int64_t now_ms);
void cached_build_unref(struct cached_build **build);
