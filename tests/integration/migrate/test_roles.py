"""Each service's role has only the rights that the service needs: what it must not do, the server refuses."""
import psycopg
import pytest

from databases import PASSWORDS, Database

# Beside what no service may do (OWNERS).
FORBIDDEN = {
    # It reads everything and writes what bots own: a build's state and trail are not.
    "kiln_gateway": [
        "update build_audit set status = 'completed'",
        "delete from build_audit",
        "insert into build_requests default values",
        "update build_queue set queue_key = '-infinity'",
        "update build_attempts set attempt = 1",
        "insert into build_events default values",
        "update build_events set body = ''",
        "delete from build_events",
        "insert into build_logs default values",
        "delete from build_logs",
        "insert into ended_builds default values",
        "insert into pruned_builds default values",
        "delete from pruned_builds",
        "update workers set slots = 1",
        "insert into project_slots default values",
        "update outbox set body = ''",
        "delete from outbox",
        "update audit_log set id = id",
        "delete from audit_log",
        "insert into dead_letters default values",
        "delete from dead_letters",
        "update consumer_offsets set next_offset = 0",
        "insert into webhook_deliveries default values",
        "update webhook_deliveries set state = 'delivered'",
    ],
    # The only writer of builds' state; who may call, and what projects are, is no matter of its.
    "kiln_build_service": [
        "select hash from api_tokens",
        "insert into api_tokens default values",
        "update api_tokens set scopes = '{admin}'",
        "select * from idempotency_keys",
        "insert into templates default values",
        "insert into projects default values",
        "update projects set name = 'other'",
        "update projects set git_url = ''",
        "insert into consumer_offsets default values",
        "delete from consumer_offsets",
        "update audit_log set id = id",
        "update deployment set secret = ''",
        "insert into restored_events default values",
        "select * from webhook_deliveries",
        "update webhook_deliveries set state = 'delivered'",
        "delete from webhook_attempts",
    ],
    # It tells what happened, and has no say in it.
    "kiln_notifier": [
        "select hash from api_tokens",
        "insert into api_tokens default values",
        "select * from idempotency_keys",
        "select secret from deployment",
        "select * from templates",
        "update projects set name = 'other'",
        "delete from projects",
        "update build_audit set status = 'completed'",
        "insert into build_audit default values",
        "select spec from build_requests",
        "select * from build_logs",
        "select * from build_events",
        "insert into build_events default values",
        "update build_attempts set attempt = 1",
        "select * from workers",
        "select * from outbox",
        "delete from outbox",
        "select * from dead_letters",
        "delete from dead_letters",
        "insert into consumer_offsets default values",
        "delete from consumer_offsets",
        "insert into audit_log default values",
    ],
}

OWNERS = [
    "create table public.mine ()",
    "create schema mine",
    "create role mine",
    "alter table build_events add column more text",
    "alter table build_events disable trigger all",
    "drop table build_audit",
    "truncate build_events",
    "update schema_migrations set checksum = ''",
    "alter role ROLE createrole",
    "set role kiln",
    "set session_replication_role = replica",
    "select pg_read_file('/etc/passwd')",
    "copy build_audit to program 'cat'",
]


@pytest.fixture(scope="module")
def migrated(infra, tmp_path_factory):
    one = Database(infra, tmp_path_factory.mktemp("roles"))
    one.migrate()
    yield one
    one.drop()


@pytest.mark.parametrize(("role", "statement"), [(role, statement) for role in PASSWORDS for statement in [*FORBIDDEN[role], *OWNERS]])
def test_a_service_cannot(migrated, role, statement):
    with psycopg.connect(migrated.url_as(role, PASSWORDS[role])) as connection:
        with pytest.raises(psycopg.Error) as refused:
            connection.execute(statement.replace("ROLE", role))
        connection.rollback()
    assert refused.value.sqlstate == "42501", refused.value
