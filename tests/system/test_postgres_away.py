"""Postgres gone: accepting goes on, nothing is guessed, and everything goes on afterwards."""

import concurrent.futures
import contextlib
import os
import pathlib
import secrets
import signal
import time
import uuid

import psycopg
import pytest
from kiln_testing.agents import WAITS, Gate, spec, waiting_spec
from kiln_testing.changes import assert_told, spec_at
from kiln_testing.client import slug
from kiln_testing.revoking import REVOKED_WITHIN_S, used_after_revocation
from kiln_testing.services import frozen_tree, ops_get, ready_gateway
from kiln_testing.streams import EventStream
from kiln_testing.waiting import stays, wait_for


def away(kiln):
    kiln.system.touched = True
    return frozen_tree(kiln.system.pids("POSTGRES")[0])


def timed_get(client, path):
    """(the answer, whatever it is; after how many seconds)"""
    start = time.monotonic()
    return client.get(path), time.monotonic() - start


def queued(kiln, count=1):
    """Paths of builds that nobody takes, as Postgres has them."""
    project = kiln.project()
    tasks = [kiln.post(project, waiting_spec()) for _ in range(count)]
    for task in tasks:
        kiln.tap.wait_type(task, "build.pending")
    return [f"/builds/{task}" for task in tasks]


def test_accepting_and_cancelling_go_on_for_what_the_gateway_knows(own_kiln):
    project, _ = own_kiln.seeded(agent={"provider": "command", "command": own_kiln.agents.write("true")})
    template = own_kiln.api.post("/templates", {"name": own_kiln.name("t"), "text": "{{prompt}}!"}, expect=201).json()
    body = {"prompt": "x", "template": template["name"]}
    own_kiln.wait_end(own_kiln.post(project, body))
    with away(own_kiln):
        tasks = [own_kiln.post(project, body) for _ in range(5)]
        unwanted = own_kiln.post(project, body | WAITS)
        own_kiln.cancel(unwanted)
    for task in tasks:
        build = own_kiln.wait_end(task)
        assert build["status"] == "completed" and build["spec"]["prompt"] == "x!"
    assert own_kiln.wait_end(unwanted)["status"] == "cancelled"


def test_a_gateway_has_read_all_projects_and_tokens_when_it_is_ready(own_kiln):
    """More than come by one statement, and none of them changed lately."""
    token, name = own_kiln.token(["builds:write"]), own_kiln.name()
    projects = "insert into projects (id, name, webhook_secret) select gen_random_uuid(), %s || '-' || n, 'x' from generate_series(1, 250) n"
    others = "insert into api_tokens (id, name, hash, scopes) select gen_random_uuid(), 'x', sha256((%s || n)::bytea), '{admin}' from generate_series(1, 250) n"
    for statement in (projects, others):
        own_kiln.system.sql(statement, name)
    for table in ("projects", "api_tokens"):
        own_kiln.system.sql(f"update {table} set updated_at = now() - interval '1 hour'")
    with ready_gateway(own_kiln.system) as gateway:
        there = own_kiln.at(gateway, token)
        with away(own_kiln):
            for number in range(1, 251, 10):
                there.post(f"/projects/{name}-{number}/builds", waiting_spec(), expect=202)


def test_keys_hold_while_postgres_is_away(own_kiln):
    project, headers, body = own_kiln.project(), {"Idempotency-Key": str(uuid.uuid4())}, waiting_spec()
    path = f"/projects/{project['id']}/builds"
    with ready_gateway(own_kiln.system) as gateway:
        there = own_kiln.at(gateway)
        for client in (own_kiln.api, there):  # both know the project
            client.post(path, body, expect=202)
        with away(own_kiln):
            task = own_kiln.post(project, body, headers=headers)
            assert there.post(path, body, headers=headers, expect=202).json()["task_id"] == task
            for client in (own_kiln.api, there):
                assert slug(client.post(path, spec("other", **WAITS), headers=headers, expect=422)) == "idempotency-key-reused"
                assert slug(client.get(f"/builds/{task}", expect=503)) == "database-unavailable"
    own_kiln.tap.wait_type(task, "build.pending")
    wait_for(lambda: own_kiln.api.get(path).status_code == 200, "Postgres to be back")
    assert len([item for item in own_kiln.api.pages(path) if item["task_id"] == task]) == 1
    assert own_kiln.build(task)["spec"]["agent"]["command"] == "none"


