"""Several instances, and instances that end in all ways."""
import pathlib
import signal
import threading

import psycopg
import pytest

from databases import PASSWORDS
from kiln_testing.places import ROOT
from kiln_testing.waiting import wait_for
from notifying import Builds


NOT_TOLD = "lost: the notifier that made it has not told how it ended"
MEANWHILE = "lost: an earlier attempt was delivered meanwhile"
BROKEN_OFF = "cancelled: the client ends"


def test_two_instances_deliver_each_event_once(own_builds, instance, bot):
    instance()
    instance()
    ids = own_builds.make(bot.url(), count=300)
    for build in ids:
        own_builds.send(build)
    own_builds.flush()
    calls = bot.wait(300)
    wait_for(lambda: own_builds.database.sql("select 1 from webhook_deliveries where state <> 'delivered' limit 1") == [], "all delivered")
    assert len(calls) == len(bot.calls) == 300
    assert len({call["headers"]["webhook-id"] for call in bot.calls}) == 300


def test_a_killed_instance_loses_nothing(own_builds, instance, bot):
    hang = threading.Event()
    bot.plan = [hang]
    first = instance()
    build, event_id = own_builds.ended(bot.url())
    bot.wait(1)
    first.stop(signal.SIGKILL)
    hang.set()
    # Its claim would end by itself, a minute later.
    own_builds.database.sql("update webhook_deliveries set claimed_until = now()")
    instance()
    own_builds.wait_state(build, "delivered")
    assert {call["headers"]["webhook-id"] for call in bot.calls} == {event_id}
    assert own_builds.attempts(build) == [(1, None, NOT_TOLD), (2, 204, None)]


def test_a_drain_lets_attempts_end(own_builds, instance, bot):
    hang = threading.Event()
    bot.plan = [hang]
    one = instance()
    build, _ = own_builds.ended(bot.url())
    bot.wait(1)
    one.process.send_signal(signal.SIGTERM)
    wait_for(lambda: any("drain" in line["msg"] for line in one.lines()), "the drain")
    hang.set()
    assert one.process.wait(60) == 0
    assert own_builds.delivery(build)["state"] == "delivered"


def test_an_attempt_that_the_drain_broke_off_does_not_count(own_builds, instance, bot):
    hang = threading.Event()
    bot.plan = [hang]
    one = instance(KILN_DRAIN_TIMEOUT_MS="200")
    build, _ = own_builds.ended(bot.url())
    bot.wait(1)
    assert one.stop() == 0
    hang.set()
    delivery = own_builds.delivery(build)
    assert delivery["state"] == "pending" and delivery["attempts"] == 0 and delivery["claimed_until"] is None
    instance()
    own_builds.wait_state(build, "delivered")
    assert own_builds.attempts(build) == [(1, 204, None)]


class Instance:
    """What an instance does to the rows, statement by statement, for one delivery."""

    def __init__(self, builds):
        self.builds = builds
        self.connection = psycopg.connect(builds.database.url_as("kiln_notifier", PASSWORDS["kiln_notifier"]), autocommit=True, row_factory=psycopg.rows.dict_row)
        for name in ("claim", "record"):
            self.connection.execute(f"prepare {name} as ".encode() + (ROOT / "notifier" / "sql" / f"{name}.sql").read_bytes())

    def claim(self):
        [row] = self.connection.execute("execute claim (64, 16777216, 8, 4194304, 60000, '{}', '{}', '{}', '', 32, 8388608, '{}', '{}', '{}')").fetchall()
        return row

    def claim_after_its_end(self):
        """What another instance has claimed and told nothing of."""
        self.builds.database.sql("update webhook_deliveries set claimed_until = now()")
        return self.claim()

    def record(self, row, state, status, error):
        values = (row["id"], row["attempt"], state, status, error, row["claim"])
        self.connection.execute("execute record ('{%s}', '{%d}', '{%s}', '{0}', '{%s}', '{%s}', '{1}', '{%d}')" % values)

    def release(self, row):
        self.record(row, "released", "null", f'"{BROKEN_OFF}"')

    def deliver(self, row):
        self.record(row, "delivered", 204, "null")


@pytest.fixture
def two(own_builds):
    """Two instances, and the only delivery."""
    own_builds.waiting("http://some.example/", 1, "-1 second")
    both = [Instance(own_builds), Instance(own_builds)]
    yield both
    for one in both:
        one.connection.close()


def all_attempts(builds):
    return builds.database.sql("select attempt, status, error from webhook_attempts order by attempt")


def test_an_attempt_that_is_released_again_leaves_the_next_claim_alone(own_builds, two):
    """As after a COMMIT whose answer was lost: another instance has the delivery by then, with the number that was given back."""
    one, other = two
    first = one.claim()
    one.release(first)
    second = other.claim()
    assert second["id"] == first["id"] and second["attempt"] == first["attempt"] == 1
    one.release(first)
    assert own_builds.database.sql("select attempts, claimed_until is not null from webhook_deliveries") == [(1, True)]
    assert all_attempts(own_builds) == [(1, None, None)]
    other.release(second)
    assert own_builds.database.sql("select attempts, claimed_until is not null from webhook_deliveries") == [(0, False)]
    assert all_attempts(own_builds) == []


def test_an_attempt_that_is_broken_off_after_an_earlier_one_was_delivered_does_not_stay_open(own_builds, two):
    one, other = two
    first = one.claim()
    second = other.claim_after_its_end()
    assert all_attempts(own_builds) == [(1, None, NOT_TOLD), (2, None, None)]
    one.deliver(first)
    ended = [(1, 204, None), (2, None, MEANWHILE)]
    assert all_attempts(own_builds) == ended
    other.release(second)
    assert all_attempts(own_builds) == ended


