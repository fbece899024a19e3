import shutil

import pytest

from databases import Database
from executing import Agents, BuildService, Executor, GitSite
from kiln_testing.system import free_folder

# Times that let a test see leases run out and results sent again.
FAST = {
    "KILN_HEARTBEAT_MS": "300", "KILN_LEASE_DEAD_MAN_MS": "25000", "KILN_RESEND_MS": "300", "KILN_KILL_GRACE_MS": "500",
    "KILN_PUBLISH_TIMEOUT_MS": "60000", "KILN_GIT_TIMEOUT_MS": "60000", "KILN_DRAIN_TIMEOUT_MS": "300",
}  # fmt: skip


@pytest.fixture(scope="session")
def topics(infra, tmp_path_factory):
    """kiln-migrate makes them."""
    one = Database(infra, tmp_path_factory.mktemp("migrate"))
    one.migrate()
    yield
    one.drop()


@pytest.fixture(scope="session")
def site(infra, tmp_path_factory):
    one = GitSite(infra, tmp_path_factory.mktemp("site"))
    yield one
    shutil.rmtree(one.credentials_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def agents(infra, site):
    one = Agents(infra, site)
    yield one
    shutil.rmtree(one.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_service(infra, topics):  # pylint: disable=unused-argument
    """What the build service sees and says, for all tests; whatever any executor has said must have been right."""
    one = BuildService(infra.brokers)
    yield one
    one.close()
    assert not one.judge.wrong, "records that break the contract:\n" + "\n".join(one.judge.wrong[:10])


@pytest.fixture(scope="module")
def shared_executor(infra, shared_service, site, agents):  # pylint: disable=unused-argument
    """The executor of the tests that do it no harm."""
    one = Executor(infra, shared_service, site, slots=2, **FAST).start()
    yield one
    assert one.stop() == 0, one.log()
    one.close()


@pytest.fixture
def executor(shared_executor):
    yield shared_executor
    shared_executor.release_all()


@pytest.fixture
def place():
    """A folder that agents and hooks may write to, for signs between them and the test."""
    folder = free_folder("kiln-test-place-")
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_executor(infra, shared_service, site, agents):  # pylint: disable=unused-argument
    """Makes executors that a test may kill."""
    made = []

    def make(state=None, **variables):
        made.append(Executor(infra, shared_service, site, state=state, **{**FAST, **variables}))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()
        one.close()
