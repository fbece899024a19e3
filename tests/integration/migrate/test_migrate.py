"""kiln-migrate: what it makes, and that it is safe to repeat, to kill and to run with others."""
import hashlib
import os
import pathlib
import signal
import stat
import subprocess
import uuid

import psycopg
import pytest

from databases import PASSWORDS, PROGRAM
from kiln_testing.places import ROOT
from kiln_testing.waiting import wait_for

FILES = sorted((ROOT / "migrations").glob("*.sql"))


def state_of(database):
    """Everything that a second run must leave as it is."""
    return (
        database.sql("select * from schema_migrations order by name"),
        database.sql("select * from deployment"),
        database.sql("select * from api_tokens order by id"),
        database.sql("select * from consumer_offsets order by 1, 2, 3"),
    )


def test_everything_is_made(database, topics):
    topics.delete()
    output = database.migrate()

    recorded = database.sql("select name, checksum from schema_migrations order by name")
    assert [name for name, _ in recorded] == [file.name for file in FILES]
    assert [bytes(checksum) for _, checksum in recorded] == [hashlib.sha256(file.read_bytes()).digest() for file in FILES]
    assert database.sql("select length(secret) from deployment") == [(32,)]

    for role, password in PASSWORDS.items():
        with psycopg.connect(database.url_as(role, password)) as connection:
            assert connection.execute("select current_user").fetchone() == (role,)
        assert password not in output

    token = database.token_file.read_text(encoding="ascii").strip()
    assert stat.S_IMODE(database.token_file.stat().st_mode) == 0o600
    assert token.startswith("kiln_") and len(token) == 48
    assert token not in output
    assert database.sql("select hash, scopes, projects, expires_at from api_tokens") == [
        (hashlib.sha256(token.encode()).digest(), ["admin"], None, None)
    ]


def test_topics_have_their_settings(database, topics):
    topics.delete()
    database.migrate()
    days = {"requests": 7, "assignments": 1, "results": 7, "logs": 3, "events": 30}
    for name in ("kiln.build.requests", "kiln.build.assignments", "kiln.build.results", "kiln.build.logs", "kiln.build.events"):
        config = topics.config(name)
        assert config.pop("flush.messages", None) == ("1" if name == "kiln.build.requests" else None)
        assert config == {
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(days[name.rpartition(".")[2]] * 86400000),
            "retention.bytes": "-1",
            "max.message.bytes": str(8 * 1024 * 1024),
            "unclean.leader.election.enable": "false",
            "min.insync.replicas": "1",
        }
    counts = {name: topics.partitions(name) for name in topics.names()}
    assert counts == {
        "kiln.build.assignments": 32, "kiln.build.events": 12, "kiln.build.logs": 12, "kiln.build.requests": 12, "kiln.build.results": 12,
        "kiln.ci.events": 12, "kiln.dead-letters": 3, "kiln.project.events": 12, "kiln.worker.events": 12,
    }  # fmt: skip


def test_each_consumer_has_its_offset_rows(database):
    database.migrate()
    rows = database.sql(
        "select consumer, topic, array_agg(partition order by partition), max(next_offset), max(cluster_id)"
        " from consumer_offsets group by consumer, topic order by consumer, topic"
    )
    twelve = list(range(12))
    assert rows == [
        ("kiln-build-service", "kiln.build.requests", twelve, 0, None),
        ("kiln-build-service", "kiln.build.results", twelve, 0, None),
        ("kiln-build-service", "kiln.ci.events", twelve, 0, None),
        ("kiln-build-service", "kiln.worker.events", twelve, 0, None),
        ("kiln-log-store", "kiln.build.logs", twelve, 0, None),
        ("kiln-notifier", "kiln.build.events", twelve, 0, None),
    ]


def test_a_second_run_changes_nothing(database):
    database.migrate()
    database.sql("update consumer_offsets set next_offset = 42 where partition = 3")
    before = state_of(database)
    database.migrate()
    assert state_of(database) == before


def test_several_at_once_do_it_once(database, topics):
    topics.delete()
    processes = [database.start() for _ in range(4)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], outputs
    applied = "".join(outputs).count("migration applied")
    assert applied == len(FILES)
    assert len(database.sql("select 1 from api_tokens")) == 1
    assert len(topics.names()) == 9


def test_two_databases_of_one_cluster_at_once(database, another_database, topics):
    topics.delete()
    processes = [one.start() for one in (database, another_database) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], outputs
    for one in (database, another_database):
        assert len(one.sql("select 1 from schema_migrations")) == len(FILES)


def test_killed_anywhere_it_can_be_run_again(database, topics):
    topics.delete()
    for delay_ms in range(0, 400, 25):
        process = database.start()
        try:
            process.communicate(timeout=delay_ms / 1000)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    database.migrate()
    assert len(database.sql("select 1 from schema_migrations")) == len(FILES)
    assert len(database.sql("select 1 from deployment")) == 1
    assert len(database.sql("select 1 from api_tokens")) == 1