def test_a_key_from_before_is_known_while_postgres_is_away(own_kiln):
    project, headers, body = own_kiln.project(), {"Idempotency-Key": str(uuid.uuid4())}, waiting_spec()
    task = own_kiln.post(project, body, headers=headers)
    own_kiln.tap.wait_type(task, "build.pending")
    with away(own_kiln):
        assert own_kiln.post(project, body, headers=headers) == task
        own_kiln.api.post(f"/projects/{project['id']}/builds", spec("other", **WAITS), headers=headers, expect=422)


def test_a_key_that_postgres_keeps_is_neither_ignored_nor_lost_while_it_is_away(own_kiln):
    headers, body = {"Idempotency-Key": str(uuid.uuid4())}, {"name": own_kiln.name("t"), "text": "x"}
    made = own_kiln.api.post("/templates", body, headers=headers, expect=201).json()
    task = own_kiln.post(own_kiln.project(), waiting_spec())
    with away(own_kiln):
        own_kiln.api.post("/templates", body, headers=headers, expect=503)
        own_kiln.api.post(f"/builds/{task}/cancel", headers=headers, expect=503)
    again = wait_for(lambda: (answer := own_kiln.api.post("/templates", body, headers=headers, expect=(201, 503))).is_success and answer, "Postgres")
    assert again.json() == made
    own_kiln.api.post(f"/builds/{task}/cancel", headers=headers, expect=202)
    assert own_kiln.wait_end(task)["status"] == "cancelled"


def test_what_another_gateway_may_have_shown_is_not_shown_as_less(own_kiln):
    project = own_kiln.project()
    ended = own_kiln.run(project, "true")
    with ready_gateway(own_kiln.system) as gateway:
        there = own_kiln.at(gateway)
        there.post(f"/projects/{project['id']}/builds", waiting_spec(), expect=202)  # it knows the project
        own_kiln.wait_end(ended)
        with away(own_kiln):
            for task in (ended, own_kiln.post(project, waiting_spec())):
                for path in (f"/builds/{task}", f"/builds/{task}/events", f"/builds/{task}/logs", f"/builds/{task}/explain"):
                    assert slug(there.get(path, expect=503)) == "database-unavailable", path


def test_a_cancel_is_503_for_a_build_that_is_known_to_have_a_row(own_kiln):
    task = own_kiln.run(own_kiln.project(), "true")
    own_kiln.wait_end(task)
    own_kiln.build(task)
    with away(own_kiln):
        assert slug(own_kiln.api.post(f"/builds/{task}/cancel", expect=503)) == "database-unavailable"


def test_a_wait_whose_last_look_does_not_end_is_given_up(own_kiln):
    path = f"/projects/{own_kiln.project()['id']}/builds"
    task = own_kiln.api.post(path, waiting_spec(), expect=202).json()["task_id"]
    own_kiln.tap.wait_type(task, "build.pending")
    with ready_gateway(own_kiln.system, KILN_WORKERS="1", KILN_REQUEST_TIMEOUT_MS="200") as gateway:
        there = own_kiln.at(gateway)
        with psycopg.connect(own_kiln.system.env["KILN_DATABASE_URL"]) as holder:
            holder.execute("lock table build_audit in access exclusive mode")
            for _ in range(4):  # some go on to the one worker, three seconds each
                there.get(f"/builds/{task}", expect=503)
            answers = [there.get(f"/builds/{task}", headers={"Prefer": "wait=1"}, expect=503)]
            answers += [there.post(path, spec("other", **WAITS), headers={"Prefer": "wait=1"}, expect=202)]
        assert slug(answers[0]) == "overloaded" and "preference-applied" not in answers[0].headers
        assert answers[1].headers["preference-applied"] == "wait=1"


def test_a_gateway_that_ends_does_not_wait_for_a_locked_table_request_by_request(own_kiln):
    path = f"/projects/{own_kiln.project()['id']}/builds"
    with ready_gateway(own_kiln.system, KILN_WORKERS="1", KILN_REQUEST_TIMEOUT_MS="200") as gateway:
        there = own_kiln.at(gateway)
        with own_kiln.system.locked("build_audit"), concurrent.futures.ThreadPoolExecutor(40) as pool:
            list(pool.map(lambda _: there.get(path, expect=503), range(40)))  # three seconds of the one worker each
            os.kill(gateway.process.pid, signal.SIGTERM)
            wait_for(lambda: gateway.process.poll() is not None, "the gateway to end", 60)
        assert gateway.process.returncode == 0


