"""What shows a person a running system: ./dev status, logs, psql and events."""

import contextlib
import os
import re
import signal
import subprocess

import pytest
from kiln_testing import places
from kiln_testing.system import System, dev, free_folder, own_environment, states
from kiln_testing.waiting import wait_for

EVENTS_OF_A_BUILD = ["build.pending", "build.cancelled"]


def test_status_of_a_system_that_is_up_says_so_of_everybody(kiln):
    done = dev(kiln.system.folder, "status")
    assert states(done) == dict.fromkeys(("postgres", "kafka-1", "git-server", "gateway", "build-service", "notifier", "executor-1", "executor-2"), "up")
    assert done.returncode == 0 and kiln.system.url in done.stdout


@pytest.fixture
def guest():
    """A git server and a scripted model beside somebody else's Kafka and Postgres, which nothing of it asks."""
    system = System(free_folder("kiln-test-guest-"))
    theirs = {"KILN_KAFKA_BROKERS": "127.0.0.1:1", "KILN_DATABASE_URL": "postgresql://kiln@127.0.0.1:1/kiln"}
    try:
        yield system.up("--infra", "--agents", env=theirs)
    finally:
        system.down()


def test_status_of_a_guest_shows_no_kafka_and_postgres_but_the_model(guest):
    done = dev(guest.folder, "status")
    services = dict.fromkeys(("gateway", "build-service", "notifier", "executor-1"), "down")
    assert states(done) == {"postgres": "none", "kafka-1": "none", "git-server": "up", "model-api": "up"} | services


@pytest.mark.parametrize("name", ["notifier", "kiln-notifier"])
def test_logs_shows_what_a_service_wrote_last(kiln, name):
    done = dev(kiln.system.folder, "logs", name)
    assert done.returncode == 0 and done.stdout and done.stdout in kiln.system.log("notifier")


def test_logs_of_executor_are_those_of_all_executors(kiln):
    done = dev(kiln.system.folder, "logs", "executor")
    assert done.returncode == 0
    assert {"executor-1.log", "executor-2.log"} <= set(re.findall(r"^==> .*/(\S+) <==$", done.stdout, re.M))


def test_logs_without_a_name_tells_which_there_are(kiln):
    done = dev(kiln.system.folder, "logs")
    assert done.returncode == 0
    assert {"gateway", "build-service", "notifier", "executor-1", "postgres", "kafka-1"} <= set(done.stdout.split())


def test_logs_of_nobody_fails_and_tells_which_there_are(kiln):
    done = dev(kiln.system.folder, "logs", "gatewax")
    assert done.returncode == 1 and done.stderr == "dev: no log of gatewax\n"
    assert {"gateway", "build-service"} <= set(done.stdout.split())


def test_logs_f_goes_on_with_what_comes(kiln):
    with shown(kiln, "logs", "-f", "executor") as (read, end):
        task = kiln.run(kiln.project(), "true")
        wait_for(lambda: task in read(), "the build to be shown")
        end()


def test_psql_takes_a_statement_as_an_argument_and_on_standard_input(kiln):
    project = kiln.project()
    statement = f"select name from projects where id = '{project['id']}'"
    for options in ({"arguments": ["-Atc", statement]}, {"arguments": ["-At"], "stdin": statement}):
        done = dev(kiln.system.folder, "psql", *options.pop("arguments"), **options)
        assert (done.returncode, done.stdout, done.stderr) == (0, project["name"] + "\n", "")


def test_psql_tells_that_a_statement_failed(kiln):
    done = dev(kiln.system.folder, "psql", "-c", "select nothing from nowhere")
    assert done.returncode == 1 and 'relation "nowhere" does not exist' in done.stderr


@contextlib.contextmanager
def shown(kiln, *arguments):
    """What ./dev shows until Ctrl-C: (read(), end()); end() is that, and wants it to end by it."""
    process = subprocess.Popen(
        [str(places.DEV), *arguments],
        env=own_environment() | {"KILN_DEV_DIR": str(kiln.system.folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    os.set_blocking(process.stdout.fileno(), False)
    text = bytearray()

    def read():
        text.extend(process.stdout.read() or b"")
        assert process.poll() is None, f"it has ended: {text.decode()}"
        return text.decode(errors="replace")

    def end():
        os.killpg(process.pid, signal.SIGINT)
        wait_for(has_ended, "its end")
        return process.returncode

    def has_ended():
        # Other tests' events still come, and who is in the middle of a write to a full pipe does not end.
        process.stdout.read()
        return process.poll() is not None

    try:
        yield read, end
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()


def types_of(task, text):
    """Of the events that are shown of the build."""
    return re.findall(rf"^\d+ kiln\.build\.events {task}\n    .*?\bce_type=([a-z._]+)\b.*\n    {{.*\"{task}\"", text, re.M)


def test_events_shows_what_comes_after_it_until_ctrl_c(kiln):
    before = kiln.waiting()
    kiln.tap.wait_type(before, "build.pending")
    after = []

    def comes():
        after.append(kiln.waiting())
        return any(types_of(task, read()) for task in after)

    with shown(kiln, "events") as (read, end):
        # Nobody tells when it has joined.
        wait_for(comes, "a new build's event", poll=0.5)
        kiln.cancel(after[-1])
        wait_for(lambda: types_of(after[-1], read()) == EVENTS_OF_A_BUILD, "all of its events")
        assert types_of(before, read()) == []
        assert end() == 0


def test_events_all_begins_with_the_first(kiln):
    before = kiln.waiting()
    kiln.tap.wait_type(before, "build.pending")
    with shown(kiln, "events", "--all") as (read, end):
        wait_for(lambda: types_of(before, read()) == EVENTS_OF_A_BUILD[:1], "the event of before")
        kiln.cancel(before)
        wait_for(lambda: types_of(before, read()) == EVENTS_OF_A_BUILD, "what came then")
        assert end() == 0
