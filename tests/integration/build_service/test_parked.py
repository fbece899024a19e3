"""Builds that are parked behind their project's limit, and what brings them back (vacancies.h). Nothing else would: the timer is ten minutes, no worker says anything, and no deadline ends."""
import psycopg

from kiln_testing import places
from kiln_testing.waiting import stays, wait_for
from playing import LOCK_MATCH

SETTINGS = {name: "600000" for name in ("KILN_DISPATCH_TIMER_MS", "KILN_LEASE_MS", "KILN_ACCEPT_DEADLINE_MS", "KILN_WORKER_FRESH_MS")}


def parked(gateway, project):
    return gateway.sql("select count(*) from build_queue where parked and project_id = %s", project["id"])[0][0]


def quiet(gateway, worker, **options):
    """A worker that has said hello, and says no more than what becomes of its attempts."""
    executor = worker(**{"slots": 10, **options})
    wait_for(lambda: gateway.sql("select 1 from workers where id = %s", executor.id), "the worker")
    executor.quieten()
    return executor


def line(gateway, executor, count, **spec):
    """One runs, the others are parked: (project, its command, the others)."""
    project = gateway.project(concurrency=1)
    running = executor.assigned(gateway.post(project, **spec))
    others = [gateway.post(project, **spec) for _ in range(count)]
    wait_for(lambda: parked(gateway, project) == count, "the others to be parked")
    return project, running, others


def set_limit(gateway, project, limit):
    """By the very statement of the gateway's PATCH."""
    patch = (places.ROOT / "api-gateway" / "sql" / "project-update.sql").read_text(encoding="utf-8")
    raw = psycopg.RawCursor(gateway.connection)
    assert raw.execute(patch, [project["id"], None, "main", None, limit, None, "{}", None]).rowcount == 1


def takes_its_place(gateway, executor, running, label):
    """The slot of the one that runs goes to another project, whose command is returned; the worker's other slot is taken, too."""
    executor.assigned(gateway.post(gateway.project(), labels=[label]))
    other = gateway.post(gateway.project(), labels=[label], priority=9)
    gateway.wait_phase(other, "queued")
    executor.run(running)
    return executor.assigned(other)


def test_a_patch_that_raises_a_limit_wakes_the_dispatcher(gateway, worker):
    executor = quiet(gateway, worker)
    project, _, others = line(gateway, executor, 2)
    stays(lambda: parked(gateway, project) == 2, "the queue", 1)
    set_limit(gateway, project, None)
    for build in others:
        executor.assigned(build)


def test_a_place_that_is_given_back_goes_to_the_first_of_its_project(gateway, worker):
    executor = quiet(gateway, worker)
    _, running, others = line(gateway, executor, 3)
    for build in others:
        executor.run(running)
        running = executor.assigned(build)


def test_a_place_that_is_given_back_while_a_match_is_under_way_is_not_forgotten(gateway, worker, shared_database):
    executor = quiet(gateway, worker)
    _, running, (first, second) = line(gateway, executor, 2)
    with psycopg.connect(shared_database.url) as other:
        other.execute(LOCK_MATCH)
        executor.run(running)
        gateway.wait(running["build_id"], "completed")
        stays(lambda: not executor.was_assigned(first), "the wait", 0.2)
    executor.run(executor.assigned(first))
    executor.assigned(second)


def test_a_place_whose_build_cannot_go_to_its_worker_goes_to_another_class(gateway, worker, shared_database):
    """The match has claimed it, and finds the worker changed when it locks it."""
    one, two = (quiet(gateway, worker, labels=[label]) for label in ("one", "two"))
    project, running, (first,) = line(gateway, one, 1, labels=["one"])
    second = gateway.post(project, labels=["two"])
    wait_for(lambda: parked(gateway, project) == 2, "both to be parked")
    with psycopg.connect(shared_database.url) as other:
        other.execute("update workers set read_until = 1000000 where id = %s", (one.id,))
        one.run(running)
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%%FROM workers WHERE id = ANY%%FOR SHARE' and datname = current_database()"
        wait_for(lambda: gateway.sql(waiting), "the match to wait for the worker")
        assert not one.was_assigned(first)
    two.assigned(second)
    shared_database.sql("update workers set read_until = 0 where id = %s", one.id)


def test_a_class_whose_slots_are_taken_does_not_keep_its_projects_place_from_another(gateway, worker):
    busy, free = quiet(gateway, worker, labels=["busy"], slots=2), quiet(gateway, worker, labels=["free"])
    project, running, _ = line(gateway, busy, 1, labels=["busy"])
    second = gateway.post(project, labels=["free"])
    wait_for(lambda: parked(gateway, project) == 2, "both to be parked")
    takes_its_place(gateway, busy, running, "busy")
    free.assigned(second)


def test_who_came_back_and_is_cancelled_makes_way_for_the_next(gateway, worker):
    """Who has come back keeps those behind from coming, as long as there is room for one."""
    executor = quiet(gateway, worker, labels=["next"], slots=2)
    project, running, (first, second) = line(gateway, executor, 2, labels=["next"])
    runs = takes_its_place(gateway, executor, running, "next")
    wait_for(lambda: gateway.sql("select build_id::text from build_queue where unparked and project_id = %s", project["id"]) == [(first,)], "the first to come back")
    gateway.cancel(first)
    gateway.wait(first, "cancelled")
    wait_for(lambda: parked(gateway, project) == 0, "the second to come back")
    executor.run(runs)
    executor.assigned(second)


def test_builds_that_are_parked_cost_the_others_no_match(service, gateway, worker):
    executor = quiet(gateway, worker)
    line(gateway, executor, 3)
    others = gateway.project()

    def one():
        """How many matches it took; none unless something stood in its way for a moment."""
        before = service.metric("kiln_match_seconds_count")
        build = gateway.post(others)
        executor.run(executor.assigned(build))
        gateway.wait(build, "completed")
        stays(lambda: True, "a moment", 0.1)
        return service.metric("kiln_match_seconds_count") - before

    assert min(one() for _ in range(5)) == 0


def test_as_many_as_were_parked_come_back_to_a_project_that_has_no_limit_any_more(gateway, shared_database):
    """More than come at once. No worker has their class."""
    project = gateway.project(concurrency=1)
    try:
        gateway.sql(
            "insert into build_queue (build_id, project_id, class, queue_key, created_at, own_class, parked)"
            " select gen_random_uuid(), %s, 'command,nowhere', now(), now(), 'command,nowhere', true from generate_series(1, 1200)",
            project["id"],
        )
        set_limit(gateway, project, None)
        wait_for(lambda: parked(gateway, project) == 0, "all to be back")
        assert gateway.sql("select count(*) from build_queue where unparked and project_id = %s", project["id"]) == [(1200,)]
    finally:
        shared_database.sql("delete from build_queue where project_id = %s", project["id"])
