#include "migrate/topic_configs.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/str.h"

static void add_text(struct topic_config *config, const char *name, const char *value)
{
	CHECK(config->len < ARRAY_LEN(config->items) && strlen(value) < sizeof(config->items->value));
	config->items[config->len].name = name;
	memcpy(config->items[config->len].value, value, strlen(value) + 1);
	config->len++;
}

static void add_int(struct topic_config *config, const char *name, int64_t value)
{
	add_text(config, name, LOG_INT(value));
}

void topic_config_fill(struct topic_config *config, const struct topic *topic, int replicas)
{
	config->len = 0;
	add_text(config, "cleanup.policy", "delete");
	add_text(config, "message.timestamp.type", "LogAppendTime");
	add_int(config, "retention.ms", topic->retention_ms);
	add_int(config, "retention.bytes", -1);
	add_int(config, "max.message.bytes", (int64_t)KAFKA_MAX_MESSAGE_BYTES);
	add_text(config, "unclean.leader.election.enable", "false");
	add_int(config, "min.insync.replicas", replicas >= 3 ? 2 : 1);
	/* One broker has nobody else to remember a 202 after a power loss. */
	if (topic->flush_single_broker && replicas == 1)
		add_int(config, "flush.messages", 1);
}

static const char *wanted_value(const struct topic_config *config, const char *name)
{
	for (size_t i = 0; i < config->len; i++) {
		if (str_equal(config->items[i].name, name))
			return config->items[i].value;
	}
	return NULL;
}

/*
 * The AlterConfigs of librdkafka 2.0.2 replaces all settings of a topic, so those that somebody set before are said
 * again. NULL when nothing differs.
 */
static rd_kafka_ConfigResource_t *correction_of(const rd_kafka_ConfigResource_t *found,
												const struct topic_config *config)
{
	const char *topic = rd_kafka_ConfigResource_name(found);
	rd_kafka_ConfigResource_t *correction = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	size_t len = 0, differences = 0;
	const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(found, &len);

	for (size_t i = 0; i < len; i++) {
		const char *name = rd_kafka_ConfigEntry_name(entries[i]);
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);
		const char *wanted = wanted_value(config, name);
		bool ours = rd_kafka_ConfigEntry_source(entries[i]) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
		if (wanted == NULL) {
			if (ours)
				rd_kafka_ConfigResource_set_config(correction, name, value);
			continue;
		}
		rd_kafka_ConfigResource_set_config(correction, name, wanted);
		/* The same by a broker's default is not ours: the default may change. */
		if (ours && str_equal(value, wanted))
			continue;
		differences++;
		log_info("topic setting corrected", "topic", topic, "setting", name, "from", value, "to", wanted, NULL);
	}
	if (differences > 0)
		return correction;
	rd_kafka_ConfigResource_destroy(correction);
	return NULL;
}

static int describe(struct kafka_admin *admin, rd_kafka_event_t **ret_event, struct error *err)
{
	rd_kafka_ConfigResource_t *asked[32];

	CHECK(kiln_topics_len <= ARRAY_LEN(asked));
	for (size_t i = 0; i < kiln_topics_len; i++)
		asked[i] = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, kiln_topics[i].name);
	rd_kafka_AdminOptions_t *options = kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_DescribeConfigs(admin->handle, asked, kiln_topics_len, options, admin->queue);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ConfigResource_destroy_array(asked, kiln_topics_len);
	return kafka_admin_answer(admin, RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT, ret_event, err);
}

static int alter(struct kafka_admin *admin, rd_kafka_ConfigResource_t **corrections, size_t count, struct error *err)
{
	rd_kafka_event_t *event = NULL;
	size_t len = 0;
	int result = 0;

	rd_kafka_AdminOptions_t *options = kafka_admin_options(admin, RD_KAFKA_ADMIN_OP_ALTERCONFIGS);
	rd_kafka_AlterConfigs(admin->handle, corrections, count, options, admin->queue);
	rd_kafka_AdminOptions_destroy(options);
	if (kafka_admin_answer(admin, RD_KAFKA_EVENT_ALTERCONFIGS_RESULT, &event, err) < 0)
		return -1;
	const rd_kafka_ConfigResource_t **altered =
		rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &len);
	for (size_t i = 0; i < len; i++) {
		rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(altered[i]);
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
			result = error_set(err, kafka_admin_is_transient(code) ? ERR_UNAVAILABLE : ERR_INTERNAL,
							   "settings of topic %s: %s", rd_kafka_ConfigResource_name(altered[i]),
							   rd_kafka_ConfigResource_error_string(altered[i]));
	}
	rd_kafka_event_destroy(event);
	return result;
}

static int correct_described(struct kafka_admin *admin, const struct rd_kafka_metadata *metadata,
							 rd_kafka_event_t *described, struct error *err)
{
	rd_kafka_ConfigResource_t *corrections[32];
	size_t len = 0, corrections_len = 0;
	const rd_kafka_ConfigResource_t **found =
		rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(described), &len);
	int result = 0;

	CHECK(len <= ARRAY_LEN(corrections));
	for (size_t i = 0; i < len && result == 0; i++) {
		const char *name = rd_kafka_ConfigResource_name(found[i]);
		const struct rd_kafka_metadata_topic *topic = kafka_admin_find_topic(metadata, name);
		rd_kafka_resp_err_t code = rd_kafka_ConfigResource_error(found[i]);
		struct topic_config config;
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR || topic == NULL || topic->partition_cnt == 0) {
			result = error_set(err, ERR_UNAVAILABLE, "settings of topic %s: %s", name, rd_kafka_err2str(code));
			break;
		}
		topic_config_fill(&config, topic_find(name), topic->partitions[0].replica_cnt);
		corrections[corrections_len] = correction_of(found[i], &config);
		if (corrections[corrections_len] != NULL)
			corrections_len++;
	}
	if (result == 0 && corrections_len > 0)
		result = alter(admin, corrections, corrections_len, err);
	rd_kafka_ConfigResource_destroy_array(corrections, corrections_len);
	return result;
}

static int correct_once(struct kafka_admin *admin, struct error *err)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_event_t *described = NULL;

	if (kafka_admin_metadata(admin, &metadata, err) < 0)
		return -1;
	int result = describe(admin, &described, err);
	if (result == 0) {
		result = correct_described(admin, metadata, described, err);
		rd_kafka_event_destroy(described);
	}
	rd_kafka_metadata_destroy(metadata);
	return result;
}

int topic_configs_correct(struct kafka_admin *admin, struct error *err)
{
	do {
		if (correct_once(admin, err) == 0)
			return 0;
		if (err->kind != ERR_UNAVAILABLE)
			return -1;
	} while (kafka_admin_pause(admin));
	return -1;
}