def test_what_cannot_be_decided_is_503_and_never_404(own_kiln):
    project = own_kiln.project()
    own_kiln.post(project, waiting_spec())
    with away(own_kiln):
        for path in (f"/builds/{uuid.uuid4()}", f"/projects/{own_kiln.name()}", "/projects", "/templates/unknown", "/tokens"):
            answer = own_kiln.api.get(path, expect=503)
            assert slug(answer) in ("database-unavailable", "undecidable"), path
        answer = own_kiln.api.post(f"/projects/{own_kiln.name()}/builds", spec("none"), expect=503)
        assert slug(answer) in ("database-unavailable", "undecidable")
        own_kiln.api.post("/projects", {"name": own_kiln.name()}, expect=503)
        new = {"project": {"name": own_kiln.name()}, "build": spec("none")}
        own_kiln.api.post("/project/create-and-build", new, expect=503)


def not_refreshed(gateway):
    """Waits until a statement of this gateway's caches has taken too long."""
    said = gateway.log.read_text(encoding="utf-8").count("caches are not refreshed")
    wait_for(lambda: gateway.log.read_text(encoding="utf-8").count("caches are not refreshed") > said, "the caches to give up a look")


def test_a_table_that_the_caches_wait_for_in_vain_is_not_postgres_away(own_kiln):
    project = own_kiln.project()
    with ready_gateway(own_kiln.system) as gateway:
        there = own_kiln.at(gateway)
        with own_kiln.system.locked("templates"):
            for _ in range(2):
                not_refreshed(gateway)
                assert there.get(f"/projects/{project['id']}").status_code == 200
                assert gateway.readyz().status_code == 200 and gateway.metric("kiln_gateway_database_up") == 1
        assert "database is away" not in gateway.log.read_text(encoding="utf-8")


def test_a_revoked_token_stops_also_while_the_caches_wait_for_other_things(own_kiln):
    with ready_gateway(own_kiln.system) as gateway, own_kiln.system.locked("templates"):
        client = own_kiln.token(["builds:read"])
        there = own_kiln.at(gateway, client)
        there.get("/me", expect=200)
        not_refreshed(gateway)
        own_kiln.api.delete(f"/tokens/{client.id}", expect=204)
        assert used_after_revocation(gateway.log, there) < REVOKED_WITHIN_S


def test_a_gateway_whose_session_has_ended_is_told_of_changes_again(own_kiln):
    sessions = "from pg_stat_activity where application_name = 'kiln-gateway-caches'"
    with ready_gateway(own_kiln.system) as gateway:
        old = {pid for (pid,) in own_kiln.system.sql(f"select pid {sessions}")}
        own_kiln.system.touched = True
        own_kiln.system.sql(f"select pg_terminate_backend(pid) {sessions}")
        wait_for(lambda: len({pid for (pid,) in own_kiln.system.sql(f"select pid {sessions}")} - old) == len(old), "new sessions")
        assert_told(own_kiln, own_kiln.at(gateway))


# Of the rows of projects that a gateway's caches look at, each 250th is too much for Postgres.
HURDLES = (
    "create sequence kiln_test_looks",
    "create sequence kiln_test_oldest",
    """create function kiln_test_look(name text) returns boolean language plpgsql cost 100000 security definer as $$
    begin
        if current_setting('application_name') = 'kiln-gateway-caches' then
            if name = '{oldest}' then perform nextval('kiln_test_oldest'); end if;
            if mod(nextval('kiln_test_looks'), 250) = 0 then perform {happens}; end if;
        end if;
        return true;
    end $$""",
    "create policy kiln_test_all on projects using (true) with check (true)",
    "create policy kiln_test_hurdles on projects as restrictive for select using (kiln_test_look(name) is not null)",
    "alter table projects enable row level security",
    "analyze projects",  # a page is read by the index, and looks at no more rows than it has
)
NO_HURDLES = (
    "alter table projects disable row level security",
    "drop policy if exists kiln_test_hurdles on projects",
    "drop policy if exists kiln_test_all on projects",
    "drop function if exists kiln_test_look",
    "drop sequence if exists kiln_test_looks, kiln_test_oldest",
)
OLDEST_READ = """select is_called and not exists (
    select from pg_stat_activity where application_name = 'kiln-gateway-caches' and state = 'active' and query like '%%FROM projects%%'
) from kiln_test_oldest"""


