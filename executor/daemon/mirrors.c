#include "executor/daemon/mirrors.h"

#include <stdlib.h>
#include <sys/statvfs.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "executor/git/mirror.h"
#include "executor/git/mirror_lock.h"
#include "executor/sandbox/usage.h"

#define MAX_FILES 100000000
#define DISK_SHARE 2 /* by default a half of it */
#define DAY_US INT64_C(86400000000)

struct mirror_found {
	char *path;
	int64_t used_us, bytes;
};

struct mirrors_found {
	const struct usage_limits *limits;
	struct mirror_found *items;
	size_t len, size;
};

/* More than mirror_each gives are not looked at before some of these have gone. */
static bool add(void *ctx, const char *path)
{
	struct mirrors_found *found = ctx;
	if (found->limits->is_stopped(found->limits->ctx))
		return false;
	if (found->len == found->size) {
		found->size = found->size > 0 ? found->size * 2 : 64;
		found->items = xreallocarray(found->items, found->size, sizeof(found->items[0]));
	}
	found->items[found->len++] = (struct mirror_found){.path = xstrdup(path), .used_us = mirror_last_used_us(path)};
	return true;
}

static int by_last_use(const void *a, const void *b)
{
	int64_t left = ((const struct mirror_found *)a)->used_us, right = ((const struct mirror_found *)b)->used_us;
	return left < right ? -1 : left > right;
}

static int64_t allowed_bytes(const struct executor_config *config)
{
	struct statvfs disk;
	if (config->mirrors_bytes > 0)
		return config->mirrors_bytes;
	if (statvfs(config->state_dir, &disk) < 0 || disk.f_blocks == 0)
		return INT64_MAX; /* it does not say how large it is */
	return (int64_t)(disk.f_blocks / DISK_SHARE) * (int64_t)disk.f_frsize;
}

static bool retire(const struct executor_config *config, const struct mirror_found *mirror, bool unused)
{
	struct error err = ERROR_INIT;
	int none = -1;
	if (mirror_retire(mirror->path, config->state_dir, &none, &err) == 0) {
		log_info("mirror removed", "path", mirror->path, "bytes", LOG_INT(mirror->bytes), "because",
				 unused ? "no build has used it for long" : "mirrors take too much room", NULL);
		return true;
	}
	if (err.kind != ERR_CONFLICT) /* in use */
		log_warn("a mirror cannot be removed", "path", mirror->path, "error", err.message, NULL);
	return false;
}

/* Of git: a mirror that is packed is there twice for a while, for which no other one is to go. */
static bool is_temporary(const char *name)
{
	return str_starts(name, "tmp_") || str_starts(name, ".tmp-");
}

void mirrors_limit(const struct executor_config *config, bool (*is_stopped)(void *ctx), void *ctx)
{
	int64_t total = 0, allowed = allowed_bytes(config), days = config->mirrors_days;
	int64_t unused_us = days > 0 ? clock_wall_us() - days * DAY_US : INT64_MIN;
	const struct usage_limits limits = {
		.max_files = MAX_FILES, .is_stopped = is_stopped, .ctx = ctx, .is_left_out = is_temporary};
	struct mirrors_found found = {.limits = &limits};
	mirror_each(config->state_dir, add, &found);
	for (size_t i = 0; i < found.len && !is_stopped(ctx); i++) {
		struct disk_usage usage = {.bytes = 0};
		usage_add_folder(found.items[i].path, &limits, &usage);
		found.items[i].bytes = usage.bytes;
		total += usage.bytes;
	}
	if (found.len > 0)
		qsort(found.items, found.len, sizeof(found.items[0]), by_last_use);
	for (size_t i = 0; i < found.len && !is_stopped(ctx); i++) {
		const struct mirror_found *mirror = &found.items[i];
		bool unused = mirror->used_us < unused_us;
		if ((unused || total > allowed) && retire(config, mirror, unused))
			total -= mirror->bytes;
	}
	for (size_t i = 0; i < found.len; i++)
		free(found.items[i].path);
	free(found.items);
}
