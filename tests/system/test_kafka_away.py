"""Kafka gone at the POST, in the middle and at the start: told honestly, and everything goes on afterwards."""

import concurrent.futures
import contextlib
import signal
import uuid

import confluent_kafka.admin
import pytest
from kiln_testing.access_log import gateway_seconds
from kiln_testing.agents import WAITS, Gate, spec, waiting_spec
from kiln_testing.client import Client, slug
from kiln_testing.services import ops_get, ready_gateway, second_gateway
from kiln_testing.streams import EventStream
from kiln_testing.waiting import wait_for

BODY = waiting_spec()
TOLD_WITHIN_S = 2


def status(ops, path):
    """Of an ops port's answer; None: it has none."""
    answer = ops_get(ops, path)
    return answer.status_code if answer is not None else None


def test_a_post_without_kafka_is_503_soon_and_repeating_it_makes_one_build(own_kiln):
    project, body = own_kiln.project(), waiting_spec()
    path = f"/projects/{project['id']}/builds"
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    own_kiln.post(project, body)  # the gateway knows the way
    with own_kiln.system.frozen("KAFKA"):
        for _ in range(2):
            answer = own_kiln.api.post(path, body, headers=headers, expect=503)
            assert slug(answer) in ("kafka-unavailable", "outcome-unknown")
        told = answer.json()
    task = wait_for(lambda: post_again(own_kiln, path, body, headers), "the POST to succeed again")
    if told["type"] == "/problems/outcome-unknown":
        assert told["task_id"] == task
    own_kiln.tap.wait_type(task, "build.pending")
    assert len([b for b in own_kiln.api.pages(path) if b["task_id"] == task]) == 1


def ended(kiln, project):
    task = kiln.waiting(project)
    kiln.cancel(task)
    kiln.wait_end(task)
    return task


def pending(kiln, project):
    task = kiln.waiting(project)
    kiln.tap.wait_type(task, "build.pending")
    return task


# What cannot be answered without Kafka.
NEEDS_KAFKA = {
    "POST build": lambda _, project: (f"/projects/{project['id']}/builds", BODY),
    "POST create-and-build": lambda _, project: ("/project/create-and-build", {"project": {"name": project["name"]}, "build": BODY}),
    "POST retry": lambda kiln, project: (f"/builds/{ended(kiln, project)}/retry", None),
    "POST cancel": lambda kiln, project: (f"/builds/{pending(kiln, project)}/cancel", None),
    "GET build": lambda *_: (f"/builds/{uuid.uuid4()}", None),
    "DELETE project": lambda _, project: (f"/projects/{project['id']}", None),
}


@pytest.mark.parametrize(("what", "keyed"), [(what, keyed) for what in NEEDS_KAFKA for keyed in (False, True) if what.startswith("POST") or not keyed])
def test_without_kafka_the_gateway_takes_two_seconds_at_most(own_kiln, what, keyed):
    """By its own clock. On a busy machine Postgres or a processor may take more; not each time, as a longer wait of the gateway's would."""
    method, _, _ = what.partition(" ")
    log = own_kiln.system.folder / "log" / "gateway.log"
    path, body = NEEDS_KAFKA[what](own_kiln, own_kiln.project())
    headers = {"Idempotency-Key": str(uuid.uuid4())} if keyed else {}

    def told_in_time():
        answer = own_kiln.api.request(method, path, body=body, headers=headers, expect=503)
        assert slug(answer) in ("kafka-unavailable", "outcome-unknown", "undecidable")
        seconds = gateway_seconds(log, answer)
        assert seconds <= TOLD_WITHIN_S
        return True

    with own_kiln.system.frozen("KAFKA"):
        wait_for(told_in_time, "an answer in time", 60)


@pytest.fixture(name="few", scope="module")
def few_fixture(own_system):
    """A gateway of few workers."""
    with ready_gateway(own_system, KILN_WORKERS="4") as gateway:
        yield gateway


@contextlib.contextmanager
def crowd(kiln, gateway, method, path, body):
    """Futures of many answers, asked for at once."""
    count = 40
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(kiln.at(gateway))) for _ in range(count)]
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(count))
        yield [pool.submit(client.request, method, path, body=body, expect=503) for client in clients]


