#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/kafka/topics.h"
#include "executor/daemon/sender.h"
#include "tests/bench/sim/sim.h"

struct report {
	struct list_node node;
	const char *type;
	char build_id[UUID_TEXT_SIZE], id[UUID_TEXT_SIZE];
	struct buffer body;
};

void reports_flush(struct sim *sim, struct sim_worker *worker)
{
	worker->waiting_us = INT64_MAX;
	LIST_FOR_EACH (node, &worker->waiting) {
		struct report *report = LIST_ITEM(node, struct report, node);
		sim_send(sim->results, TOPIC_BUILD_RESULTS, report->build_id, report->id, report->type, &report->body, NULL,
				 NULL);
		list_remove(node);
		buffer_release(&report->body);
		free(report);
	}
}

void report_later(struct attempt *attempt, const char *type, struct buffer body)
{
	struct sim_worker *worker = attempt->worker;
	struct report *report = xmalloc(sizeof(*report));
	*report = (struct report){.type = type, .body = body};
	uuid_v4(report->id);
	memcpy(report->build_id, attempt->build_id, sizeof(report->build_id));
	if (list_empty(&worker->waiting))
		worker->waiting_us = clock_boot_us() + INT64_C(1000) * SENDER_PATIENCE_MS;
	list_append(&worker->waiting, &report->node);
}
