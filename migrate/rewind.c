#include "migrate/rewind.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "common/kafka/cloudevent.h"
#include "common/kafka/consumer.h"
#include "kiln_migrate_sql.h"

#define CALL_MS 5000
#define POLL_MS 200

enum judgement {
	SOUND,
	ANOTHER_CLUSTER,
	LOST,      /* the log begins above the offset */
	TRUNCATED, /* it ends below */
	REPLACED,  /* the record before the offset is not the one that was applied */
	UNREAD,    /* that record is still to be looked at */
};
static const char *const reasons[] = {"sound",
									  "the offset is of another cluster",
									  "the log begins above the offset: records were lost unread",
									  "the log ends below the offset",
									  "the record before the offset is not the one that was applied",
									  ""};

/* All offset rows, and what the brokers say about each. Arrays are as long as `rows`. */
struct survey {
	PGresult *rows;
	size_t len;
	struct kafka_consumer *consumer;
	const char *cluster;
	struct kafka_position *positions;
	int64_t *lows, *highs;
	enum judgement *judgements;
};

static void survey_release(struct survey *survey)
{
	if (survey->consumer != NULL)
		kafka_consumer_free(survey->consumer);
	PQclear(survey->rows);
	free(survey->positions);
	free(survey->lows);
	free(survey->highs);
	free(survey->judgements);
}

static int64_t next_offset(const struct survey *survey, size_t i)
{
	return pg_int(survey->rows, (int)i, "next_offset", 0);
}

/* By watermarks alone; the rest is for the record before the offset to tell. As inbox_offsets.c does. */
static enum judgement judge(const struct survey *survey, size_t i)
{
	const char *cluster = pg_text(survey->rows, (int)i, "cluster_id");
	const char *ce_id = pg_text(survey->rows, (int)i, "last_ce_id");
	int64_t next = next_offset(survey, i);

	if (cluster != NULL && !str_equal(cluster, survey->cluster))
		return ANOTHER_CLUSTER;
	if (survey->lows[i] > next)
		return LOST;
	if (survey->highs[i] < next)
		return TRUNCATED;
	return survey->lows[i] < next && ce_id != NULL && ce_id[0] != '\0' ? UNREAD : SOUND;
}

/* The brokers may still be electing leaders. */
static int ask_brokers(struct survey *survey, int64_t deadline_ms, struct error *err)
{
	do {
		survey->cluster = kafka_cluster_id(survey->consumer, CALL_MS);
		if (survey->cluster == NULL)
			(void)error_set(err, ERR_UNAVAILABLE, "kafka: no cluster id yet"); /* used below */
		else if (kafka_watermarks_of(survey->consumer, survey->positions, survey->len, CALL_MS, survey->lows,
									 survey->highs, err) == 0)
			return 0;
	} while (clock_left_ms(deadline_ms) > 0);
	return error_prefix(err, "Kafka is not there");
}

/* Is the record before the offset the one that was applied last? */
static int judge_record(struct survey *survey, size_t i, int64_t deadline_ms, struct error *err)
{
	const struct kafka_position before = {.topic = survey->positions[i].topic,
										  .partition = survey->positions[i].partition,
										  .offset = next_offset(survey, i) - 1};
	rd_kafka_message_t *message = NULL;
	struct cloudevent_in event = {.sequence = 0};
	struct error illegible = ERROR_INIT;

	if (kafka_tail_assign(survey->consumer, &before, 1, err) < 0)
		return -1;
	do {
		message = kafka_consumer_poll(survey->consumer, POLL_MS, err);
		if (message == NULL && err->kind != ERR_NONE)
			return -1;
	} while (message == NULL && clock_left_ms(deadline_ms) > 0);
	if (message == NULL)
		return error_set(err, ERR_TIMEOUT, "kafka: no record of %s/%d came", before.topic, before.partition);
	bool same = message->offset == before.offset && cloudevent_read(message, &event, &illegible) == 0 &&
				str_equal(event.id, pg_text(survey->rows, (int)i, "last_ce_id"));
	survey->judgements[i] = same ? SOUND : REPLACED;
	rd_kafka_message_destroy(message);
	return 0;
}

static int look(struct survey *survey, struct pg_conn *conn, const struct kafka_settings *kafka, int64_t deadline_ms,
				struct error *err)
{
	if (pg_query(conn, &sql_rewind_rows, NULL, 0, &survey->rows, err) < 0)
		return -1;
	survey->len = (size_t)PQntuples(survey->rows);
	survey->positions = xcalloc(survey->len + 1, sizeof(*survey->positions));
	survey->lows = xcalloc(survey->len + 1, sizeof(*survey->lows));
	survey->highs = xcalloc(survey->len + 1, sizeof(*survey->highs));
	survey->judgements = xcalloc(survey->len + 1, sizeof(*survey->judgements));
	for (size_t i = 0; i < survey->len; i++)
		survey->positions[i] =
			(struct kafka_position){.topic = pg_text(survey->rows, (int)i, "topic"),
									.partition = (int32_t)pg_int(survey->rows, (int)i, "partition", 0)};
	if (kafka_tail_new(kafka, survey->positions, 0, &survey->consumer, err) < 0 ||
		ask_brokers(survey, deadline_ms, err) < 0)
		return -1;
	for (size_t i = 0; i < survey->len; i++) {
		survey->judgements[i] = judge(survey, i);
		if (survey->judgements[i] == UNREAD && judge_record(survey, i, deadline_ms, err) < 0)
			return -1;
	}
	return 0;
}

static int go_back(const struct survey *survey, size_t i, struct pg_conn *conn, struct error *err)
{
	const char *consumer = pg_text(survey->rows, (int)i, "consumer");
	const char *partition = LOG_INT(survey->positions[i].partition), *next = LOG_INT(next_offset(survey, i)),
			   *low = LOG_INT(survey->lows[i]), *another = survey->judgements[i] == LOST ? "false" : "true";
	CLEANUP(pg_result_p) PGresult *updated = NULL;

	if (pg_query(conn, &sql_rewind_row,
				 PG_PARAMS(consumer, survey->positions[i].topic, partition, next, low, survey->cluster, another), 7,
				 &updated, err) < 0)
		return -1;
	if (!str_equal(PQcmdTuples(updated), "1"))
		return error_set(err, ERR_CONFLICT, "%s has gone on with %s/%s meanwhile: look again", consumer,
						 survey->positions[i].topic, partition);
	log_warn("rewound", "consumer", consumer, "topic", survey->positions[i].topic, "partition", partition, "from", next,
			 "to", low, "reason", reasons[survey->judgements[i]], NULL);
	return 0;
}

int rewind_offsets(struct pg_conn *conn, const struct kafka_settings *kafka, bool accept_loss, int64_t deadline_ms,
				   int *ret_refused, struct error *err)
{
	CLEANUP(survey_release) struct survey survey = {.len = 0};
	int refused = 0;

	if (look(&survey, conn, kafka, deadline_ms, err) < 0)
		return -1;
	for (size_t i = 0; i < survey.len; i++) {
		if (survey.judgements[i] == LOST && !accept_loss) {
			log_error("left alone", "consumer", pg_text(survey.rows, (int)i, "consumer"), "topic",
					  survey.positions[i].topic, "partition", LOG_INT(survey.positions[i].partition), "next_offset",
					  LOG_INT(next_offset(&survey, i)), "log_start", LOG_INT(survey.lows[i]), "reason", reasons[LOST],
					  NULL);
			refused++;
		} else if (survey.judgements[i] != SOUND && go_back(&survey, i, conn, err) < 0) {
			return -1;
		}
	}
	*ret_refused = refused;
	return 0;
}
