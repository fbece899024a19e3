"""Every statement of notifier/sql, as the service's role may run it, and by key whatever the statistics say."""
import itertools
import pathlib

import pytest

from databases import PASSWORDS
from kiln_testing import plans

SQL = pathlib.Path(__file__).resolve().parents[3] / "notifier" / "sql"
# What looks for deliveries by their time; everything else knows which it wants.
BY_TIME = {"claim": 2}


@pytest.fixture(scope="module")
def session(shared_database):
    with plans.session(shared_database.url_as("kiln_notifier", PASSWORDS["kiln_notifier"])) as connection:
        yield connection


@pytest.mark.parametrize("file", sorted(SQL.glob("*.sql")), ids=lambda file: file.stem)
def test_a_statement_is_allowed_and_finds_deliveries_by_key(session, file):
    text = file.read_text(encoding="utf-8")
    assert text.startswith("--"), "a statement begins with what it is for"
    plan = plans.plan_of(session, text)
    assert plan.count("webhook_deliveries_due") <= BY_TIME.get(file.stem, 0), plan
    lines = plan.splitlines() + [""]
    assert all("Index Cond" in below for line, below in itertools.pairwise(lines) if " on build_requests" in line), plan