@pytest.mark.parametrize("what", ["POST create-and-build", "POST cancel", "GET build"])
def test_without_kafka_each_of_many_takes_two_seconds_at_most(own_kiln, few, what):
    """By the gateway's clock; on a busy machine not each time. One after the other, as workers get free, they would take ten."""
    method, _, _ = what.partition(" ")
    path, body = NEEDS_KAFKA[what](own_kiln, own_kiln.project())

    def told_in_time():
        with crowd(own_kiln, few, method, path, body) as asked:
            answers = [future.result() for future in asked]
        assert {slug(answer) for answer in answers} <= {"kafka-unavailable", "outcome-unknown", "undecidable"}
        assert max(gateway_seconds(few.log, answer) for answer in answers) <= TOLD_WITHIN_S
        return True

    with own_kiln.system.frozen("KAFKA"):
        wait_for(told_in_time, "all answers in time", 60)


@pytest.mark.parametrize("what", ["POST create-and-build", "GET build"])
def test_without_kafka_many_who_need_it_do_not_hold_up_who_does_not(own_kiln, few, what):
    method, _, _ = what.partition(" ")
    path, body = NEEDS_KAFKA[what](own_kiln, own_kiln.project())
    there, seconds = own_kiln.at(few), []
    with own_kiln.system.frozen("KAFKA"):
        there.request(method, path, body=body, expect=503)  # it is known now
        with crowd(own_kiln, few, method, path, body) as asked:
            while not all(future.done() for future in asked):
                seconds.append(gateway_seconds(few.log, there.get("/projects", expect=200)))
    assert max(seconds) < 1  # of one who waits for Kafka it is 1.9


def post_again(kiln, path, body, headers):
    answer = kiln.api.post(path, body, headers=headers)
    assert answer.status_code in (202, 503)
    return answer.json()["task_id"] if answer.status_code == 202 else None


def test_a_key_that_postgres_knows_is_answered_without_kafka(own_kiln):
    project, body, headers = own_kiln.project(), waiting_spec(), {"Idempotency-Key": str(uuid.uuid4())}
    task = own_kiln.post(project, body, headers=headers)
    own_kiln.tap.wait_type(task, "build.pending")
    with own_kiln.system.frozen("KAFKA"):
        assert own_kiln.post(project, body, headers=headers) == task
        own_kiln.api.post(f"/projects/{project['id']}/builds", spec("other", **WAITS), headers=headers, expect=422)


def test_a_build_that_was_sent_when_its_time_was_over_is_named(own_kiln):
    project, name = own_kiln.project(), own_kiln.name()
    task = own_kiln.waiting(project)
    own_kiln.cancel(task)
    own_kiln.wait_end(task)
    first = {"project": {"name": name}, "build": waiting_spec()}
    own_kiln.api.post("/project/create-and-build", first, expect=202)
    posts = [(f"/builds/{task}/retry", None), ("/project/create-and-build", first | {"build": spec("other", **WAITS)})]
    with ready_gateway(own_kiln.system, KILN_REQUEST_TIMEOUT_MS="300") as gateway:
        for path, body in posts:
            headers = {"Idempotency-Key": str(uuid.uuid4())}

            def told(path=path, body=body, headers=headers):
                """None: it was given up before it was sent."""
                answer = own_kiln.at(gateway).post(path, body, headers=headers, expect=503)
                return answer.json() if slug(answer) == "outcome-unknown" else None

            with own_kiln.system.frozen("KAFKA"):
                problem = wait_for(told, "the record to be sent")
            assert own_kiln.api.post(path, body, headers=headers, expect=202).json()["task_id"] == problem["task_id"]


def test_reading_goes_on_without_kafka(own_kiln):
    project, _ = own_kiln.seeded()
    task = own_kiln.run(project, "true")
    build = own_kiln.wait_end(task)
    with own_kiln.system.frozen("KAFKA"):
        assert own_kiln.build(task) == build
        assert own_kiln.api.pages(f"/projects/{project['id']}/builds")[0]["task_id"] == task
        # What is not there cannot be proved without the log.
        assert own_kiln.api.get(f"/builds/{uuid.uuid4()}").status_code == 503


def test_a_build_that_runs_while_kafka_restarts_ends_once(own_kiln):
    project, repository = own_kiln.seeded()
    task = own_kiln.run(project, "echo x > x.txt; sleep 1", auto_commit=True, auto_push=True)
    own_kiln.wait_phase(task, "agent")
    own_kiln.system.signal("KAFKA", signal.SIGKILL)
    own_kiln.system.up()
    build = own_kiln.wait_end(task)
    assert build["status"] == "completed"
    with repository.clone() as clone:
        assert clone.commits_of(task) == [build["result"]["commit_sha"]]


