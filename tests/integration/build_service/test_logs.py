"""The log store."""
import json
import uuid

from kiln_testing.unpack import unpack
from kiln_testing.waiting import wait_for
from playing import LOGS, new_id


def log(gateway, build, first_line, *texts, attempt=1):
    lines = [{"time": "2026-11-23T17:20:00.000000Z", "stream": "stdout", "text": text} for text in texts]
    gateway.sender.send(LOGS, build, "build.log", {"build_id": build, "attempt": attempt, "lease_id": str(uuid.uuid4()), "first_line": first_line, "lines": lines})
    return lines


def stored(database, build):
    rows = database.sql("select attempt, first_line, line_count, lines from build_logs where build_id = %s order by attempt, first_line", build)
    return [(attempt, first, count, json.loads(unpack(bytes(lines)))) for attempt, first, count, lines in rows]


def test_log_records_are_stored_once(gateway, shared_database):
    build = new_id()
    first = log(gateway, build, 1, "a", "\u20ac\x1b[0m\u0000".replace("\u0000", ""))
    log(gateway, build, 1, "a", "\u20ac\x1b[0m")
    second = log(gateway, build, 3, "b", attempt=1)
    third = log(gateway, build, 1, "c", attempt=2)
    gateway.sender.flush()
    wait_for(lambda: len(stored(shared_database, build)) == 3, "three records")
    assert stored(shared_database, build) == [(1, 1, 2, first), (1, 3, 1, second), (2, 1, 1, third)]


def test_the_lag_of_the_log_store_is_not_that_of_the_builds(service):
    shown = service.ops("/metrics")
    for consumer in ("kiln-build-service", "kiln-log-store"):
        assert f'kiln_inbox_lag_seconds{{consumer="{consumer}"}} ' in shown


def test_an_illegible_log_record_is_a_dead_letter_and_the_rest_is_stored(gateway, shared_database):
    build = new_id()
    before = shared_database.sql("select count(*) from dead_letters where consumer = 'kiln-log-store'")[0][0]
    gateway.sender.send(LOGS, build, "build.log", None, value=b'{"lines": 1}')
    log(gateway, build, 1, "after")
    gateway.sender.flush()
    wait_for(lambda: len(stored(shared_database, build)) == 1, "the good one")
    wait_for(lambda: shared_database.sql("select count(*) from dead_letters where consumer = 'kiln-log-store'")[0][0] == before + 1, "the dead letter")


def test_what_is_stored_is_packed(gateway, shared_database):
    """Log lines are much alike: a tenth is left of these."""
    build = new_id()
    lines = log(gateway, build, 1, *(f"[{n}/600] Building C object executor/CMakeFiles/kiln_executor.dir/attempt/file-{n}.c.o" for n in range(600)))
    gateway.sender.flush()
    wait_for(lambda: len(stored(shared_database, build)) == 1, "the record")
    assert stored(shared_database, build) == [(1, 1, 600, lines)]
    ((size,),) = shared_database.sql("select length(lines) from build_logs where build_id = %s", build)
    assert size < len(json.dumps(lines)) / 10
