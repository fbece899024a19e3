#include "migrate/topics.h"

#include "common/base/alloc.h"
#include "common/base/log.h"
#include "common/kafka/topics.h"
#include "migrate/topic_configs.h"

static int make_topics(struct kafka_admin *admin, const struct topic *const *topics, size_t count, int replicas,
					   struct error *err)
{
	rd_kafka_NewTopic_t *wanted[32];
	rd_kafka_event_t *event = NULL;
	char text[256];
	size_t results_len = 0;
	int result = 0;

	CHECK(count <= ARRAY_LEN(wanted));
	for (size_t i = 0; i < count; i++) {
		struct topic_config config;
		topic_config_fill(&config, topics[i], replicas);
		wanted[i] = rd_kafka_NewTopic_new(topics[i]->name, topics[i]->partitions, replicas, text, sizeof(text));
		CHECK(wanted[i] != NULL);
		for (size_t c = 0; c < config.len; c++)
			CHECK(rd_kafka_NewTopic_set_config(wanted[i], config.items[c].name, config.items[c].value) ==
				  RD_KAFKA_RESP_ERR_NO_ERROR);
	}
	rd_kafka_AdminOptions_t *options = kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_CreateTopics(admin->handle, wanted, count, options, admin->queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_NewTopic_destroy_array(wanted, count);
	if (kafka_admin_answer(admin, RD_KAFKA_EVENT_CREATETOPICS_RESULT, &event, err) < 0)
		return -1;
	const rd_kafka_topic_result_t **results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &results_len);
	for (size_t i = 0; i < results_len; i++) {
		rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[i]);
		const char *name = rd_kafka_topic_result_name(results[i]);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			log_info("topic made", "topic", name, "partitions", LOG_INT(topic_find(name)->partitions), "replicas",
					 LOG_INT(replicas), NULL);
		else if (code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) /* another database's kiln-migrate was faster */
			result = error_set(err, kafka_admin_is_transient(code) ? ERR_UNAVAILABLE : ERR_INTERNAL, "topic %s: %s",
							   name, rd_kafka_topic_result_error_string(results[i]));
	}
	rd_kafka_event_destroy(event);
	return result;
}

/* What is missing of the topics; ERR_INVALID when one is there with another number of partitions. */
static int compare(const struct rd_kafka_metadata *metadata, const struct topic **ret_missing, size_t *ret_len,
				   struct error *err)
{
	size_t len = 0;

	for (size_t i = 0; i < kiln_topics_len; i++) {
		const struct rd_kafka_metadata_topic *found = kafka_admin_find_topic(metadata, kiln_topics[i].name);
		/* No partition: just being made, or just deleted. */
		if (found == NULL || found->partition_cnt == 0)
			ret_missing[len++] = &kiln_topics[i];
		else if (found->partition_cnt != kiln_topics[i].partitions)
			return error_set(err, ERR_INVALID,
							 "topic %s has %d partitions and must have %d: the number never changes, since keys would "
							 "move to other partitions",
							 kiln_topics[i].name, found->partition_cnt, kiln_topics[i].partitions);
	}
	*ret_len = len;
	return 0;
}

static int replicas_of(const struct rd_kafka_metadata *metadata, int replication)
{
	if (replication > 0)
		return replication;
	return metadata->broker_cnt < 3 ? metadata->broker_cnt : 3;
}

/* Makes what is missing until Kafka lists it all. */
static int make_missing(struct kafka_admin *admin, int replication, struct error *err)
{
	const struct topic *missing[32];
	size_t missing_len = 0;

	CHECK(kiln_topics_len <= ARRAY_LEN(missing));
	do {
		const struct rd_kafka_metadata *metadata = NULL;
		if (kafka_admin_metadata(admin, &metadata, err) < 0)
			return -1;
		int result = compare(metadata, missing, &missing_len, err);
		int replicas = replicas_of(metadata, replication);
		rd_kafka_metadata_destroy(metadata);
		if (result < 0)
			return -1;
		if (missing_len == 0)
			return 0;
		(void)error_set(err, ERR_TIMEOUT, "topic %s does not appear",
						missing[0]->name); /* should this be the last look */
		if (make_topics(admin, missing, missing_len, replicas, err) < 0 && err->kind != ERR_UNAVAILABLE)
			return -1;
	} while (kafka_admin_pause(admin));
	return error_prefix(err, "cannot make the topics");
}

int topics_ensure(struct kafka_admin *admin, int replication, struct error *err)
{
	if (make_missing(admin, replication, err) < 0)
		return -1;
	return topic_configs_correct(admin, err);
}