def test_an_attempt_that_begins_while_an_earlier_one_is_recorded_as_delivered_does_not_stay_open_when_it_is_broken_off(own_builds, two):
    """The record has taken its snapshot by then, and waits for the claim."""
    one, other = two
    first = one.claim()
    own_builds.database.sql("update webhook_deliveries set claimed_until = now()")
    with other.connection.transaction():
        second = other.claim()
        recording = threading.Thread(target=one.deliver, args=(first,))
        recording.start()
        wait_for(lambda: own_builds.database.sql("select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"), "the record to wait")
    recording.join()
    assert own_builds.database.sql("select state, attempts from webhook_deliveries") == [("delivered", 2)]
    other.release(second)
    assert all_attempts(own_builds) == [(1, 204, None), (2, None, BROKEN_OFF)]


def test_an_attempt_whose_claim_was_lost_has_ended_as_it_tells(own_builds, two):
    one, other = two
    first = one.claim()
    second = other.claim_after_its_end()
    one.record(first, "pending", 500, '"server_error: HTTP status 500"')
    other.deliver(second)
    assert all_attempts(own_builds) == [(1, 500, "server_error: HTTP status 500"), (2, 204, None)]


def test_what_was_due_while_nobody_ran_is_delivered_at_start(own_builds, instance, bot):
    one = instance(KILN_WEBHOOK_SCHEDULE="0,3600")
    bot.default = (500, {})
    build, _ = own_builds.ended(bot.url())
    bot.wait(1)
    wait_for(lambda: own_builds.delivery(build)["last_status"] == 500, "the failure to be recorded")
    one.stop()
    bot.default = (204, {})
    own_builds.database.sql("update webhook_deliveries set next_attempt_at = now()")
    instance(KILN_WEBHOOK_SCHEDULE="0,3600")
    own_builds.wait_state(build, "delivered")


def test_what_waits_behind_all_that_waits_for_a_full_host_is_delivered(own_builds, instance, bot, another_bot):
    """Also when the walk along the hosts does not come to it at once."""
    hang = bot.default = threading.Event()
    own_builds.waiting(bot.url(), 100_000, "-1 hour")
    own_builds.waiting("http://0.0.0.#/", 1500, "1 hour")
    try:
        instance(KILN_WEBHOOK_TIMEOUT_MS="60000")
        bot.wait(8)
        build, _ = own_builds.ended(another_bot.url())
        own_builds.wait_state(build, "delivered")
        assert len(bot.calls) == 8
    finally:
        hang.set()


def test_large_bodies_for_a_slow_host_leave_room_for_the_others(own_builds, instance, bot, another_bot):
    hang = bot.default = threading.Event()
    own_builds.waiting(bot.url(), 8, "-1 hour", body="x" * (9 << 18))  # 18 MiB: more than an instance has in memory
    try:
        instance(KILN_WEBHOOK_TIMEOUT_MS="60000")
        bot.wait(1)
        build, _ = own_builds.ended(another_bot.url())
        own_builds.wait_state(build, "delivered", deadline=30)
        assert len(bot.calls) == 1
    finally:
        hang.set()


def test_a_project_whose_webhooks_all_hang_leaves_room_for_the_others(own_builds, instance, bot, another_bot):
    hang = bot.default = threading.Event()
    own_builds.waiting(bot.url(), 8, "-1 hour")
    try:
        instance(KILN_WEBHOOK_TIMEOUT_MS="60000", KILN_WEBHOOK_IN_FLIGHT="2")
        bot.wait(1)
        others = Builds(own_builds.database)
        build, _ = others.ended(another_bot.url())
        others.wait_state(build, "delivered", deadline=30)
        assert len(bot.calls) == 1
    finally:
        hang.set()


def test_connections_that_break_are_made_again(own_builds, instance, bot):
    one = instance()
    for _ in range(3):
        own_builds.database.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'kiln_notifier' and datname = current_database()")
        build, _ = own_builds.ended(bot.url())
        own_builds.wait_state(build, "delivered")
    wait_for(one.ready, "the notifier to be ready again")


def test_events_that_came_while_nobody_ran_are_read(own_builds, instance, bot):
    build, _ = own_builds.ended(bot.url())
    instance()
    own_builds.wait_state(build, "delivered")


@pytest.mark.parametrize(
    "name, value, lacking",
    [
        ("KILN_KAFKA_BROKERS", "127.0.0.1:1", {"inbox"}),
        ("KILN_DATABASE_URL", "postgresql://kiln_notifier:secret@127.0.0.1:1/kiln", {"inbox", "webhooks"}),
    ],
)
def test_it_starts_and_stops_while_something_is_away(instance, name, value, lacking):
    one = instance(wait=False, **{name: value})
    wait_for(lambda: set(one.missing() or {}) == lacking, f"/readyz to name {lacking}")
    assert "ok" in one.ops("/livez")
    assert one.stop() == 0
    assert "secret" not in one.log_path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / "notifier" / "sql").glob("*.sql")), ids=lambda path: pathlib.Path(path).stem)
def test_every_statement_is_allowed_to_its_role(own_builds, path):
    with psycopg.connect(own_builds.database.url_as("kiln_notifier", PASSWORDS["kiln_notifier"]), autocommit=True) as connection:
        connection.execute(b"prepare statement as " + path.read_bytes())
        [count] = connection.execute("select cardinality(parameter_types) from pg_prepared_statements where name = 'statement'").fetchone()
        connection.execute(f"explain execute statement{'(' + ', '.join(['null'] * count) + ')' if count else ''}")
