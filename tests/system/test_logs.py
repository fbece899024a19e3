"""A build's log is whole, says where it is not, and shows no secrets."""

import base64
import json

from kiln_testing.streams import EventStream, lines
from kiln_testing.waiting import wait_for


def test_a_token_that_an_agent_prints_is_seen_nowhere(kiln):
    """As itself, cut in two, in a URL and in base64: in the log in all its forms, in the result, on Kafka."""
    project, _ = kiln.seeded()
    token = kiln.system.env["KILN_GIT_TOKEN"]
    encoded = base64.b64encode(f"kiln:{token}".encode()).decode()
    script = f"""
    echo 'the token is {token}'
    printf '{token[:5]}'; sleep 0.1; echo '{token[5:]}'
    echo 'https://kiln:{token}@example.org/ Authorization: Basic {encoded}' >&2
    """
    task = kiln.run(project, script, auto_commit=True, auto_push=True)
    with EventStream(kiln.api, f"/builds/{task}/logs") as stream:
        events = stream.wait_end()
    build = kiln.wait_end(task)
    assert build["status"] == "completed", build
    lines = kiln.log(task)
    texts = [line["text"] for line in lines if line["stream"] in ("stdout", "stderr")]
    assert {"the token is [masked]", "[masked]"} < set(texts)
    text = kiln.api.plain("GET", f"/builds/{task}/logs", headers={"Accept": "text/plain"}).text
    assert text.count("[masked]") == 4
    records = [bytes(record.value) for record in kiln.tap.of(task, topic="kiln.build.logs") + kiln.tap.of(task, topic="kiln.build.results")]
    shown = [json.dumps(lines), json.dumps(build), text, *(event.data for event in events), *(value.decode() for value in records)]
    assert records and not [one for one in shown if token in one or encoded[8:-4] in one]


def sequence(attempt, line):
    return attempt << 32 | line


def keep(kiln, task, attempt, first, last):
    """A record of the log as the store keeps it; each line says its attempt and number."""
    text = json.dumps([{"time": "2026-11-28T18:00:00.000000Z", "stream": "stdout", "text": f"{attempt}.{n}"} for n in range(first, last + 1)])
    statement = "insert into build_logs (build_id, attempt, first_line, line_count, lines) values (%s, %s, %s, %s, %s) returning 1"
    kiln.system.sql(statement, task, attempt, first, last - first + 1, text.encode())


def gap(attempt, first, last):
    return f"[gap: lines {first} to {last} of attempt {attempt} are missing]"


def check(kiln, task, expected):
    """The log has these texts, in all its forms, by pages of any size."""
    path = f"/builds/{task}/logs"
    items = kiln.api.pages(path, limit=500)
    assert [item["text"] for item in items] == expected
    assert kiln.api.pages(path, limit=1) == kiln.api.pages(path, limit=3) == items
    assert kiln.api.plain("GET", path, headers={"Accept": "text/plain"}).text == "".join(f"{text}\n" for text in expected)
    with EventStream(kiln.api, path) as stream:
        wait_for(lambda: len(stream.events) >= len(items), "the log")
        assert lines(stream.events) == items
        assert [event.type == "gap" for event in stream.events] == ["gap" in item for item in items]
        assert [int(event.id) for event in stream.events] == [item["sequence"] for item in items]
    return items


def test_where_lines_are_missing_is_a_gap(kiln):
    """Between two records, before an attempt's first one, and in a record that cannot be read."""
    task = kiln.waiting()
    kiln.tap.wait_type(task, "build.pending")
    keep(kiln, task, 1, 1, 2)
    keep(kiln, task, 1, 3, 4)
    keep(kiln, task, 1, 8, 9)
    keep(kiln, task, 3, 2, 2)
    items = check(kiln, task, ["1.1", "1.2", "1.3", "1.4", gap(1, 5, 7), "1.8", "1.9", gap(3, 1, 1), "3.2"])
    assert items[4]["gap"] == {"from": sequence(1, 5), "to": sequence(1, 7), "lines": 3} and items[4]["sequence"] == sequence(1, 7)
    after = kiln.api.pages(f"/builds/{task}/logs", after=sequence(1, 6))
    assert [item["text"] for item in after] == [gap(1, 7, 7), "1.8", "1.9", gap(3, 1, 1), "3.2"]
    kiln.system.sql("update build_logs set lines = '{' where build_id = %s and attempt = 1 and first_line = 3 returning 1", task)
    check(kiln, task, ["1.1", "1.2", gap(1, 3, 4), gap(1, 5, 7), "1.8", "1.9", gap(3, 1, 1), "3.2"])


def test_lines_that_are_not_kept_any_more_are_a_gap(kiln):
    """Also at an attempt's end, where no later line tells."""
    task = kiln.waiting()
    kiln.tap.wait_type(task, "build.pending")
    keep(kiln, task, 1, 1, 2)
    keep(kiln, task, 1, 3, 4)
    keep(kiln, task, 2, 1, 1)
    remove = "delete from build_logs where build_id = %s and attempt = %s and first_line = %s returning 1"
    kiln.system.sql(remove, task, 1, 1)
    check(kiln, task, [gap(1, 1, 2), "1.3", "1.4", "2.1"])
    kiln.system.sql(remove, task, 1, 3)
    kiln.system.sql(remove, task, 2, 1)
    check(kiln, task, [gap(1, 1, 4), gap(2, 1, 1)])
    keep(kiln, task, 2, 2, 2)
    check(kiln, task, [gap(1, 1, 4), gap(2, 1, 1), "2.2"])
