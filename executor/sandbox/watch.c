#include "executor/sandbox/watch.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "common/base/clock.h"
#include "executor/sandbox/cgroup.h"
#include "executor/sandbox/usage.h"

/* Between two looks at the processes: as long as a machine that takes pages at this rate needs to reach the limit. */
#define BYTES_PER_MS INT64_C(4000000)
#define MIN_LOOK_MS 20
#define MAX_LOOK_MS 500
/* The file system is asked often, since that costs nothing; the folders are walked when it has lost so much that the
 * limit may be reached, and now and then, since others may have given back what the agent took. */
#define DISK_LOOK_MS 250
#define WALK_MS 2000
#define WALK_SHARE 20 /* of the time that a walk takes: the rest until the next one is so many times longer, */
#define LEAP_SHARE 8  /* unless the file system has lost this part of the limit since */

void watch_init(struct watch *watch, const struct sandbox *sandbox, const struct sandbox_spec *spec,
				const struct sandboxed *sandboxed)
{
	*watch = (struct watch){.spec = spec,
							.pid = sandboxed->pid,
							.cgroup = sandboxed->cgroup,
							.processes_due_ms = INT64_MAX,
							.disk_due_ms = INT64_MAX};
	if (!sandbox->confines)
		return;
	int64_t now_ms = clock_boot_ms();
	watch->processes_due_ms = now_ms + MIN_LOOK_MS;
	watch->disk_due_ms = now_ms + DISK_LOOK_MS;
}

int64_t watch_due_ms(const struct watch *watch)
{
	return watch->processes_due_ms < watch->disk_due_ms ? watch->processes_due_ms : watch->disk_due_ms;
}

static bool memory_is_over(const struct watch *watch, int64_t *used)
{
	int64_t limit = watch->spec->config->agent_memory_bytes;
	if (*used <= limit)
		return false;
	*used = usage_exact_memory(watch->pid); /* what forks share was counted for each */
	return *used > limit;
}

static void say_memory(const struct watch *watch, char *why, size_t why_size)
{
	(void)snprintf(why, why_size, "the agent took more than %lld bytes of memory",
				   (long long)watch->spec->config->agent_memory_bytes);
}

static bool look_at_processes(struct watch *watch, int64_t now_ms, char *why, size_t why_size)
{
	const struct executor_config *config = watch->spec->config;
	struct process_usage usage;
	usage_of_processes(watch->pid, &usage);
	int64_t wait_ms = MAX_LOOK_MS;
	if (watch->cgroup == NULL) {
		if (memory_is_over(watch, &usage.memory_bytes)) {
			say_memory(watch, why, why_size);
			return true;
		}
		wait_ms = (config->agent_memory_bytes - usage.memory_bytes) / BYTES_PER_MS;
	}
	watch->processes_due_ms = now_ms + (wait_ms < MIN_LOOK_MS   ? MIN_LOOK_MS
										: wait_ms > MAX_LOOK_MS ? MAX_LOOK_MS
																: wait_ms);
	if (usage.cpu_ms <= config->agent_cpu_s * 1000)
		return false;
	(void)snprintf(why, why_size, "the agent took more than %lld s of processor time", (long long)config->agent_cpu_s);
	return true;
}

/* What the file system has lost to anybody. */
static bool read_file_system(const struct watch *watch, int64_t *ret_bytes, int64_t *ret_files)
{
	struct statvfs info;
	if (statvfs(watch->spec->files, &info) < 0)
		return false;
	*ret_bytes = (int64_t)(info.f_blocks - info.f_bfree) * (int64_t)info.f_frsize;
	*ret_files = (int64_t)(info.f_files - info.f_ffree);
	return true;
}

static void walk(struct watch *watch, int64_t now_ms)
{
	const struct sandbox_spec *spec = watch->spec;
	const char *const folders[] = {spec->files, spec->home, spec->tmp};
	const struct usage_limits limits = {.max_files = spec->config->agent_max_files};
	struct disk_usage usage = {.files = 0};
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		usage_add_folder(folders[i], &limits, &usage);
	usage_add_nameless(watch->pid, spec->files, spec->config->agent_max_files, &usage);
	watch->walked_bytes = usage.bytes;
	watch->walked_files = usage.files;
	watch->too_deep = usage.too_deep;
	int64_t took_ms = clock_boot_ms() - now_ms;
	watch->walk_due_ms = now_ms + (took_ms * WALK_SHARE > WALK_MS ? took_ms * WALK_SHARE : WALK_MS);
	watch->rest_ms = now_ms + took_ms * WALK_SHARE;
	watch->disk_due_ms = now_ms + took_ms + DISK_LOOK_MS;
}

static bool look_at_disk(struct watch *watch, int64_t now_ms, char *why, size_t why_size)
{
	const struct executor_config *config = watch->spec->config;
	int64_t bytes = 0, files = 0;
	bool known = read_file_system(watch, &bytes, &files);
	watch->disk_due_ms = now_ms + DISK_LOOK_MS;
	bool may_be_over = known && (watch->walked_bytes + bytes - watch->used_bytes > config->agent_disk_bytes ||
								 watch->walked_files + files - watch->used_files > config->agent_max_files);
	bool leap = known && bytes - watch->used_bytes > config->agent_disk_bytes / LEAP_SHARE;
	bool urgent = may_be_over && (leap || now_ms >= watch->rest_ms);
	if (!urgent && now_ms < watch->walk_due_ms)
		return false;
	walk(watch, now_ms);
	watch->used_bytes = bytes;
	watch->used_files = files;
	if (watch->walked_bytes > config->agent_disk_bytes) {
		(void)snprintf(why, why_size, "the agent's workspace, HOME and /tmp hold more than %lld bytes",
					   (long long)config->agent_disk_bytes);
		return true;
	}
	if (watch->walked_files > config->agent_max_files) {
		(void)snprintf(why, why_size, "the agent's workspace, HOME and /tmp hold more than %lld files",
					   (long long)config->agent_max_files);
		return true;
	}
	if (watch->too_deep) {
		(void)snprintf(why, why_size, "the agent's workspace, HOME or /tmp has folders more than %d deep",
					   USAGE_MAX_DEPTH);
		return true;
	}
	return false;
}

bool watch_look(struct watch *watch, int64_t now_ms, char *why, size_t why_size)
{
	if (now_ms >= watch->processes_due_ms && look_at_processes(watch, now_ms, why, why_size))
		return true;
	return now_ms >= watch->disk_due_ms && look_at_disk(watch, now_ms, why, why_size);
}

bool watch_explains_end(const struct watch *watch, char *why, size_t why_size)
{
	if (watch->cgroup == NULL || !cgroup_was_out_of_memory(watch->cgroup))
		return false;
	say_memory(watch, why, why_size);
	return true;
}