def test_the_backfill_of_lists_adds_what_is_missing_and_nothing_else(database):
    database.migrate()
    project, ended, waiting = (str(uuid.uuid4()) for _ in range(3))
    database.sql(
        """with requests as (
            insert into build_requests (build_id, spec) select id, '{"template": "t@1", "branch": "b"}' from unnest(array[%s, %s]::uuid[]) as id)
        insert into build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, created_at, finished_at)
        values (%s, %s, 'p', 'completed', null, 3, 'command', 5, 1, now(), now()), (%s, %s, 'p', 'pending', 'queued', 3, 'command', 5, 1, now(), null)
        returning 1""",
        ended, waiting, ended, project, waiting, project,
    )
    lists = "select list from ended_builds where project_id = %s and build_id = %s order by list"
    wanted = database.sql("select list from kiln_build_lists('b', 't@1', null) as list order by list")
    for _ in range(2):
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute((ROOT / "migrations" / "0013_lists_backfill.sql").read_bytes())
        assert database.sql(lists, project, ended) == wanted and len(wanted) == 6
        assert database.sql("select count(*) from ended_builds") == [(len(wanted),)]
        assert database.sql("select template, asked_branch from build_audit") == [("t@1", "b")] * 2


def applied_before(connection, name):
    """All migrations before this one; returns its text."""
    at = next(number for number, file in enumerate(FILES) if file.name == name)
    for file in FILES[:at]:
        connection.execute(file.read_bytes())
    return FILES[at].read_bytes()


def test_what_waits_in_an_older_queue_stands_in_its_lists(database):
    asked, resolved, neither = (str(uuid.uuid4()) for _ in range(3))
    with psycopg.connect(database.url, autocommit=True) as connection:
        migration = applied_before(connection, "0026_queue_lists.sql")
        for build, branch, asked_branch, template in ((asked, None, "b", "t@1"), (resolved, "c", "b", None), (neither, None, None, None)):
            connection.execute(
                "insert into build_audit (id, project_id, project_name, status, phase, max_attempts, class, priority, queue_timeout_s, created_at, branch, asked_branch,"
                " template) values (%s, gen_random_uuid(), 'p', 'pending', 'queued', 3, 'command,gpu', 5, 1, '2026-01-01 00:00Z', %s, %s, %s)",
                (build, branch, asked_branch, template),
            )
        connection.execute("insert into build_queue (build_id, project_id, class, queue_key, deadline) select id, project_id, '*', '-infinity', now() from build_audit")
        before = "select build_id, project_id, class, queue_key::text, not_before::text, deadline, parked, queued_at from build_queue order by build_id"
        rows = connection.execute(before).fetchall()
        connection.execute(migration)
        assert connection.execute(before).fetchall() == rows
        listed = connection.execute("select build_id::text, branch, template, own_class, created_at = '2026-01-01 00:00Z' from build_queue").fetchall()
        assert sorted(listed) == sorted([(asked, "b", "t@1", "command,gpu", True), (resolved, "c", None, "command,gpu", True), (neither, None, None, "command,gpu", True)])


def test_what_waits_in_an_older_outbox_stays_in_its_place(database):
    with psycopg.connect(database.url, autocommit=True) as connection:
        migration = applied_before(connection, "0015_outbox_names.sql")
        connection.execute(
            "insert into outbox (shard, topic, key, sequence, ce_id, type, source, time, body) "
            "select 3, 'kiln.build.events', 'a build', n, 'build/a/' || n, 'build.phase', '/kiln/build-service', 't', '{}' from generate_series(1, 3) as n"
        )
        before = connection.execute("select id, key, sequence, ce_id, body from outbox order by id").fetchall()
        connection.execute(migration)
        connection.execute(
            "insert into outbox (shard, topic, source, time, build_ids, first_sequences, last_sequences, events, bytes) "
            "values (3, 'kiln.build.events', '/kiln/build-service', 't', array[gen_random_uuid()], '{4}', '{5}', 2, 10)"
        )
        assert connection.execute("select id, key, sequence, ce_id, body from outbox order by id").fetchall()[:-1] == before
        assert connection.execute("select events from outbox order by id").fetchall() == [(1,), (1,), (1,), (2,)]


def test_webhooks_that_wait_are_found_by_their_hosts_new_name(database):
    spellings = ["http://Evil.Example/", "http://evil.example.:080/x", "https://evil.example:443", "http://evil.example:8080/"]
    with psycopg.connect(database.url, autocommit=True) as connection:
        migration = applied_before(connection, "0030_webhook_host_names.sql")
        connection.execute(
            "insert into webhook_deliveries (id, build_id, project_id, event_id, event_type, url, body, state, next_attempt_at)"
            " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'e', 'build.completed', url, '{}', 'pending', now() from unnest(%s::text[]) url",
            [spellings],
        )
        connection.execute(migration)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("set enable_seqscan = off")
        found = "select url from webhook_deliveries where state = 'pending' and kiln_webhook_host(url) = 'evil.example'"
        [[[plan]]] = connection.execute(f"explain (format json) {found}").fetchall()
        assert "webhook_deliveries_host" in str(plan) and "Index Cond" in str(plan)
        assert sorted(url for [url] in connection.execute(found)) == sorted(spellings[:3])


