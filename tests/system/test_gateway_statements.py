"""Every statement of api-gateway/sql, as the gateway's role may run it."""

import psycopg
import pytest
from kiln_testing import places
from kiln_testing.services import environment_of

FILES = sorted((places.ROOT / "api-gateway" / "sql").glob("*.sql"))


@pytest.fixture(name="session", scope="module")
def session_fixture(shared_system):
    url = environment_of(shared_system.pids("GATEWAY")[0])["KILN_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("select current_user").fetchone() == ("kiln_gateway",)
        yield connection


def plan(session, file):
    session.execute(b"prepare one as " + file.read_bytes())
    try:
        [[count]] = session.execute("select cardinality(parameter_types) from pg_prepared_statements where name = 'one'").fetchall()
        arguments = f"({', '.join(['null'] * count)})" if count else ""
        return "\n".join(row[0] for row in session.execute(f"explain execute one{arguments}".encode()))
    finally:
        session.execute("deallocate one")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_statement_is_allowed(session, file):
    assert file.read_text(encoding="utf-8").startswith("--"), "a statement begins with what it is for"
    assert plan(session, file)


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("key-rows", ("build_audit_pkey", "pruned_builds_pkey", "consumer_offsets_pkey")),
        ("build-rows", ("build_audit_pkey", "build_requests_pkey")),
    ],
)
def test_what_is_asked_for_many_at_once_is_found_by_index_whatever_the_statistics_say(session, name, indexes):
    for setting in ("plan_cache_mode=force_generic_plan", "enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off", "enable_bitmapscan=off"):
        session.execute(f"set {setting}")  # as pg_indexed_url
    found = plan(session, places.ROOT / "api-gateway" / "sql" / f"{name}.sql")
    for index in indexes:
        assert index in found, found
    assert "Seq Scan" not in found, found
