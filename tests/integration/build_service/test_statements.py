"""Every statement of build-service/sql, and those of the outbox that read or change much, as the service's role may run it, and by index whatever the statistics say."""
import pathlib
import re

import psycopg
import pytest

from databases import PASSWORDS

SQL = pathlib.Path(__file__).resolve().parents[3] / "build-service" / "sql"
FILES = sorted([*SQL.glob("*.sql"), *(SQL.parent / "matching" / "sql").glob("*.sql"), *(SQL.parents[1] / "common" / "pg" / "sql").glob("outbox_s*.sql")])
SESSION = ["jit=off", "plan_cache_mode=force_generic_plan", "enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off", "enable_bitmapscan=off"]
# Tables that grow with the number of builds; the others are as small as the fleet, or the queue's front.
LARGE = ("build_audit", "build_attempts", "build_events", "build_queue", "build_logs")


@pytest.fixture(scope="module")
def session(shared_database):
    with psycopg.connect(shared_database.url_as("kiln_build_service", PASSWORDS["kiln_build_service"]), autocommit=True) as connection:
        for setting in SESSION:
            connection.execute("set " + setting)
        yield connection


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_statement_is_allowed_and_goes_by_index(session, file):
    text = file.read_text(encoding="utf-8")
    assert text.startswith("--"), "a statement begins with what it is for"
    session.execute(f"prepare one as {text}".encode())
    try:
        numbers = {int(number) for number in re.findall(r"\$(\d+)", re.sub(r"^--.*$", "", text, flags=re.M))}
        arguments = f"({', '.join(['null'] * max(numbers))})" if numbers else ""
        plan = "\n".join(row[0] for row in session.execute(f"explain execute one{arguments}".encode()))
        lines = plan.splitlines()
        for number, line in enumerate(lines):
            assert not re.search(rf"Seq Scan on ({'|'.join(LARGE)})\b", line), plan
            if re.search(r"Index.* Scan using \S+_pkey on (build_audit|build_attempts|build_events)\b", line):
                assert "Index Cond" in lines[number + 1], plan
    finally:
        session.execute("deallocate one")
