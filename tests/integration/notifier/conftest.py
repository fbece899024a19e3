import pytest

from databases import Database
from notifying import Bot, Builds, Notifier


@pytest.fixture
def bot():
    one = Bot()
    yield one
    one.close()


@pytest.fixture
def another_bot():
    one = Bot()
    yield one
    one.close()


@pytest.fixture(scope="module")
def shared_database(infra, tmp_path_factory):
    one = Database(infra, tmp_path_factory.mktemp("shared"))
    one.migrate()
    yield one
    one.drop()


@pytest.fixture(scope="module")
def notifier(shared_database, tmp_path_factory):
    """An instance that most tests share: three attempts, a second apart; attempts of at most two seconds."""
    one = Notifier(shared_database, tmp_path_factory.mktemp("notifier"), KILN_WEBHOOK_SCHEDULE="0,1,1", KILN_WEBHOOK_TIMEOUT_MS="2000").start()
    yield one
    assert one.stop() == 0, one.log_path.read_text(encoding="utf-8")


@pytest.fixture
def builds(notifier, shared_database):  # pylint: disable=unused-argument
    return Builds(shared_database)


@pytest.fixture
def own_builds(database):
    """For tests that start their own instances by `instance`."""
    database.migrate()
    return Builds(database)


@pytest.fixture
def instance(own_builds, tmp_path):
    started = []

    def start(wait=True, **variables):
        started.append(Notifier(own_builds.database, tmp_path, **variables).start(wait))
        return started[-1]

    yield start
    for one in started:
        one.stop()
