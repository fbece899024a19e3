#include "common/json/json_pool.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "common/base/alloc.h"

#define ALIGNMENT 16
#define KEPT_BYTES ((size_t)512 * 1024)

struct json_pool {
	char *memory;
	size_t size, used;
	bool open;
};

static bool prepared;
static _Thread_local struct json_pool *mine;

static void *take(size_t size)
{
	struct json_pool *pool = mine;
	size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (pool == NULL || !pool->open || rounded < size || rounded > pool->size - pool->used)
		return malloc(size);
	void *taken = pool->memory + pool->used;
	pool->used += rounded;
	return taken;
}

static void give(void *memory)
{
	const struct json_pool *pool = mine;
	if (pool == NULL || (uintptr_t)memory - (uintptr_t)pool->memory >= pool->size)
		free(memory);
}

void json_pool_prepare(void)
{
	cJSON_Hooks hooks = {.malloc_fn = take, .free_fn = give};
	cJSON_InitHooks(&hooks);
	prepared = true;
}

struct json_pool *json_pool_new(size_t bytes)
{
	CHECK(prepared && mine == NULL);
	struct json_pool *pool = xcalloc(1, sizeof(*pool));
	pool->size = bytes;
	pool->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(pool->memory != MAP_FAILED);
	mine = pool;
	return pool;
}

void json_pool_free(struct json_pool *pool)
{
	if (pool == NULL)
		return;
	if (mine == pool)
		mine = NULL;
	CHECK(munmap(pool->memory, pool->size) == 0);
	free(pool);
}

void json_pool_open(struct json_pool *pool)
{
	CHECK(mine == pool);
	pool->open = true;
}

void json_pool_close(struct json_pool *pool)
{
	pool->open = false;
}

void json_pool_empty(struct json_pool *pool)
{
	if (pool->used > KEPT_BYTES)
		(void)madvise(pool->memory + KEPT_BYTES, pool->size - KEPT_BYTES, MADV_DONTNEED); /* only costs memory */
	pool->used = 0;
}
