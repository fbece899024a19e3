"""A build's log is whole, says where it is not, and shows no secrets."""

import base64
import concurrent.futures
import contextlib
import json

import psycopg
from kiln_testing.access_log import gateway_seconds
from kiln_testing.agents import Gate
from kiln_testing.records import partition_of
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


PRINTED = ["first", "last-line"]
TEXT = {"Accept": "text/plain"}
WAIT_S = 1  # of a GET, for the log store


@contextlib.contextmanager
def lagging(kiln, project):
    """(an ended build whose last line the log store cannot apply, what lets it)"""
    gate = Gate(kiln)
    task = kiln.run(project, f"echo first; {gate.script}; echo last-line")
    wait_for(lambda: "first" in printed(kiln.api, task), "the first line to be stored")
    partition = partition_of(task.encode(), kiln.tap.partitions["kiln.build.logs"])
    with psycopg.connect(kiln.system.env["KILN_DATABASE_URL"]) as holder:
        holder.execute("select from consumer_offsets where consumer = 'kiln-log-store' and partition = %s for update", [partition])
        gate.open()
        kiln.wait_end(task)
        yield task, holder.rollback


def printed(client, task):
    """What the agent has printed, by one page of the log."""
    items = client.get(f"/builds/{task}/logs", expect=200).json()["items"]
    return [item["text"] for item in items if item["stream"] == "stdout"]


def looks(kiln, since):
    """How many connections of gateways have looked how far the log store is."""
    statement = "select 1 from pg_stat_activity where application_name = 'kiln-gateway' and query like '%%kiln-log-store%%' and query_start > %s"
    return len(kiln.system.sql(statement, since))


def test_a_log_that_is_read_right_after_the_end_has_its_last_line(kiln, other_gateway):
    """The log store has it later than the build has ended: the GET waits for it, as JSON and as text."""
    project, _ = kiln.seeded()
    there = kiln.at(other_gateway)
    with lagging(kiln, project) as (task, let_go), concurrent.futures.ThreadPoolExecutor() as pool:
        since = kiln.system.sql("select clock_timestamp()")[0][0]
        items = pool.submit(printed, there, task)
        text = pool.submit(kiln.at(other_gateway).get, f"/builds/{task}/logs", headers=TEXT, expect=200)
        wait_for(lambda: looks(kiln, since) >= 2 or items.done() or text.done(), "both to wait", poll=0.01)
        let_go()
        assert items.result() == PRINTED
        assert [line for line in text.result().text.splitlines() if line in PRINTED] == PRINTED


def test_a_log_whose_last_lines_do_not_come_is_answered_in_time(kiln, other_gateway):
    """Without them. Of many who read then one waits at most: the others are answered at once, and so is who reads the log of a build that ended long ago."""
    project, _ = kiln.seeded()
    with lagging(kiln, project) as (task, _), concurrent.futures.ThreadPoolExecutor(8) as pool:

        def read(_):
            answer = kiln.at(other_gateway).get(f"/builds/{task}/logs", headers=TEXT, expect=200)
            assert "first" in answer.text and "last-line" not in answer.text
            return gateway_seconds(other_gateway.log, answer)

        assert WAIT_S <= read(0) < 3 * WAIT_S
        assert sum(seconds >= WAIT_S for seconds in pool.map(read, range(8))) <= 1
        kiln.system.sql("update build_audit set updated_at = updated_at - interval '1 minute' where id = %s returning 1", task)
        assert read(0) < WAIT_S
