"""Two gateways side by side: what one has accepted the other one knows; a 404 is proved; what cannot be decided is 503."""

import concurrent.futures
import contextlib
import dataclasses
import signal
import uuid

import httpx
import pytest
from kiln_testing.access_log import gateway_seconds
from kiln_testing.agents import WAITS, spec, waiting_spec
from kiln_testing.client import slug
from kiln_testing.kafka_quota import slow_consumer
from kiln_testing.kafka_topics import refusing_writes
from kiln_testing.kiln import Kiln
from kiln_testing.services import ready_gateway
from kiln_testing.streams import EventStream
from kiln_testing.two_gateways import Gateway, Load
from kiln_testing.waiting import wait_for

UNDECIDED_WITHIN_S = 1 + 0.5  # the contract's second; a look at Postgres may have begun just before its end
UNKNOWN_WITHIN_S = 2


@pytest.fixture(name="second", scope="module")
def second_fixture(own_system):
    with ready_gateway(own_system) as gateway:
        yield gateway


def nobody():
    return f"/builds/{uuid.uuid4()}"


def decided(client, path, status):
    return client.get(path, expect=status).json()


def undecidable_in_time(kiln, gateway, path):
    """By the gateway's own clock. On a busy machine Postgres or a processor may take more; not each time, as a longer wait of the gateway's would."""

    def told_in_time():
        answer = kiln.at(gateway).get(path, expect=503)
        assert slug(answer) == "undecidable" and gateway_seconds(gateway.log, answer) <= UNDECIDED_WITHIN_S
        return True

    wait_for(told_in_time, "an answer in time", 60)


def test_each_gateway_knows_at_once_what_the_other_has_accepted(own_kiln, second):
    project = own_kiln.project()
    clients = (own_kiln.api, own_kiln.at(second))
    # Postgres hears of nothing: only the tails can know.
    with own_kiln.system.frozen("BUILD_SERVICE"):
        for number in range(20):
            here, there = clients[number % 2], clients[1 - number % 2]
            task = here.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=202).json()["task_id"]
            build = there.get(f"/builds/{task}", expect=200).json()
            assert build["status"] == "pending" and build["project"]["id"] == project["id"]
            assert there.get(f"/builds/{task}/events", expect=200).json()["items"] == []
            assert there.get(f"/builds/{task}/logs", expect=200).json()["items"] == []


def test_a_build_that_is_not_applied_yet_is_explained_so_and_cannot_be_repeated(own_kiln, second):
    name = own_kiln.name()
    there = own_kiln.at(second)
    with own_kiln.system.frozen("BUILD_SERVICE"):
        body = {"project": {"name": name}, "build": waiting_spec()}
        first = own_kiln.api.post("/project/create-and-build", body, expect=202).json()
        answer = there.get(f"/builds/{first['task_id']}/explain", expect=200).json()
        assert [blocker["code"] for blocker in answer["blockers"]] == ["not_applied", "project_provisional"]
        assert answer["project"]["name"] == name and answer["queue"] is None
        assert slug(there.post(f"/builds/{first['task_id']}/retry", expect=409)) == "build-not-ended"
    wait_for(
        lambda: [b["code"] for b in there.get(f"/builds/{first['task_id']}/explain", expect=200).json()["blockers"]] == ["no_worker"],
        "the dispatcher's word",
    )


def test_the_secret_of_a_new_project_is_told_to_the_token_that_made_it_and_to_no_other(own_kiln, second):
    maker, other = (own_kiln.token(["projects:write", "builds:write"]) for _ in range(2))
    body, headers = {"project": {"name": own_kiln.name()}, "build": waiting_spec()}, {"Idempotency-Key": str(uuid.uuid4())}

    def told(client, **options):
        return client.post("/project/create-and-build", body, expect=202, **options).json()["project"].get("webhook_secret")

    with own_kiln.system.frozen("BUILD_SERVICE"):
        first = told(maker, headers=headers)
        assert first.startswith("whsec_") and told(other) is None
        there = own_kiln.at(second, maker)
        assert {told(maker, headers=headers), told(there, headers=headers), told(maker), told(there)} == {first}
    wait_for(lambda: told(maker, headers=headers) is None, "the first build to be applied")


