#include "build-service/refill.h"

#include "build-service/counters.h"
#include "common/base/clock.h"

/* Whatever it was, the batch is applied without it next: it must not keep the records waiting. */
#define PAUSE_MS 5000

void refill_init(struct refill *refill, struct service *service)
{
	*refill = (struct refill){.tried = false};
	match_run_init(&refill->run, service, NULL);
}

void refill_release(struct refill *refill)
{
	match_run_release(&refill->run);
}

void refill_begin(struct refill *refill)
{
	refill->tried = false;
	refill->may = clock_boot_ms() >= refill->not_before_ms;
}

/* Its slots are wanted, or its places in projects. */
static bool is_wanted(const struct service *service, const struct build_set *set)
{
	return (set->released.len > 0 && atomic_load(&service->waiting)) ||
		   (set->vacated.len > 0 && atomic_load(&service->parked));
}

bool refill_plan(struct refill *refill, struct build_set *set, struct pg_conn *tx, struct pg_pipeline *pipeline)
{
	const struct service *service = refill->run.service;
	if (!refill->may || !is_wanted(service, set) || atomic_load(&service->epoch) < 0)
		return false;
	refill->run.conn = tx;
	refill->tried = true;
	match_run_plan(&refill->run, &set->vacated, pipeline);
	return true;
}

int refill_commit(struct refill *refill, PGresult *const *results, struct error *err)
{
	struct match_run *run = &refill->run;
	struct pg_pipeline pipeline;
	int parked;
	if (match_run_take(run, results, err) < 0)
		return -1;
	pg_pipeline_init(&pipeline, run->conn);
	match_run_pipeline_store(run, &pipeline, &parked);
	return pg_pipeline_commit(&pipeline, err);
}

bool refill_committed(struct refill *refill)
{
	if (!refill->tried)
		return false;
	bool complete = match_run_is_complete(&refill->run);
	metric_add(&counter_refilled, (int64_t)refill->run.assigned);
	metric_add(&counter_refill_misses, !complete);
	if (refill->run.unparked > 0)
		atomic_store(&refill->run.service->waiting, true); /* until the dispatcher has looked */
	match_run_committed(&refill->run);
	return complete;
}

bool refill_has_unparked(const struct refill *refill)
{
	return refill->tried && match_run_has_unparked(&refill->run);
}

void refill_failed(struct refill *refill, const struct error *err)
{
	if (!refill->tried)
		return;
	refill->not_before_ms = clock_boot_ms() + PAUSE_MS;
	match_run_failed(&refill->run, err);
	wakeup_signal(&refill->run.service->dispatch); /* others passed over what it had locked */
}