@pytest.mark.parametrize("happens", ["pg_sleep(30)", "pg_terminate_backend(pg_backend_pid())"], ids=["time-out", "end-of-session"])
def test_a_look_at_all_projects_goes_on_where_it_failed(own_kiln, happens):
    """From its beginning it would fail again before it comes to its end."""
    name, system = own_kiln.name(), own_kiln.system
    system.touched = True
    system.sql(
        "insert into projects (id, name, webhook_secret, updated_at)"
        " select (to_char(n, 'FM0000') || substr(gen_random_uuid()::text, 5))::uuid, %s || '-' || n, 'x', now() - interval '1 hour'"
        " from generate_series(0, 600) n",
        name,
    )
    oldest = f"{name}-0"
    try:
        for statement in HURDLES:
            system.sql(statement.format(oldest=oldest, happens=happens))
        with ready_gateway(system) as gateway:
            wait_for(lambda: system.sql(OLDEST_READ) == [(True,)], "the look to come to the oldest project")
            with away(own_kiln):
                own_kiln.at(gateway).post(f"/projects/{oldest}/builds", waiting_spec(), expect=202)
    finally:
        for statement in NO_HURDLES:
            system.sql(statement)


def peak_bytes(process):
    """Of memory that a process has had so far."""
    lines = pathlib.Path("/proc", str(process.pid), "status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def test_a_gateway_starts_and_stays_ready_beside_a_thousand_large_templates_of_which_it_reads_what_is_asked_for(own_kiln):
    size, name = 200 * 1024, own_kiln.name("t")
    make = "insert into templates (name, version, text) select %s || '-' || n, 1, repeat('x', %s) from generate_series(1, 1000) n"
    own_kiln.system.sql(make, name, size)
    try:
        with ready_gateway(own_kiln.system) as gateway:
            stays(lambda: gateway.readyz().status_code == 200, "being ready", 3, poll=0.2)
            before = peak_bytes(gateway.process)
            assert spec_at(own_kiln, own_kiln.at(gateway), own_kiln.project()["id"], template=f"{name}-7")["template"] == f"{name}-7@1"
            assert "database is away" not in gateway.log.read_text(encoding="utf-8")
            assert before < 500 * size
    finally:
        own_kiln.system.sql("delete from templates where name like %s", f"{name}-%")


def test_a_session_that_ends_while_it_reads_builds_costs_nobody_the_answer(own_kiln):
    """The gateway reads many builds by one statement; each is asked for once more when it fails."""
    paths, system = queued(own_kiln, 4), own_kiln.system
    waiting = "application_name = 'kiln-gateway-reads' and wait_event_type = 'Lock'"
    gets = []

    with concurrent.futures.ThreadPoolExecutor(32) as pool:

        def ended():
            path = paths[len(gets) % len(paths)]
            gets.append((path, pool.submit(timed_get, own_kiln.api, path)))
            return system.sql(f"select count(pg_terminate_backend(pid)) from pg_stat_activity where {waiting}")[0][0] > 0

        with system.locked("build_requests"):
            wait_for(ended, "a session that reads builds")
        results = [(path, *get.result()) for path, get in gets]
    for path, answer, seconds in results:
        if answer.status_code == 200:
            assert answer.json()["task_id"] == path.removeprefix("/builds/")
        else:  # the machine is slow: also who asked once more was not answered within its three seconds
            assert slug(answer) == "database-unavailable" and seconds > 2
    for path in paths:
        own_kiln.api.get(path, expect=200)


def test_a_get_that_postgres_does_not_answer_in_time_is_503_and_the_next_one_is_served(own_kiln):
    paths = queued(own_kiln, 6)
    with ready_gateway(own_kiln.system, KILN_THREADS="1", KILN_REQUEST_TIMEOUT_MS="300") as gateway:
        there = own_kiln.at(gateway)
        with own_kiln.system.locked("build_requests"), concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
            for answer in pool.map(there.get, paths):  # some wait in a statement, others behind it
                assert (answer.status_code, slug(answer)) == (503, "database-unavailable")
        for path in paths:
            there.get(path, expect=200)


def test_gets_beyond_the_queue_are_503_at_once_and_the_others_are_answered(own_kiln):
    paths = queued(own_kiln, 4)
    few = {"KILN_THREADS": "1", "KILN_WORKERS": "1", "KILN_WORKER_QUEUE": "1"}
    with ready_gateway(own_kiln.system, **few) as gateway, concurrent.futures.ThreadPoolExecutor(12) as pool:
        there = own_kiln.at(gateway)
        with own_kiln.system.locked("build_requests"):
            gets = [pool.submit(there.get, paths[number % len(paths)]) for number in range(12)]
            answers = (get.result() for get in concurrent.futures.as_completed(gets))
            refused = next(answer for answer in answers if answer.status_code == 503 and slug(answer) == "overloaded")
            assert int(refused.headers["retry-after"]) > 0
        for answer in (get.result() for get in gets):
            assert answer.status_code == 200 or slug(answer) in ("overloaded", "database-unavailable")
        wait_for(lambda: there.get(paths[0]).status_code == 200, "the queue to be free")
        assert gateway.metric("kiln_gateway_refused_requests_total") > 0


def test_an_unknown_token_is_not_taken_for_a_wrong_one(own_kiln):
    # Of the right form and never seen before: another gateway may have made it a moment ago.
    client = own_kiln.api.with_token("kiln_" + secrets.token_urlsafe(32))
    with away(own_kiln):
        assert client.get("/me").status_code == 503
        assert own_kiln.api.get("/me").status_code == 200
    wait_for(lambda: client.get("/me").status_code == 401, "the token to be known as wrong")


def test_streams_outlive_an_absence_and_miss_nothing(own_kiln):
    project, _ = own_kiln.seeded()
    gate = Gate(own_kiln)
    task = own_kiln.run(project, f"for n in $(seq 1 900); do [ ! -e {gate.path} ] || break; echo line $n; sleep 0.1; done")
    paths = (f"/builds/{task}/events", f"/builds/{task}/logs", f"/projects/{project['id']}/events")
    with contextlib.ExitStack() as stack:
        events, log, feed = (stack.enter_context(EventStream(own_kiln.api, path)) for path in paths)
        wait_for(lambda: log.events, "the first line")
        own_kiln.build(task)  # what was shown from Postgres is not shown from the tail any more
        with away(own_kiln):
            before = len(log.events)
            wait_for(lambda: len(log.events) > before, "lines to come without Postgres")
            wait_for(lambda: own_kiln.api.get(paths[0], headers={"Accept": "text/event-stream"}).status_code == 503, "new streams to be refused")
        gate.open()
        trail = [(event.id, event.type, event.json) for event in events.wait_end()]
        lines = [event.json for event in log.wait_end()]
        feed.wait_type("build.completed")
    own_kiln.wait_end(task)
    assert trail == [(str(item["sequence"]), item["type"], item["data"]) for item in own_kiln.trail(task)]
    assert lines == own_kiln.log(task)


def test_builds_end_once_after_postgres_was_killed_in_the_middle(own_kiln):
    project, repository = own_kiln.seeded()
    pids = {name: own_kiln.system.pids(name) for name in ("GATEWAY", "BUILD_SERVICE", "NOTIFIER", "EXECUTOR")}
    inbox = own_kiln.receiver.inbox()
    tasks = [
        own_kiln.run(project, f"echo x > {n}.txt; sleep 0.5", auto_commit=True, auto_push=True, callback_url=inbox.url) for n in range(4)
    ]
    own_kiln.wait_phase(tasks[0], "agent")
    own_kiln.system.signal("POSTGRES", signal.SIGQUIT)
    own_kiln.system.up()
    for task in tasks:
        build = own_kiln.wait_end(task)
        assert build["status"] == "completed", build["result"]["error"]
    inbox.wait(4)
    assert len({delivery.headers["webhook-id"] for delivery in inbox.deliveries}) == 4
    assert pids == {name: own_kiln.system.pids(name) for name in pids}
    with repository.clone() as clone:
        assert all(len(clone.commits_of(task)) == 1 for task in tasks)


def test_readyz_names_what_is_missing(own_kiln):
    def says(status, word=""):
        answer = ops_get(own_kiln.system.env["KILN_OPS_BUILD_SERVICE"], "/readyz")
        return answer is not None and answer.status_code == status and word in answer.text.lower()

    wait_for(lambda: says(200), "the build service to be ready")
    with away(own_kiln):
        wait_for(lambda: says(503, "postgres"), "the build service to name Postgres")
    wait_for(lambda: says(200), "the build service to be ready again")
