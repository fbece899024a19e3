"""pytest's fixtures; a conftest.py names this module as a plugin."""

import os
import pathlib

import pytest

from .kiln import Kiln
from .services import ready_gateway
from .shared import Share
from .system import System, free_folder
from .tap import Tap
from .webhooks import Receiver


@pytest.fixture(scope="session")
def shared_system():
    """The system of all tests that do it no harm."""
    given = os.environ.get("KILN_TEST_DEV_DIR")
    if given:
        yield System(given).attach()
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    share = Share(pathlib.Path(os.environ.get("KILN_TEST_TMP", "/tmp"), f"kiln-test-{run[:12]}"))
    try:
        yield share.enter()
    finally:
        share.leave()


@pytest.fixture(scope="session")
def receiver():
    server = Receiver()
    yield server
    server.shutdown()


@pytest.fixture(scope="session")
def shared_tap(shared_system):
    tap = Tap(shared_system.brokers, from_beginning=False)
    yield tap
    tap.close()


@pytest.fixture
def kiln(shared_system, shared_tap, receiver):
    """The shared system. After the test, every record that any topic has seen so far must have been right."""
    yield from _one_test(shared_system, shared_tap, receiver)


@pytest.fixture(scope="module")
def kiln_of_module(shared_system, shared_tap, receiver):
    """The same for what several tests of a module look at."""
    one = Kiln(shared_system, shared_tap, receiver)
    yield one
    one.close()


@pytest.fixture(scope="module")
def other_gateway(shared_system):
    """A gateway like the shared one, beside it."""
    with ready_gateway(shared_system) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def small_gateway(shared_system):
    """A gateway with small limits for streams, beside the shared one."""
    variables = {
        "KILN_STREAM_HEARTBEAT_MS": "1000",
        "KILN_STREAM_STALL_MS": "2000",
        "KILN_STREAM_BUFFER_BYTES": "4096",
        "KILN_MAX_STREAMS": "6",
        "KILN_MAX_STREAMS_PER_TOKEN": "4",
    }
    with ready_gateway(shared_system, **variables) as gateway:
        yield gateway


def _one_test(system, tap, receiver):
    one = Kiln(system, tap, receiver)
    yield one
    one.close()
    wrong = list(tap.judge.wrong)
    tap.judge.wrong.clear()
    if wrong:
        pytest.fail(f"{len(wrong)} flaws of records, the first ones:\n" + "\n".join(wrong[:5]), pytrace=False)


# For what waits for a lease to end.
SHORT_LEASES = {
    "KILN_LEASE_MS": "6000",
    "KILN_HEARTBEAT_MS": "500",
    "KILN_LEASE_DEAD_MAN_MS": "4000",
    "KILN_WORKER_FRESH_MS": "3000",
}


@pytest.fixture(scope="module")
def own_system(request):
    """A system for one module alone, which may break it; one executor, four slots, and the module's OWN_SETTINGS."""
    folder = free_folder("kiln-test-own-")
    system = System(folder)
    try:
        yield system.up("--executors", "1", "--slots", "4", env=getattr(request.module, "OWN_SETTINGS", None))
    finally:
        system.down()


@pytest.fixture(scope="module")
def own_tap(own_system):
    tap = Tap(own_system.brokers)
    yield tap
    tap.close()


@pytest.fixture
def own_kiln(own_system, own_tap, receiver):
    """The module's own system, repaired before each test."""
    own_system.repair()
    yield from _one_test(own_system, own_tap, receiver)
