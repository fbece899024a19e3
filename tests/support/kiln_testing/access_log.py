"""What a gateway says of a request in its access log, in either of the log's formats: by its own clock, to which a busy client adds nothing."""

import datetime
import re

from .waiting import wait_for


def _line(log, answer):
    """Of the request of this answer; `log` is a path."""
    mark = re.compile(rb'\brequest_id"?[=:]"?' + re.escape(answer.headers["x-request-id"].encode()) + rb"\b")

    def found():
        whole = log.read_bytes().split(b"\n")[:-1]  # the last one may still be written
        return next((line.decode() for line in whole if mark.search(line) and b"duration_us" in line), None)

    return wait_for(found, "the request in the access log")


def gateway_seconds(log, answer):
    """How long the gateway itself had the request."""
    return int(re.search(r'\bduration_us"?[=:]"?(\d+)', _line(log, answer))[1]) / 1e6


def gateway_ended(log, answer):
    """When the gateway had answered it: of a stream, when that was at its end."""
    return datetime.datetime.fromisoformat(re.search(r"\d{4}-\d\d-\d\dT[\d:.]+Z", _line(log, answer))[0])


def gateway_began(log, answer):
    return gateway_ended(log, answer) - datetime.timedelta(seconds=gateway_seconds(log, answer))
