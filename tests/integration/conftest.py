"""Fixtures of the integration tests: real Postgres and Kafka without Kiln's services."""
import os

import pytest

from databases import Database
from kiln_testing.system import System, free_folder


@pytest.fixture(scope="session")
def infra():
    """`./dev up --infra`: a Postgres and a one-node Kafka of these tests alone (KILN_TEST_INFRA_DIR names one that is kept)."""
    kept = os.environ.get("KILN_TEST_INFRA_DIR")
    system = System(kept or free_folder("kiln-test-infra-"))
    try:
        yield system.up("--infra")
    finally:
        if not kept:
            system.down()


@pytest.fixture
def database(infra, tmp_path):
    """An empty database of the test's own."""
    one = Database(infra, tmp_path)
    yield one
    one.drop()


@pytest.fixture
def another_database(infra, tmp_path):
    one = Database(infra, tmp_path)
    yield one
    one.drop()
