"""A topic whose leader answers what it is asked and acknowledges nothing."""

import contextlib

SETTING = "max.message.bytes"


def _set(client, topic, value):
    from confluent_kafka import admin

    entry = admin.ConfigEntry(SETTING, value, incremental_operation=admin.AlterConfigOpType.SET)
    change = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    client.incremental_alter_configs([change])[change].result(60)


@contextlib.contextmanager
def refusing_writes(brokers, topic):
    """While the block lasts, every record is too large for the topic; soon after it begins: brokers hear of a setting by and by."""
    from confluent_kafka import admin

    client = admin.AdminClient({"bootstrap.servers": brokers})  # must outlive its futures
    resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic)
    before = client.describe_configs([resource])[resource].result(60)[SETTING].value
    _set(client, topic, "1")
    try:
        yield
    finally:
        _set(client, topic, before)
