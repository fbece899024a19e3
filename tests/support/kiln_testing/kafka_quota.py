"""A quota for one Kafka client: the broker answers its fetches late. (AlterClientQuotas, version 0; librdkafka has no call for it.)"""

import contextlib
import socket
import struct

ALTER_CLIENT_QUOTAS = 49


def _text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def _read(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data


def _alter(brokers, client_id, key, value):
    """Sets the quota, or removes it (None)."""
    host, _, port = brokers.split(",")[0].rpartition(":")
    entity = struct.pack(">i", 1) + _text("client-id") + _text(client_id)
    change = struct.pack(">i", 1) + _text(key) + struct.pack(">d?", value or 0.0, value is None)
    body = struct.pack(">i", 1) + entity + change + b"\0"
    request = struct.pack(">hhi", ALTER_CLIENT_QUOTAS, 0, 1) + _text("kiln-test") + body
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = _read(connection, struct.unpack(">i", _read(connection, 4))[0])
    _, _, entries, error = struct.unpack_from(">iiih", answer)
    assert (entries, error) == (1, 0), f"the broker refused the quota: {answer!r}"


@contextlib.contextmanager
def slow_consumer(brokers, client_id):
    """While the block lasts, a consumer of that name gets a record and then nothing for about ten seconds (the broker's quota window)."""
    _alter(brokers, client_id, "consumer_byte_rate", 1.0)
    try:
        yield
    finally:
        _alter(brokers, client_id, "consumer_byte_rate", None)