def test_a_stream_that_is_opened_before_anything_is_applied_begins_with_the_first_event(own_kiln, second):
    project = own_kiln.project()
    with contextlib.ExitStack() as stack:
        with own_kiln.system.frozen("BUILD_SERVICE"):
            path = f"/builds/{own_kiln.post(project, waiting_spec())}/events"
            streams = [stack.enter_context(EventStream(client, path)) for client in (own_kiln.api, own_kiln.at(second))]
            assert all(stream.status == 200 and not stream.events for stream in streams)
        firsts = [stream.wait(1)[0] for stream in streams]
    assert [(first.id, first.type) for first in firsts] == [("1", "build.pending")] * 2


def test_a_foreign_token_learns_nothing_of_a_build_that_only_the_tail_knows(own_kiln, second):
    project, other = own_kiln.project(), own_kiln.project()
    stranger = own_kiln.token(["builds:read"], projects=[other["name"]])
    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = own_kiln.post(project, waiting_spec())
        own_kiln.at(second, stranger).get(f"/builds/{task}", expect=404)


def test_absence_is_proved_by_the_tail_while_postgres_lags(own_kiln, second):
    project = own_kiln.project()
    with own_kiln.system.frozen("BUILD_SERVICE"):
        for _ in range(30):  # every partition has something that is not applied
            own_kiln.post(project, waiting_spec())
        for client in (own_kiln.api, own_kiln.at(second)):
            decided(client, nobody(), 404)


def test_the_word_of_a_leader_that_acknowledges_nothing_proves_nothing(own_kiln):
    """It tells an end as it always did: a broker that has lost its partitions without knowing does the same."""
    decided(own_kiln.api, nobody(), 404)
    with refusing_writes(own_kiln.system.brokers, "kiln.build.requests"):

        def undecidable():
            answer = own_kiln.api.get(nobody(), expect=(404, 503))
            return answer.status_code == 503 and slug(answer) == "undecidable"

        wait_for(lambda: all(undecidable() for _ in range(5)), "the broker to apply the setting")
    wait_for(lambda: own_kiln.api.get(nobody(), expect=(404, 503)).status_code == 404, "proofs again")


def test_a_project_can_be_deleted_while_the_build_service_is_away(own_kiln):
    """What proofs have written since is no build that it would have to apply."""
    project = own_kiln.project()
    own_kiln.wait_applied("kiln-build-service", "kiln.build.requests")
    with own_kiln.system.frozen("BUILD_SERVICE"):
        for _ in range(5):
            decided(own_kiln.api, nobody(), 404)
        own_kiln.api.delete(f"/projects/{project['id']}", headers={"If-Match": "*"}, expect=204)


def test_a_restarted_gateway_knows_what_the_one_before_has_accepted(own_kiln):
    project = own_kiln.project()
    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = own_kiln.post(project, waiting_spec())
        with ready_gateway(own_kiln.system) as gateway:
            assert decided(own_kiln.at(gateway), f"/builds/{task}", 200)["status"] == "pending"
            decided(own_kiln.at(gateway), nobody(), 404)


def test_a_gateway_that_starts_while_postgres_lags_reads_what_it_lacks(own_kiln):
    project, headers = own_kiln.project(), {"Idempotency-Key": str(uuid.uuid4())}
    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = own_kiln.post(project, waiting_spec(), headers=headers)
        with ready_gateway(own_kiln.system, KILN_RECENT_MINUTES="0") as gateway:
            there = own_kiln.at(gateway)
            assert decided(there, f"/builds/{task}", 200)["status"] == "pending"
            decided(there, nobody(), 404)
            there.post(f"/projects/{project['id']}/builds", spec("other", **WAITS), headers=headers, expect=422)


def test_a_gateway_that_has_not_seen_it_says_503_until_postgres_has_it(own_kiln):
    project = own_kiln.project()
    with contextlib.ExitStack() as stack:
        stack.enter_context(own_kiln.system.frozen("BUILD_SERVICE"))
        task = own_kiln.post(project, waiting_spec())
        gateway = stack.enter_context(ready_gateway(own_kiln.system, KILN_RECENT_MINUTES="0", KILN_RECENT_KEYS="1"))
        undecidable_in_time(own_kiln, gateway, f"/builds/{task}")
        own_kiln.system.signal("BUILD_SERVICE", signal.SIGCONT)
        there = own_kiln.at(gateway)
        wait_for(lambda: there.get(f"/builds/{task}", expect=(200, 503)).status_code == 200, "the build to be applied")
        decided(there, nobody(), 404)


