"""Every statement of api-gateway/sql, as the gateway's role may run it."""

import psycopg
import pytest
from kiln_testing import places, plans
from kiln_testing.services import environment_of

FILES = sorted((places.ROOT / "api-gateway" / "sql").glob("*.sql"))


@pytest.fixture(name="session", scope="module")
def session_fixture(shared_system):
    url = environment_of(shared_system.pids("GATEWAY")[0])["KILN_DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute("select current_user").fetchone() == ("kiln_gateway",)
        yield connection


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_statement_is_allowed(session, file):
    text = file.read_text(encoding="utf-8")
    assert text.startswith("--"), "a statement begins with what it is for"
    assert plans.plan_of(session, text)


@pytest.mark.parametrize(
    ("name", "indexes"),
    [
        ("key-rows", ("build_audit_pkey", "pruned_builds_pkey", "consumer_offsets_pkey")),
        ("build-rows", ("build_audit_pkey", "build_requests_pkey")),
    ],
)
def test_what_is_asked_for_many_at_once_is_found_by_index_whatever_the_statistics_say(session, name, indexes):
    text = (places.ROOT / "api-gateway" / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    found = plans.plan_of(plans.as_indexed(session), text)
    for index in indexes:
        assert index in found, found
    assert "Seq Scan" not in found, found
