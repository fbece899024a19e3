"""What of a topic has been applied: after that, what a record has not done it will not do."""

import confluent_kafka

from .waiting import wait_for


def wait_applied(brokers, sql, consumer, topic, partitions):
    """Until the consumer has applied what is in these partitions by now. `sql(statement, *arguments)` gives rows."""
    asking = confluent_kafka.Consumer({"bootstrap.servers": brokers, "group.id": "kiln-test-watermarks"})
    try:
        ends = {number: asking.get_watermark_offsets(confluent_kafka.TopicPartition(topic, number), timeout=60)[1] for number in partitions}
    finally:
        asking.close()
    statement = "select partition, next_offset from consumer_offsets where consumer = %s and topic = %s"

    def applied():
        places = dict(sql(statement, consumer, topic))
        return all(places.get(number, 0) >= end for number, end in ends.items())

    wait_for(applied, f"{topic} to be applied by {consumer}")