def test_what_was_evicted_is_503_and_not_404(own_kiln):
    project = own_kiln.project()
    body = waiting_spec() | {"prompt": "x" * 4000}
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(ready_gateway(own_kiln.system, KILN_RECENT_BYTES="65536"))
        there = own_kiln.at(gateway)
        stack.enter_context(own_kiln.system.frozen("BUILD_SERVICE"))
        tasks = [own_kiln.post(project, body) for _ in range(40)]
        assert decided(there, f"/builds/{tasks[-1]}", 200)["status"] == "pending"
        undecidable_in_time(own_kiln, gateway, f"/builds/{tasks[0]}")
        own_kiln.system.signal("BUILD_SERVICE", signal.SIGCONT)
        for task in tasks:
            wait_for(lambda task=task: there.get(f"/builds/{task}", expect=(200, 503)).status_code == 200, "the build to be applied")


@pytest.fixture(name="slow")
def slow_fixture(own_kiln):
    """A gateway whose tail gets nothing for seconds after each record."""
    properties = own_kiln.system.folder / "slow.properties"
    properties.write_text("client.id=slow-gateway\n", encoding="utf-8")
    properties.chmod(0o644)
    with ready_gateway(own_kiln.system, KILN_KAFKA_CONFIG=str(properties)) as gateway, slow_consumer(own_kiln.system.brokers, "slow-gateway"):
        own_kiln.post(own_kiln.project(), waiting_spec())  # from here on it is over its quota
        yield gateway


def test_behind_a_slow_tail_postgres_proves_and_what_it_cannot_prove_is_503(own_kiln, slow):
    project, there = own_kiln.project(), own_kiln.at(slow)

    def behind():
        """A build that the tail has not read: the record before holds it back, unless that was too long ago. Then it is one that does."""
        made = own_kiln.post(project, waiting_spec())
        answer = there.get(f"/builds/{made}", expect=(200, 503))
        if answer.status_code != 503 or slug(answer) != "undecidable":
            return None
        assert gateway_seconds(slow.log, answer) <= UNDECIDED_WITHIN_S
        return made

    with own_kiln.system.frozen("BUILD_SERVICE"):
        task = wait_for(behind, "a build behind the tail")
    wait_for(lambda: there.get(f"/builds/{task}", expect=(200, 503)).status_code == 200, "the build to be applied")
    decided(there, nobody(), 404)


def test_what_appears_is_found_while_no_end_is_told(own_kiln, slow):
    """A proof that does not come is no reason not to look."""
    project, there = own_kiln.project(), own_kiln.at(slow)

    def refused():
        return slug(own_kiln.api.get(nobody(), expect=(404, 503))) == "undecidable"

    def appears():
        with contextlib.ExitStack() as stack:
            stack.enter_context(own_kiln.system.frozen("BUILD_SERVICE"))
            task = own_kiln.post(project, waiting_spec())
            stack.enter_context(refusing_writes(own_kiln.system.brokers, "kiln.build.requests"))
            wait_for(refused, "the broker to apply the setting")
            pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
            answer = pool.submit(there.get, f"/builds/{task}", expect=(200, 503))
            own_kiln.system.signal("BUILD_SERVICE", signal.SIGCONT)
            return answer.result(120).status_code == 200

    wait_for(appears, "a build that its row tells of")


def test_behind_a_slow_tail_a_key_is_not_decided_and_makes_one_build(own_kiln, slow):
    body, there = waiting_spec(), own_kiln.at(slow)

    def behind():
        """As above."""
        project, headers = own_kiln.project(), {"Idempotency-Key": str(uuid.uuid4())}
        path = f"/projects/{project['id']}/builds"
        answer = there.post(path, body, headers=headers, expect=(202, 503))
        if answer.status_code != 503 or slug(answer) != "outcome-unknown":
            return None
        assert gateway_seconds(slow.log, answer) <= UNKNOWN_WITHIN_S
        return project, headers, path, answer.json()

    project, headers, path, told = wait_for(behind, "a build behind the tail")
    assert told["outcome"] == "unknown"
    task = own_kiln.post(project, body, headers=headers)
    assert told["task_id"] == task
    own_kiln.tap.wait_type(task, "build.pending")
    # Postgres has the row now, and no tail is needed.
    assert there.post(path, body, headers=headers, expect=202).json()["task_id"] == task
    there.post(path, spec("other", **WAITS), headers=headers, expect=422)
    assert [item["task_id"] for item in own_kiln.api.pages(path)] == [task]


