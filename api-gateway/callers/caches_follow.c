/*
 * The caches' thread: it looks for changes when whoever makes one says so, and once a second in any case. Every write
 * of what the caches hold has a pg_notify of the channel kiln_caches in its statement, so that it is told with its
 * commit (sql/project-update.sql and others).
 */
#include "api-gateway/callers/caches_private.h"

#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/metrics.h"
#include "common/base/thread.h"

#define REFRESH_MS 1000
#define RELOAD_MS ((int64_t)10 * 60 * 1000)
#define CATCH_UP_MS 15000
/* Changes that come together are one refresh: after each there is a rest, as long as it took and at least this long. */
#define REST_MS 20

static struct metric up_gauge = {
	.kind = METRIC_GAUGE, .name = "kiln_gateway_database_up", .help = "1 while Postgres answers."};

static void set_up(struct caches *caches, bool up, const struct error *err)
{
	if (atomic_exchange(&caches->up, up) == up)
		return;
	metric_set(&up_gauge, up);
	if (up)
		log_info("database answers", NULL);
	else
		log_warn("database is away", "error", err->message, NULL);
}

/* What was told while nobody listened is lost. */
static int listen_again(struct caches *caches, struct error *err)
{
	unsigned before = caches->listening_generation;
	int rc = pg_listen(caches->conn, "kiln_caches", &caches->listening_generation, err);
	caches->reload_due |= caches->listening_generation != before;
	return rc;
}

static int look(struct caches *caches, struct error *err)
{
	if (listen_again(caches, err) < 0)
		return -1;
	int64_t now_ms = clock_boot_ms();
	if (now_ms - caches->refreshed_ms > CATCH_UP_MS) { /* what was read before that may be revoked by now */
		caches->reload.under_way = false;
		caches->reload_due = true;
	}
	caches->reload_due |= !caches->reload.under_way && now_ms - caches->reloaded_ms > RELOAD_MS;
	/* First in any case: a reload that fails on its way has not looked at what was revoked. */
	if (caches_refresh(caches, err) < 0)
		return -1;
	if (caches->reloaded_ms != 0) /* a reload takes many questions, and what it would find is looked up meanwhile */
		set_up(caches, true, err);
	bool is_due = caches->reload_due || caches->reload.under_way;
	return is_due ? caches_reload(caches, err) : 0;
}

/* A statement that took too long (a locked table, say) says nothing of others: whether Postgres answers, the smallest
 * question tells. */
static void not_looked(struct caches *caches, const struct error *err)
{
	struct error away = ERROR_INIT;
	bool up = err->kind == ERR_TIMEOUT && caches_ask_secret(caches, &away) == 0;
	if (up)
		log_warn("caches are not refreshed", "error", err->message, NULL);
	else if (!caches->complained && !caches_database_up(caches)) /* it was away from the start */
		log_warn("database is away", "error", err->message, NULL);
	set_up(caches, up, err->kind == ERR_TIMEOUT ? &away : err);
}

/* A project that was removed has no row that would tell of it, and one that has become permanent may have been changed
 * long ago: their ids and names come with the notification, and who asks for one next has it read. */
static void take_word(void *ctx, const char *word)
{
	struct caches *caches = ctx;
	const size_t id_len = UUID_TEXT_SIZE - 1;
	char id[UUID_TEXT_SIZE];
	if (strlen(word) <= id_len || word[id_len] != ' ')
		return;
	memcpy(id, word, id_len);
	id[id_len] = '\0';
	caches_looked(caches);
	caches_drop_project(caches, id, word + id_len + 1);
}

/* Until somebody has changed something, or the time is over, or this is the end. */
static void wait_for_change(struct caches *caches, int64_t began_ms)
{
	int64_t now_ms = clock_boot_ms(), rest_ms = now_ms - began_ms;
	int64_t deadline_ms = now_ms + REFRESH_MS;
	rest_ms = rest_ms < REST_MS ? REST_MS : rest_ms > REFRESH_MS ? REFRESH_MS : rest_ms;
	(void)wakeup_wait(&caches->wakeup, (int)rest_ms); /* woken only to stop, which is looked at below */
	const struct pg_notified wait = {
		.wakeup = &caches->wakeup, .stop = &caches->stop, .each = take_word, .ctx = caches};
	pg_wait_notified(caches->conn, &wait, deadline_ms);
}

static void *follow(void *arg)
{
	struct caches *caches = arg;
	while (!atomic_load(&caches->stop)) {
		int64_t began_ms = clock_boot_ms();
		struct error err = ERROR_INIT;
		if (look(caches, &err) == 0)
			set_up(caches, true, &err);
		else if (!atomic_load(&caches->stop))
			not_looked(caches, &err);
		caches->complained = true;
		wait_for_change(caches, began_ms);
	}
	return NULL;
}

int caches_follow_start(struct caches *caches, struct error *err)
{
	wakeup_init(&caches->wakeup);
	metric_register(&up_gauge);
	caches->reload_due = true;
	if (thread_start(&caches->thread, "gateway-caches", 0, follow, caches, err) == 0)
		return 0;
	wakeup_release(&caches->wakeup);
	return -1;
}

void caches_follow_stop(struct caches *caches)
{
	atomic_store(&caches->stop, true);
	wakeup_signal(&caches->wakeup);
	thread_join(caches->thread);
	wakeup_release(&caches->wakeup);
}
