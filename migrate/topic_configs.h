/* The settings of the topics (docs/protocol.md section 2), as Kafka spells them. */
#pragma once

#include "common/base/compiler.h"
#include "common/base/error.h"
#include "common/kafka/topics.h"
#include "migrate/kafka_admin.h"

struct topic_config {
	struct {
		const char *name;
		char value[24];
	} items[8];
	size_t len;
};

void topic_config_fill(struct topic_config *config, const struct topic *topic, int replicas);

/* Sets what differs in the topics that are there; other settings, which an operator made, stay. */
int topic_configs_correct(struct kafka_admin *admin, struct error *err) MUST_CHECK;
