#include "executor/daemon/janitor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "common/base/wakeup.h"
#include "executor/daemon/mirrors.h"
#include "executor/remove_tree.h"
#include "executor/trash.h"

#define IDLE_MS 60000
#define SLICE_MS 1000 /* then it looks whether it is to stop */
#define ARTIFACTS_EVERY_MS 3600000
#define MIRRORS_REST 100 /* times as long as looking at them took */
#define DAY_S 86400

struct janitor {
	const struct executor_config *config;
	struct artifact_store *store; /* NULL: none */
	int64_t artifacts_due_ms, mirrors_due_ms;
	struct wakeup wakeup;
	atomic_bool stop;
	pthread_t thread;
};

static void remove_entry(struct janitor *janitor, int trash_fd, const char *name)
{
	while (!atomic_load(&janitor->stop)) {
		struct error err = ERROR_INIT;
		if (remove_tree(trash_fd, name, clock_boot_ms() + SLICE_MS, &err) == 0)
			return;
		if (err.kind != ERR_TIMEOUT) {
			log_warn("trash cannot be removed", "name", name, "error", err.message, NULL);
			return; /* tried again when the thread wakes next */
		}
	}
}

static void empty_trash(struct janitor *janitor)
{
	CLEANUP(free_p) char *path = xasprintf("%s/trash", janitor->config->state_dir);
	DIR *dir = opendir(path);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL && !atomic_load(&janitor->stop);
		 entry = readdir(dir)) {
		if (!str_equal(entry->d_name, ".") && !str_equal(entry->d_name, ".."))
			remove_entry(janitor, dirfd(dir), entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
}

static bool is_stopped(void *ctx)
{
	struct janitor *janitor = ctx;
	return atomic_load(&janitor->stop);
}

/* Every executor of the store does it: it is the same whoever is first. */
static void remove_old_artifacts(struct janitor *janitor)
{
	struct artifact_store *store = janitor->store;
	if (store == NULL || janitor->config->artifacts_days == 0 || clock_boot_ms() < janitor->artifacts_due_ms)
		return;
	janitor->artifacts_due_ms = clock_boot_ms() + ARTIFACTS_EVERY_MS;
	int64_t before_s = clock_wall_us() / 1000000 - janitor->config->artifacts_days * DAY_S, removed = 0;
	struct error err = ERROR_INIT;
	if (store->remove_old(store, before_s, is_stopped, janitor, &removed, &err) < 0 && err.kind != ERR_CANCELLED)
		log_warn("old artifacts cannot be removed", "error", err.message, NULL);
	if (removed > 0)
		log_info("old artifacts removed", "contents", LOG_INT(removed), NULL);
}

/* Returns for how many milliseconds it may be left alone. Looking takes the longer the more there is, and is not to be
 * felt. */
static int limit_mirrors(struct janitor *janitor)
{
	int64_t begin_ms = clock_boot_ms();
	if (begin_ms < janitor->mirrors_due_ms) {
		int left_ms = clock_left_ms(janitor->mirrors_due_ms);
		return left_ms < IDLE_MS ? left_ms : IDLE_MS;
	}
	mirrors_limit(janitor->config, is_stopped, janitor);
	int64_t end_ms = clock_boot_ms();
	janitor->mirrors_due_ms = end_ms + (end_ms - begin_ms) * MIRRORS_REST;
	return IDLE_MS;
}

static void *work(void *arg)
{
	struct janitor *janitor = arg;
	while (!atomic_load(&janitor->stop)) {
		int wait_ms = limit_mirrors(janitor);
		empty_trash(janitor);
		remove_old_artifacts(janitor);
		(void)wakeup_wait(&janitor->wakeup, wait_ms); /* woken or not: it looks */
	}
	return NULL;
}

struct janitor *janitor_start(const struct executor_config *config, struct artifact_store *store)
{
	struct janitor *janitor = xcalloc(1, sizeof(*janitor));
	janitor->config = config;
	janitor->store = store;
	wakeup_init(&janitor->wakeup);
	struct error err = ERROR_INIT;
	CHECK(thread_start(&janitor->thread, "janitor", 0, work, janitor, &err) == 0);
	return janitor;
}

void janitor_wake(struct janitor *janitor)
{
	wakeup_signal(&janitor->wakeup);
}

bool janitor_stop(struct janitor *janitor, int64_t deadline_ms)
{
	atomic_store(&janitor->stop, true);
	wakeup_signal(&janitor->wakeup);
	if (!thread_join_until(janitor->thread, deadline_ms))
		return false;
	wakeup_release(&janitor->wakeup);
	free(janitor);
	return true;
}

static void discard_all(const char *state_dir, const char *folder, const char *part)
{
	CLEANUP(free_p) char *path = xasprintf("%s/%s", state_dir, folder);
	DIR *dir = opendir(path);
	for (struct dirent *entry = dir == NULL ? NULL : readdir(dir); entry != NULL; entry = readdir(dir)) {
		if (!str_equal(entry->d_name, ".") && !str_equal(entry->d_name, "..") && strstr(entry->d_name, part) != NULL)
			trash_move(state_dir, folder, entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir); /* read only */
}

void janitor_discard_leftovers(const char *state_dir)
{
	discard_all(state_dir, "work", "");
	discard_all(state_dir, "spares", "");
	discard_all(state_dir, "mirrors", ".git.new-");
}
