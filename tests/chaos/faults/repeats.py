"""Records that are on a topic, once more: what a producer does that did not hear that they had arrived."""

import confluent_kafka

QUIET = {"log_level": 0, "error_cb": lambda _: None}
LOOK_BACK = 200  # records of a partition
PATIENCE_S = 60


def some_of(brokers, topic, chance, count):
    """Up to `count` records that follow one another in one partition that has any."""
    consumer = confluent_kafka.Consumer(QUIET | {"bootstrap.servers": brokers, "group.id": "kiln-chaos-repeats", "enable.auto.commit": False, "enable.partition.eof": True})
    try:
        partitions = list(consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions)
        for partition in chance.sample(partitions, len(partitions)):
            start, end = consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), timeout=PATIENCE_S)
            if end > start:
                break
        else:
            return []
        consumer.assign([confluent_kafka.TopicPartition(topic, partition, chance.randrange(max(start, end - LOOK_BACK), end))])
        found = []
        while len(found) < count:
            record = consumer.poll(PATIENCE_S)
            if record is None or record.error():
                break
            found.append(record)
        return found
    finally:
        consumer.close()


def repeat(brokers, topic, chance, count):
    """How many records the brokers have taken once more, with the ids, keys and bodies that they had."""
    taken = []
    producer = confluent_kafka.Producer(QUIET | {"bootstrap.servers": brokers, "enable.idempotence": True})
    for record in some_of(brokers, topic, chance, count):
        producer.produce(
            topic,
            value=record.value(),
            key=record.key(),
            partition=record.partition(),
            headers=record.headers(),
            on_delivery=lambda error, message: None if error else taken.append(message.offset()),
        )
    producer.flush(PATIENCE_S)
    return len(taken)
