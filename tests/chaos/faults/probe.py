"""How busy the machine is, for somebody who writes a little to Postgres now and then."""

import threading
import time

import psycopg

PAUSE_S = 0.05


class Probe:
    """`worst`: the longest that a commit, or waking up, took more than it should in the block, in seconds."""

    def __init__(self, system):
        self.connection = psycopg.connect(system.env["KILN_DATABASE_URL"], autocommit=True)
        self.connection.execute("create table if not exists chaos_probe (n integer)")
        self.worst = 0.0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(60)
        self.connection.close()

    def _run(self):
        while not self.ending.is_set():
            began = time.monotonic()
            self.connection.execute("insert into chaos_probe values (1)")
            wrote = time.monotonic()
            if self.ending.wait(PAUSE_S):
                return
            self.worst = max(self.worst, wrote - began, time.monotonic() - wrote - PAUSE_S)
