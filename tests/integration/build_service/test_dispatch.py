"""Who gets what, and in which order (docs/protocol.md section 6)."""
import uuid

import psycopg

from kiln_testing.waiting import stays, wait_for
from playing import LOCK_MATCH, WORKER_EVENTS, now

SETTINGS = {"KILN_WORKER_FRESH_MS": "60000"}  # a test may silence its worker for as long as its steps take


def assigned_order(executor):
    return [command["build_id"] for command in executor.commands if command["type"] == "attempt.assign"]


def times(gateway, build, kind):
    return gateway.sql("select time from build_events where build_id = %s and type = %s order by sequence limit 1", build, kind)[0][0]


def test_a_build_that_need_not_wait_is_assigned_in_the_transaction_that_creates_it(gateway, worker):
    executor = worker(slots=100)
    project = gateway.project()

    def one():
        """Its command when it went directly; for a moment after something stood in the way, none does."""
        build = gateway.post(project)
        command = executor.assigned(build)
        return times(gateway, build, "build.pending") == times(gateway, build, "build.phase") and command

    command = wait_for(one, "a build that goes directly", poll=0.1)
    build = command["build_id"]
    assert gateway.types(build)[:2] == ["build.pending", "build.phase"]
    assert command["spec"]["prompt"] == "do it" and command["earlier"] == [] and command["base_sha"] is None
    assert gateway.sql("select count(*) from build_queue where build_id = %s", build) == [(0,)]


def test_a_new_build_does_not_pass_one_that_waits_for_the_same_slot(gateway, worker):
    project = gateway.project()
    executor = worker(slots=1)
    runs = executor.assigned(gateway.post(project))
    first, second = gateway.post(project), gateway.post(project)
    gateway.wait_phase(second, "queued")
    executor.run(runs)
    executor.run(executor.assigned(first))
    executor.assigned(second)
    assert assigned_order(executor)[-2:] == [first, second]


def test_a_build_waits_when_its_worker_is_another_instances_and_has_changed(gateway, worker, shared_database):
    """Nobody minds this worker here: its row is looked at again before the commit, and a row that is locked counts as changed."""
    stranger, nonce = str(uuid.uuid4()), str(uuid.uuid4())
    shared_database.sql(
        "insert into workers (id, partition, incarnation, nonce, state, slots, agents, labels, read_offset, hello_at, heartbeat_at)"
        " values (%s, 0, 1, %s, 'active', 5, '{command}', '{stranger}', 0, now(), now() + interval '1 hour')", stranger, nonce,
    )  # fmt: skip
    with psycopg.connect(shared_database.url) as other:
        other.execute("select from workers where id = %s for update", (stranger,))
        build = gateway.post(gateway.project(), labels=["stranger"])
        stays(lambda: gateway.row(build) in (None,) or gateway.row(build)["phase"] == "queued", "no assignment", 0.5)
    gateway.wait_phase(build, "assigned")
    gateway.sender.send(WORKER_EVENTS, stranger, "worker.bye", {"worker_id": stranger, "incarnation": {"counter": 1, "nonce": nonce}, "time": now()})
    gateway.sender.flush()
    wait_for(lambda: shared_database.sql("select state from workers where id = %s", stranger) == [("gone",)], "the goodbye")
    gateway.cancel(build)


def test_a_project_stays_within_its_concurrency_and_others_pass_by(gateway, worker, shared_database):
    project, free = gateway.project(concurrency=2), gateway.project()
    builds = [gateway.post(project) for _ in range(5)]
    other = gateway.post(free)
    executor = worker(slots=10)
    executor.assigned(other)
    wait_for(lambda: len(assigned_order(executor)) == 3, "two builds of the full project")
    stays(lambda: shared_database.sql("select count(*) from project_slots where project_id = %s", project["id"]) == [(2,)], "two places", 1)
    held = "select count(*) from build_attempts a join build_audit b on b.id = a.build_id where held and project_id = %s"
    for command in executor.assignments(1 + len(builds)):
        if command["build_id"] != other:
            assert shared_database.sql(held, project["id"])[0][0] <= 2
            executor.run(command)
    for build in builds:
        gateway.wait(build, "completed")
    assert shared_database.sql("select count(*) from project_slots where project_id = %s", project["id"]) == [(0,)]


def test_lowering_a_limit_lets_what_runs_end(gateway, worker, shared_database):
    project = gateway.project(concurrency=3)
    executor = worker(slots=10)
    builds = [gateway.post(project) for _ in range(4)]
    wait_for(lambda: len(assigned_order(executor)) == 3, "three builds")
    shared_database.sql("update projects set concurrency = 1 where id = %s", project["id"])
    ran = [command for command in executor.commands if command["type"] == "attempt.assign"]
    for number, command in enumerate(ran):
        executor.run(command)
        gateway.wait(command["build_id"], "completed")
        if number < 2:
            stays(lambda: len(assigned_order(executor)) == 3, "the limit", 0.3)
    last = next(build for build in builds if build not in [command["build_id"] for command in ran])
    executor.run(executor.assigned(last))
    gateway.wait(last, "completed")


def test_raising_a_limit_is_noticed(gateway, worker, shared_database):
    project = gateway.project(concurrency=1)
    executor = worker(slots=10)
    builds = [gateway.post(project) for _ in range(3)]
    wait_for(lambda: len(assigned_order(executor)) == 1, "one build")
    shared_database.sql("update projects set concurrency = null where id = %s", project["id"])
    for build in builds:
        executor.assigned(build)


