"""Settings of topics, and a topic whose leader answers what it is asked and acknowledges nothing."""

import contextlib


def set_settings(client, topics, **values):
    """Of each topic; max_message_bytes is max.message.bytes. Others stay."""
    from confluent_kafka import admin

    entries = [admin.ConfigEntry(name.replace("_", "."), value, incremental_operation=admin.AlterConfigOpType.SET) for name, value in values.items()]
    changes = [admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic, incremental_configs=entries) for topic in topics]
    for made in client.incremental_alter_configs(changes).values():
        made.result(60)


@contextlib.contextmanager
def refusing_writes(brokers, topic):
    """While the block lasts, every record is too large for the topic; soon after it begins: brokers hear of a setting by and by."""
    from confluent_kafka import admin

    client = admin.AdminClient({"bootstrap.servers": brokers})  # must outlive its futures
    resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic)
    before = client.describe_configs([resource])[resource].result(60)["max.message.bytes"].value
    set_settings(client, [topic], max_message_bytes="1")
    try:
        yield
    finally:
        set_settings(client, [topic], max_message_bytes=before)
