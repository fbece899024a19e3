"""The wall clocks of all services jump: leases, deadlines and waits go by clocks that do not, so nothing is lost, late or done again."""

import pathlib
import signal
import struct
import time

from kiln_testing.agents import Gate
from kiln_testing.fixtures import SHORT_LEASES
from kiln_testing.fleet import Fleet
from kiln_testing.waiting import wait_for

HOUR, DAY = 3600, 86400
OWN_SETTINGS = SHORT_LEASES


class Clock:
    """Of all services, which are started again under it."""

    def __init__(self, system):
        self.file = pathlib.Path(system.env["KILN_STATE_DIR"]).parent / "wall-clock"
        self.set(0)
        self.file.chmod(0o644)
        library = pathlib.Path(system.env["KILN_BIN"], "kiln-test-wall-clock.so")
        assert library.exists()
        self.fleet = Fleet(system)
        self.fleet.adopt_all()
        for kind in ("gateway", "build-service", "notifier", "executor"):
            for member in self.fleet.of(kind):
                member.environment |= {"LD_PRELOAD": str(library), "KILN_TEST_WALL_CLOCK": str(self.file)}
                member.end(signal.SIGTERM)
                member.start()
        wait_for(system.is_ready, "the services to be ready again")

    def set(self, seconds):
        with self.file.open("r+b" if self.file.exists() else "wb", buffering=0) as file:
            file.write(struct.pack("q", seconds))


def test_jumps_of_the_wall_clock_lose_no_attempt_and_keep_nobody_waiting(own_kiln):
    kiln, clock = own_kiln, Clock(own_kiln.system)
    try:
        project, inbox = kiln.project(), kiln.receiver.inbox()
        gate = Gate(kiln)
        runs = kiln.run(project, gate.script)
        kiln.wait_phase(runs, "agent")
        told = 0
        for seconds in (HOUR, -HOUR, -8 * DAY, 0):
            clock.set(seconds)
            jumped = time.monotonic()
            build = kiln.wait_end(kiln.run(project, "true", callback_url=inbox.url), deadline=60)
            assert build["status"] == "completed" and build["attempt"] == 1
            # The wall clock of the services is off indeed.
            created = kiln.system.sql("select extract(epoch from now() - time) from build_events where build_id = %s and sequence = 1", build["task_id"])[0][0]
            assert abs(float(created) + seconds) < 600
            told += 1
            inbox.wait(told)
            # Any lease that goes by this clock would be over, or the worker's time.
            wait_for(lambda jumped=jumped: time.monotonic() > jumped + int(SHORT_LEASES["KILN_LEASE_MS"]) / 1000 + 2, "a lease's time to pass")
        assert kiln.build(runs)["status"] == "running"
        gate.open()
        assert kiln.wait_end(runs)["status"] == "completed"
        assert "build.attempt_lost" not in [item["type"] for item in kiln.trail(runs)]
        assert kiln.system.is_ready()
    finally:
        clock.fleet.close()
