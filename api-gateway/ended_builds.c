#include "api-gateway/ended_builds.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/ids.h"

static void free_build(struct shared *shared)
{
	free(CONTAINER_OF(shared, struct ended_build, shared));
}

void ended_builds_keep(struct shared_map *map, const char *id, const char *project_name, const char *etag,
					   const void *body, size_t body_len, int64_t read_ms)
{
	if (body_len > ENDED_BUILDS_MAX_BODY)
		return;
	size_t name_size = strlen(project_name) + 1;
	CHECK(strlen(etag) < ETAG_SIZE);
	struct ended_build *build = xmalloc(sizeof(*build) + name_size + body_len);
	shared_init(&build->shared, free_build);
	build->until_ms = read_ms + ENDED_BUILDS_KEPT_MS;
	memcpy(build->etag, etag, strlen(etag) + 1);
	build->project_name = memcpy(build->room, project_name, name_size);
	build->body = memcpy(build->room + name_size, body, body_len);
	build->body_len = body_len;
	shared_map_put(map, id, UUID_TEXT_SIZE - 1, &build->shared);
	shared_unref(&build->shared);
}

struct ended_build *ended_builds_find(struct shared_map *map, const char *id, int64_t now_ms)
{
	struct shared *found = shared_map_get(map, id, UUID_TEXT_SIZE - 1);
	struct ended_build *build = found != NULL ? CONTAINER_OF(found, struct ended_build, shared) : NULL;
	if (build != NULL && now_ms >= build->until_ms)
		ended_build_unref(&build);
	return build;
}

void ended_build_unref(struct ended_build **build)
{
	if (*build != NULL)
		shared_unref(&(*build)->shared);
	*build = NULL;
}