def test_a_higher_priority_goes_first_and_age_catches_up(gateway, worker, shared_database):
    project = gateway.project()
    low, high, middle = gateway.post(project, priority=1), gateway.post(project, priority=8), gateway.post(project, priority=5)
    old = gateway.request(project, priority=1)
    old["requested_at"] = "2026-11-23T00:00:00.000000Z"
    gateway.send(old)
    for build in (low, high, middle, old["build_id"]):
        gateway.wait(build, "pending")
    executor = worker(slots=1, works=True)
    for build in (low, high, middle, old["build_id"]):
        gateway.wait(build, "completed")
    assert assigned_order(executor) == [old["build_id"], high, middle, low]
    assert shared_database.sql("select count(*) from build_queue where project_id = %s", project["id"]) == [(0,)]


def test_labels_and_agents_choose_the_worker(gateway, worker):
    gpu = gateway.post(gateway.project(), labels=["gpu"])
    plain = worker(slots=2)
    build = gateway.post(gateway.project())
    plain.assigned(build)
    assert gateway.row(gpu)["phase"] == "queued"
    rich = worker(labels=["linux", "gpu"], slots=1)
    rich.assigned(gpu)
    agent = {"provider": "opencode", "model": None, "command": None, "max_turns": None, "max_tokens": None, "budget_usd": None}
    other = gateway.post(gateway.project(), agent=agent)
    gateway.wait(other, "pending")
    stays(lambda: gateway.row(other)["phase"] == "queued", "the queue", 0.5)
    worker(agents=["opencode"]).assigned(other)


def test_the_slots_with_the_fewest_spare_labels_go_first(gateway, worker):
    rich, poor = worker(labels=["gpu", "linux"], slots=1), worker(slots=1)
    wait_for(lambda: gateway.sql("select count(*) from workers where id = any(%s::uuid[]) and state = 'active'", [rich.id, poor.id]) == [(2,)], "two hellos")
    poor.assigned(gateway.post(gateway.project()))
    rich.assigned(gateway.post(gateway.project(), labels=["gpu"]))


def test_unrunnable_builds_do_not_starve_the_others(gateway, worker):
    project = gateway.project()
    stuck = [gateway.post(project, labels=["nowhere"], priority=9) for _ in range(60)]
    full = gateway.project(concurrency=1)
    executor = worker(slots=3)
    executor.assigned(gateway.post(full, priority=9))
    crowd = [gateway.post(full, priority=9) for _ in range(60)]
    build = gateway.post(project)
    executor.assigned(build)
    assert len(stuck + crowd) == 120


def test_no_slot_gets_two_attempts(gateway, worker, shared_database):
    executor = worker(slots=3)
    builds = [gateway.post(gateway.project()) for _ in range(9)]
    for command in executor.assignments(len(builds)):
        assert shared_database.sql("select count(*) from build_attempts where held and worker_id = %s", executor.id)[0][0] <= 3
        executor.run(command)
    for build in builds:
        gateway.wait(build, "completed")


def test_a_match_waits_for_its_turn_and_sees_what_came_meanwhile(gateway, worker, shared_database):
    """Nothing wakes it afterwards: no heartbeat, and (tests/mutants) no timer."""
    executor = worker(slots=2, labels=["turn"])
    wait_for(lambda: gateway.sql("select 1 from workers where id = %s", executor.id), "the worker")
    executor.quieten()
    with psycopg.connect(shared_database.url) as other:
        other.execute(LOCK_MATCH)
        builds = [gateway.post(gateway.project(), labels=["turn"]) for _ in range(2)]
        for build in builds:
            gateway.wait_phase(build, "queued")
        stays(lambda: not any(executor.was_assigned(build) for build in builds), "the wait", 0.2)
    for build in builds:
        executor.run(executor.assigned(build))
        gateway.wait(build, "completed")


# 2 MiB: of 64 MiB, which Kafka's producer takes, half is 16 of them.
LARGE = {"prompt": "x" * 2**20, "variables": {f"v{i}": "x" * 2**16 for i in range(16)}}


def large_builds(gateway, worker, shared_database, count, **options):
    """They wait, and the only worker that may get them is free: (builds, worker, what lets it have them)."""
    executor = worker(slots=count, labels=["large"], **options)
    wait_for(lambda: gateway.sql("select 1 from workers where id = %s", executor.id), "the worker")
    executor.quieten()
    shared_database.sql("update workers set read_until = 1000000 where id = %s", executor.id)
    project = gateway.project()
    builds = [gateway.post(project, labels=["large"], **LARGE) for _ in range(count)]
    for build in builds:
        gateway.wait_phase(build, "queued")
    return builds, executor, lambda: shared_database.sql("update workers set read_until = 0 where id = %s", executor.id)


def test_a_match_ends_with_what_can_be_sent_at_once_and_another_goes_on(gateway, worker, shared_database):
    builds, executor, begin = large_builds(gateway, worker, shared_database, 20)
    begin()
    for build in builds:
        executor.assigned(build)
    matches = shared_database.sql("select count(*) from build_attempts where build_id = any(%s::uuid[]) group by xmin::text order by 1", builds)
    assert matches == [(4,), (16,)]


def test_what_kafkas_producer_has_no_room_for_is_sent_when_it_has(gateway, worker, shared_database):
    """By nobody's asking: no heartbeat tells that it is lacking. And to the worker that has it, as its first attempt."""
    builds, executor, begin = large_builds(gateway, worker, shared_database, 40, heartbeat_s=0)
    with shared_database.system.frozen("KAFKA"):
        begin()
        wait_for(lambda: shared_database.sql("select count(*) from build_attempts where held and worker_id = %s", executor.id) == [(40,)], "all to be given away")
    for build in builds:
        assert executor.assigned(build)["attempt"] == 1
