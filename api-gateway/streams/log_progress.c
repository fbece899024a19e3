#include "api-gateway/streams/log_progress.h"

#include <string.h>

#include "api-gateway/builds/build_lookup.h"
#include "api-gateway/gateway.h"
#include "api-gateway/streams/stream_place.h"
#include "api-gateway/streams/topic_tail.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kafka/topics.h"
#include "common/pg/pg.h"
#include "kiln_gateway_sql.h"

#define ASK_KAFKA_MS 500
#define WAIT_MS 1000
#define LOOK_AGAIN_MS 10

int log_progress_read(struct pg_conn *conn, const char *build_id, struct log_progress *ret_progress, struct error *err)
{
	CLEANUP(pg_result_p) PGresult *row = NULL;
	const char *partition = LOG_INT(stream_log_partition(build_id));
	if (pg_query(conn, &sql_stream_logs_place, PG_PARAMS(build_id, partition), 2, &row, err) < 0)
		return -1;
	const char *status = pg_text(row, 0, "status");
	ret_progress->build_ended = status != NULL && build_status_ended(status);
	ret_progress->applied = pg_int(row, 0, "next_offset", 0);
	return 0;
}

static int find_end(struct gateway *gateway, const char *build_id, int64_t timeout_ms, int64_t *ret_end,
					struct error *err)
{
	const struct kafka_position position = {.topic = TOPIC_BUILD_LOGS, .partition = stream_log_partition(build_id)};
	return topic_tail_ends(gateway->tail, &position, 1, (int)timeout_ms, ret_end, err);
}

int log_progress_end(struct gateway *gateway, const char *build_id, int64_t *ret_end, struct error *err)
{
	return find_end(gateway, build_id, ASK_KAFKA_MS, ret_end, err);
}

static int wait_applied(struct pg_conn *conn, const char *build_id, int64_t end, int64_t deadline_ms,
						enum wait_end *ret_end, struct error *err)
{
	for (;;) {
		struct log_progress progress;
		bool over = clock_boot_ms() >= deadline_ms; /* before the look: who gives up has looked once more */
		if (log_progress_read(conn, build_id, &progress, err) < 0) {
			*ret_end = WAIT_UNTOLD;
			return -1;
		}
		*ret_end = progress.applied >= end ? WAIT_CAME : WAIT_MISSED;
		if (over || *ret_end == WAIT_CAME)
			return 0;
		clock_pause_ms(LOOK_AGAIN_MS);
	}
}

static int wait_whole(struct gateway *gateway, struct pg_conn *conn, const char *build_id, enum wait_end *ret_end,
					  struct error *err)
{
	int64_t half_ms = gateway->config->request_timeout_ms / 2, wait_ms = half_ms < WAIT_MS ? half_ms : WAIT_MS;
	int64_t deadline_ms = clock_boot_ms() + wait_ms, log_end;
	struct error kafka_err = ERROR_INIT;
	*ret_end = WAIT_MISSED;
	if (find_end(gateway, build_id, wait_ms < ASK_KAFKA_MS ? wait_ms : ASK_KAFKA_MS, &log_end, &kafka_err) < 0) {
		log_warn("no end of a log partition", "build_id", build_id, "error", kafka_err.message, NULL);
		return 0;
	}
	return wait_applied(conn, build_id, log_end, deadline_ms, ret_end, err);
}

int log_progress_wait(struct gateway *gateway, struct pg_conn *conn, const char *build_id, struct error *err)
{
	struct send_limits *limits = &gateway->log_waits;
	struct send_wait wait;
	enum wait_end end;
	if (!send_limits_enter(limits, TOPIC_BUILD_LOGS, build_id, strlen(build_id), clock_boot_ms(), &wait))
		return 0;
	int rc = wait_whole(gateway, conn, build_id, &end, err);
	send_limits_leave(limits, &wait, end, clock_boot_ms());
	return rc;
}