def test_a_changed_file_is_refused_by_name(database):
    database.migrate()
    database.sql("update schema_migrations set checksum = sha256('x') where name = '0003_builds.sql'")
    output = database.migrate(expect=1)
    assert "0003_builds.sql was changed after it was applied" in output


def test_a_database_that_is_newer_is_refused(database):
    database.migrate()
    database.sql("insert into schema_migrations (name, checksum) values ('9998_future.sql', 'x')")
    output = database.migrate(expect=1)
    assert "9998_future.sql" in output and "older than the database" in output


def test_a_gap_is_refused(database):
    database.migrate()
    database.sql("delete from schema_migrations where name = '0003_builds.sql'")
    output = database.migrate(expect=1)
    assert "0003_builds.sql is missing in the database" in output


def test_settings_are_corrected_and_those_of_others_kept(database, topics):
    database.migrate()
    topics.set("kiln.build.results", retention_ms="1000", segment_ms="3600000", message_timestamp_type="CreateTime")
    database.migrate()
    config = wait_for(lambda: (found := topics.config("kiln.build.results"))["retention.ms"] == "604800000" and found, "the correction")
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["segment.ms"] == "3600000"


def test_another_number_of_partitions_is_refused(database, topics):
    database.migrate()
    topics.delete("kiln.ci.events")
    topics.make("kiln.ci.events", 3)
    try:
        output = database.migrate(expect=1)
        assert "kiln.ci.events has 3 partitions and must have 12" in output
    finally:
        topics.delete("kiln.ci.events")


def test_a_missing_topic_comes_back(database, topics):
    database.migrate()
    topics.delete("kiln.dead-letters")
    database.migrate()
    assert "kiln.dead-letters" in topics.names()


def out_of_time(database, text, **variables):
    """It gives up, for this reason: with the first time-out within which it comes so far."""
    for timeout_ms in (500, 2000, 8000, 32000):
        output = database.migrate(expect=1, KILN_MIGRATE_TIMEOUT_MS=str(timeout_ms), **variables)
        if text in output:
            return
    assert text in output


def test_more_brokers_than_there_are_are_waited_for(database):
    out_of_time(database, "1 of 3 brokers have joined", KILN_KAFKA_REPLICATION="3")


def test_postgres_away_is_said_in_time(database):
    output = database.migrate(expect=1, KILN_DATABASE_URL="postgresql://kiln:secret@127.0.0.1:1/kiln", KILN_MIGRATE_TIMEOUT_MS="4000")
    assert "waiting for Postgres" in output and "Postgres is not there" in output
    assert "secret" not in output


def test_kafka_away_is_said_in_time(database):
    out_of_time(database, "Kafka is not there", KILN_KAFKA_BROKERS="127.0.0.1:1")


def test_a_lock_held_for_too_long_is_said(database):
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute((ROOT / "migrate" / "sql" / "lock.sql").read_text(encoding="utf-8"))
        out_of_time(database, "another kiln-migrate holds the lock")
    database.migrate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be refused as root")
def test_root_is_refused(database):
    output = database.migrate(expect=1, KILN_ALLOW_ROOT=None)
    assert "does not run as root" in output


def test_wrong_configuration_is_named_all_at_once(database):
    output = database.migrate(expect=2, KILN_DATABASE_URL=None, KILN_MIGRATE_TIMEOUT_MS="soon")
    assert "KILN_DATABASE_URL" in output and "KILN_MIGRATE_TIMEOUT_MS" in output


def test_help_lists_every_variable():
    text = subprocess.run([str(PROGRAM), "--help"], check=True, capture_output=True, text=True).stdout
    source = pathlib.Path(ROOT / "migrate" / "settings.c").read_text(encoding="utf-8")
    names = {word.strip('{",') for word in source.split() if word.startswith('{"KILN_')}
    assert len(names) >= 7
    for name in names:
        assert name in text


def test_a_word_behind_a_command_is_what_is_unknown_and_help_is_help():
    def run(*arguments):
        return subprocess.run([str(PROGRAM), *arguments], check=False, capture_output=True, text=True)

    done = run("verify-audit", "extra")
    assert (done.returncode, done.stderr) == (2, 'kiln-migrate: unknown argument "extra"; try --help\n')
    done = run("restore", "--help")
    assert done.returncode == 0 and done.stdout == run("--help").stdout
    assert all(f"  {command} " in done.stdout for command in ("verify-audit", "rewind", "rewind-with-loss", "restore"))
