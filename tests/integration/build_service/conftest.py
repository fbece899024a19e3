import pytest

from databases import Database
from instances import Place
from playing import Gateway, Service, Worker, skip_old_records

# Leases and accept deadlines that do not run out, also where a step takes its time. A module that wants to see it sets its own in SETTINGS.
PATIENT = {"KILN_LEASE_MS": "60000", "KILN_ACCEPT_DEADLINE_MS": "60000", "KILN_RETRY_BACKOFF_MS": "100"}


@pytest.fixture(scope="module")
def shared_database(infra, tmp_path_factory):
    one = Database(infra, tmp_path_factory.mktemp("shared"))
    one.migrate()
    skip_old_records(one)
    yield one
    one.drop()


@pytest.fixture(scope="module")
def service(request, shared_database, tmp_path_factory):
    """An instance that the tests of a module share."""
    settings = {**PATIENT, **getattr(request.module, "SETTINGS", {})}
    one = Service(shared_database, tmp_path_factory.mktemp("build-service"), **settings).start()
    yield one
    assert one.stop() in (0, None), one.log_path.read_text(encoding="utf-8")


@pytest.fixture
def gateway(service, shared_database):  # pylint: disable=unused-argument
    """What a test has posted is over when the next one begins: workers have said goodbye by then, so a cancel ends it."""
    one = Gateway(shared_database)
    yield one
    left = [build for build in one.posted if one.status(build) in ("pending", "running")]
    for build in left:
        one.cancel(build)
    for build in left:
        one.wait(build)
    one.connection.close()


@pytest.fixture
def worker(gateway, shared_database):  # pylint: disable=unused-argument
    """Makes workers, and lets them say goodbye when the test is over."""
    made = []

    def make(**options):
        made.append(Worker(shared_database, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        one.bye()


@pytest.fixture
def place(infra, tmp_path):
    """A database of its own and what runs on it."""
    database = Database(infra, tmp_path)
    database.migrate()
    skip_old_records(database)
    one = Place(database, tmp_path)
    yield one
    one.end()
    database.drop()
