"""What a gateway says of a request in its access log, in either of the log's formats."""

import re

from .waiting import wait_for


def gateway_seconds(log, answer):
    """How long the gateway itself had the request of this answer, by its own clock; `log` is a path. What a busy client adds is not in it."""
    mark = re.compile(rb'\brequest_id"?[=:]"?' + re.escape(answer.headers["x-request-id"].encode()) + rb"\b")

    def found():
        whole = log.read_bytes().split(b"\n")[:-1]  # the last one may still be written
        return next(filter(None, (re.search(rb'\bduration_us"?[=:](\d+)', line) for line in whole if mark.search(line))), None)

    return int(wait_for(found, "the request in the access log")[1]) / 1e6
