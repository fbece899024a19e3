import confluent_kafka
import confluent_kafka.admin
import pytest

from kiln_testing.kafka_topics import set_settings
from kiln_testing.waiting import wait_for


class Topics:
    """The cluster's topics, by a client that shares nothing with kiln-migrate but the library."""

    def __init__(self, brokers):
        self.admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": brokers})

    def names(self):
        return sorted(name for name in self.admin.list_topics(timeout=60).topics if name.startswith("kiln."))

    def partitions(self, name):
        return len(self.admin.list_topics(timeout=60).topics[name].partitions)

    def delete(self, *names):
        names = names or self.names()
        if names:
            for future in self.admin.delete_topics(list(names), operation_timeout=60).values():
                future.result(60)
            # The controller has done it; the broker that lists topics hears of it a little later.
            wait_for(lambda: not set(names) & set(self.names()), "the topics to be gone")

    def make(self, name, partitions):
        topic = confluent_kafka.admin.NewTopic(name, num_partitions=partitions, replication_factor=1)
        self.admin.create_topics([topic])[name].result(60)

    def config(self, name):
        """What is set for this topic itself."""
        resource = confluent_kafka.admin.ConfigResource(confluent_kafka.admin.ResourceType.TOPIC, name)
        entries = self.admin.describe_configs([resource])[resource].result(60)
        dynamic = confluent_kafka.admin.ConfigSource.DYNAMIC_TOPIC_CONFIG.value
        return {entry.name: entry.value for entry in entries.values() if entry.source == dynamic}

    def set(self, name, **values):
        set_settings(self.admin, [name], **values)


@pytest.fixture
def topics(infra):
    return Topics(infra.brokers)
