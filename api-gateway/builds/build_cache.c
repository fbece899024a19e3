#include "api-gateway/builds/build_cache.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/ids.h"

static void free_build(struct shared *shared)
{
	free(CONTAINER_OF(shared, struct cached_build, shared));
}

void build_cache_keep(struct shared_map *map, const char *id, const char *project_name, const char *etag,
					  const void *body, size_t body_len, int64_t read_ms)
{
	if (body_len > BUILD_CACHE_MAX_BODY)
		return;
	size_t name_size = strlen(project_name) + 1;
	CHECK(strlen(etag) < ETAG_SIZE);
	struct cached_build *build = xmalloc(sizeof(*build) + name_size + body_len);
	shared_init(&build->shared, free_build);
	build->until_ms = read_ms + BUILD_CACHE_KEPT_MS;
	memcpy(build->etag, etag, strlen(etag) + 1);
	build->project_name = memcpy(build->room, project_name, name_size);
	build->body = memcpy(build->room + name_size, body, body_len);
	build->body_len = body_len;
	shared_map_put(map, id, UUID_TEXT_SIZE - 1, &build->shared);
	shared_unref(&build->shared);
}

struct cached_build *build_cache_find(struct shared_map *map, const char *id, int64_t now_ms)
{
	struct shared *found = shared_map_get(map, id, UUID_TEXT_SIZE - 1);
	struct cached_build *build = found != NULL ? CONTAINER_OF(found, struct cached_build, shared) : NULL;
	if (build != NULL && now_ms >= build->until_ms)
		cached_build_unref(&build);
	return build;
}

void cached_build_unref(struct cached_build **build)
{
	if (*build != NULL)
		shared_unref(&(*build)->shared);
	*build = NULL;
}