def test_streams_go_on_after_kafka_was_away_and_miss_nothing(own_kiln):
    project, _ = own_kiln.seeded()
    gate = Gate(own_kiln)
    task = own_kiln.run(project, f"for n in $(seq 1 900); do [ ! -e {gate.path} ] || break; echo line $n; sleep 0.1; done")
    paths = (f"/builds/{task}/events", f"/builds/{task}/logs", f"/projects/{project['id']}/events")
    with contextlib.ExitStack() as stack:
        events, log, feed = (stack.enter_context(EventStream(own_kiln.api, path)) for path in paths)
        wait_for(lambda: log.events, "the first line")
        own_kiln.system.signal("KAFKA", signal.SIGKILL)
        own_kiln.system.up()
        gate.open()
        trail = [(event.id, event.type, event.json) for event in events.wait_end()]
        lines = [event.json for event in log.wait_end()]
        feed.wait_type("build.completed")
        seen = [event.json["sequence"] for event in feed.events if event.type.startswith("build.")]
    own_kiln.wait_end(task)
    assert trail == [(str(item["sequence"]), item["type"], item["data"]) for item in own_kiln.trail(task)]
    assert lines == own_kiln.log(task)
    assert list(dict.fromkeys(seen)) == list(range(seen[0], len(trail) + 1))  # the relay may repeat


def test_a_feed_whose_id_retention_has_passed_is_told_so(own_kiln):
    project = own_kiln.project()
    path = f"/projects/{project['id']}/events"
    with EventStream(own_kiln.api, path) as stream:
        place = wait_for(lambda: stream.last_id, "the feed's place")
    task = own_kiln.post(project, waiting_spec())
    record = own_kiln.tap.wait_type(task, "build.pending")[0]
    admin = confluent_kafka.admin.AdminClient({"bootstrap.servers": own_kiln.system.brokers})
    partition = confluent_kafka.TopicPartition(record.topic, record.partition, record.offset + 1)
    for done in admin.delete_records([partition]).values():
        done.result(120)
    with EventStream(own_kiln.api, path, last_id=place) as stream:
        assert stream.wait(1)[0].type == "reset"
        again = own_kiln.post(project, waiting_spec())
        assert stream.wait_type("build.pending").json["build_id"] == again
    with EventStream(own_kiln.api, path, last_id=stream.events[0].id) as stream:
        assert stream.wait_type("build.pending").json["build_id"] == again


def test_everything_goes_on_without_a_restart_after_kafka_was_away(own_kiln):
    pids = {name: own_kiln.system.pids(name) for name in ("GATEWAY", "BUILD_SERVICE", "NOTIFIER", "EXECUTOR")}
    with own_kiln.system.frozen("KAFKA"):
        wait_for(lambda: status(own_kiln.system.env["KILN_OPS_GATEWAY"], "/readyz") == 503, "the gateway to notice")
    project, _ = own_kiln.seeded()
    inbox = own_kiln.receiver.inbox()
    body = spec(own_kiln.agents.write("true"), callback_url=inbox.url)
    task = wait_for(lambda: post_again(own_kiln, f"/projects/{project['id']}/builds", body, {}), "a POST to succeed")
    assert own_kiln.wait_end(task)["status"] == "completed"
    inbox.wait(1)
    own_kiln.system.attach()
    assert pids == {name: own_kiln.system.pids(name) for name in pids}


def test_a_gateway_that_starts_without_kafka_says_so_and_works_when_it_comes(own_kiln):
    project = own_kiln.project()
    with own_kiln.system.frozen("KAFKA"):
        with second_gateway(own_kiln.system) as gateway:
            ready = wait_for(gateway.readyz, "the ops port to answer")
            assert ready.status_code == 503 and "kafka" in ready.text.lower()
            assert status(gateway.ops, "/livez") == 200
            own_kiln.system.signal("KAFKA", signal.SIGCONT)
            wait_for(lambda: status(gateway.ops, "/readyz") == 200, "the gateway to be ready")
            client = Client(gateway.url, own_kiln.system.env["KILN_TOKEN"])
            task = client.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=202).json()["task_id"]
            assert own_kiln.build(task)["status"] == "pending"