def test_a_key_whose_gateway_is_killed_between_its_record_and_its_202_is_the_same_build_at_the_other(own_kiln, slow):
    """The 202 waits for the tail, which is slow."""
    patient = own_kiln.at(slow)

    def cut():
        """(project, key, the record's build) of a POST that was under way when its gateway was killed; None: it was answered before."""
        project, headers = own_kiln.project(), {"Idempotency-Key": str(uuid.uuid4())}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            post = pool.submit(patient.post, f"/projects/{project['id']}/builds", waiting_spec(), headers=headers)
            tasks = wait_for(lambda: own_kiln.system.sql("select id::text from build_audit where project_id = %s", project["id"]) or post.done(), "the record")
            slow.process.send_signal(signal.SIGSTOP)
            if concurrent.futures.wait([post], 2).done:  # what it had answered by then has come
                slow.process.send_signal(signal.SIGCONT)
                return None
            slow.process.kill()
            with pytest.raises(httpx.TransportError):
                post.result(120)
        return project, headers, tasks[0][0]

    project, headers, task = wait_for(cut, "a POST that is cut")
    assert own_kiln.post(project, waiting_spec(), headers=headers) == task
    assert [item["task_id"] for item in own_kiln.api.pages(f"/projects/{project['id']}/builds")] == [task]


@dataclasses.dataclass
class Siege:
    """What came of it, when all is applied."""

    kiln: Kiln
    load: Load
    marks: dict  # mark: how many builds have it

    def at_each_gateway(self):
        return [self.kiln.at(gateway) for gateway in self.load.gateways]


@pytest.fixture(name="siege", scope="module")
def siege_fixture(own_system, own_tap, receiver):
    """Two gateways under load: either is killed and comes back while the other one goes on; then Kafka stands still until POSTs are refused."""
    own_system.repair()
    kiln = Kiln(own_system, own_tap, receiver)
    one, two = (Gateway(own_system) for _ in range(2))
    project = kiln.project()
    load = Load((one, two), kiln.api.token, project)
    try:
        one.start()
        two.start()
        load.start()
        load.goes_on(one, two)
        with own_system.frozen("BUILD_SERVICE"):  # only the tails know what there is
            one.kill()
            load.goes_on(two)
            one.start()
            load.goes_on(one, two)
        two.kill()
        load.goes_on(one)
        two.start()
        load.goes_on(one, two)
        with own_system.frozen("KAFKA"):
            wait_for(lambda: all(load.refused.values()), "both gateways to refuse POSTs")
        load.goes_on(one, two)
        load.stop()
        kiln.wait_applied("kiln-build-service", "kiln.build.requests")
        marks = dict(own_system.sql("select metadata::json ->> 'mark', count(*) from build_audit where project_id = %s group by 1", project["id"]))
        yield Siege(kiln, load, marks)
    finally:
        load.ending.set()
        for gateway in (one, two):
            gateway.end()
        kiln.close()


def test_no_202_is_lost_when_either_gateway_is_killed_under_load(siege):
    def statuses(client):
        return {client.get(f"/builds/{task}").status_code for task in siege.load.accepted}

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert list(pool.map(statuses, siege.at_each_gateway())) == [{200}, {200}]
    assert len(set(siege.load.accepted)) == len(siege.load.accepted)


def test_what_was_accepted_is_404_at_no_gateway_at_no_time(siege):
    assert siege.load.missing == []


def test_a_post_with_a_key_that_was_cut_and_repeated_at_the_other_gateway_is_one_build(siege):
    assert siege.load.repeated
    for mark, repeated in siege.load.repeated.items():
        for client in siege.at_each_gateway():
            repeated.tasks.add(client.post(siege.load.path, repeated.body, headers={"Idempotency-Key": repeated.key}, expect=202).json()["task_id"])
        assert (siege.marks[mark], len(repeated.tasks)) == (1, 1)


def test_a_post_that_was_told_that_nothing_was_done_has_made_nothing(siege):
    refused = {mark for marks in siege.load.refused.values() for mark in marks}
    assert refused.isdisjoint(siege.marks)


def test_each_post_has_made_one_build_at_most(siege):
    assert set(siege.marks.values()) == {1}


def test_while_a_gateway_is_killed_nobody_at_the_other_one_is_cut(siege):
    assert siege.load.wrong == []
