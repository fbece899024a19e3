"""What must be true when all is quiet again: C1 to C11 of the protocol's section 10, from outside and from the tables. Yields sentences."""

import collections
import hashlib
import pathlib

import confluent_kafka

from kiln_testing.agents import processes_with
from kiln_testing.records import DEAD_LETTERS, TERMINAL
from kiln_testing.repositories import Repository, git


class Checker:
    def __init__(self, system, tap, bots, receiver, journal, random):
        self.system = system
        self.tap = tap
        self.bots = bots
        self.receiver = receiver
        self.journal = journal
        self.random = random
        self.rows = {}
        self.requests = set()

    def look(self):
        """At what is there now."""
        rows = self.system.sql("select id::text, status, project_name, result->>'commit_sha', result->'error'->>'class' from build_audit")
        self.rows = {row[0]: row[1:] for row in rows}
        self.requests = {record.build_id for record in self.tap.records if record.type == "build.requested"}

    def violations(self):
        for name in ("accepted", "agents", "publications", "tokens", "trail", "order", "dead_letters", "offsets", "leftovers", "webhooks"):
            for text in getattr(self, name)():
                yield f"{name}: {text}"
        yield from (f"records: {text}" for text in self.tap.judge.wrong)
        yield from (f"bots: {text}" for text in self.bots.wrong)

    def accepted(self):
        """C1: each 202 is in the request topic and has one row."""
        for task in self.bots.posted:
            if task not in self.requests:
                yield f"{task} is not in the request topic"
            if task not in self.rows:
                yield f"{task} has no row"

    def agents(self):
        """C3: no two agents of a build at once, by a lock that each one holds while it lives."""
        for line in self.journal.read_text(encoding="utf-8").splitlines():
            build, attempt, _, word = line.split()
            if word == "double":
                yield f"attempt {attempt} of {build} began while another one's agent lived"

    def publications(self):
        """C4, M1, M5: at most one commit a build, and the one that the build names."""
        found = collections.defaultdict(list)
        for project in self.bots.projects:
            folder = Repository(self.system, project["name"]).folder
            log = git("-c", "safe.directory=*", "-C", str(folder), "log", "--branches", "--format=%H %(trailers:key=Kiln-Build,valueonly,separator=%x2C)")
            for sha, *builds in (line.split() for line in log.splitlines()):
                for build in builds:
                    found[build].append(sha)
        late = {record.build_id for record in self.tap.records if record.type == "build.late_commit"}
        for build, shas in found.items():
            if len(shas) > 1:
                yield f"{build} has {len(shas)} commits"
            elif build not in self.rows:
                yield f"a commit of {build}, which has no row"
            elif self.rows[build][2] != shas[0] and build not in late:
                yield f"{build} ({self.rows[build][0]}) names commit {self.rows[build][2]}; on the branch is {shas[0]}"
        for build, (status, _, sha, _) in self.rows.items():
            if status == "completed" and build not in found:
                yield f"{build} is completed with {sha}, and no branch has a commit of it"

    def tokens(self):
        """C5: a token has one worker, and an attempt one token."""
        leases, attempts = {}, {}
        for record in self.tap.records:
            if record.type == "attempt.assign":
                token = (record.data["build_id"], record.data["attempt"])
                lease, worker = record.data["lease_id"], record.data["worker_id"]
                if leases.setdefault(lease, (*token, worker)) != (*token, worker):
                    yield f"lease {lease} was given twice"
                if attempts.setdefault(token, lease) != lease:
                    yield f"attempt {token[1]} of {token[0]} has two leases"

    def trail(self):
        """C6: what Kafka has is what the table has, event by event."""
        chains = {key: (last, digest) for (topic, key), (last, digest, _) in self.tap.judge.chains.items() if topic == "kiln.build.events"}
        rows = self.system.sql("select build_id::text, sequence, body, hash from build_events order by build_id, sequence")
        last = {}
        for build, sequence, body, stored in rows:
            before, digest = last.get(build, (0, bytes(32)))
            digest = hashlib.sha256(digest + bytes(body)).digest()
            if sequence != before + 1 or digest != bytes(stored):
                yield f"event {sequence} of {build} does not follow from the one before"
            last[build] = (sequence, digest)
        for build in last.keys() | chains.keys():
            if last.get(build) != chains.get(build):
                yield f"{build}: the table ends at {last.get(build, (0,))[0]}, Kafka at {chains.get(build, (0,))[0]}"

    def order(self):
        """C7: whoever begins anywhere sees first occurrences in order."""
        events = [record for record in self.tap.records if record.topic == "kiln.build.events"]
        for _ in range(20):
            last = {}
            for record in events[self.random.randrange(max(1, len(events))) :]:
                sequence = record.data["sequence"]
                if record.build_id in last and sequence > last[record.build_id] + 1:
                    yield f"{record.build_id} jumps from {last[record.build_id]} to {sequence}"
                last[record.build_id] = max(sequence, last.get(record.build_id, 0))

    def dead_letters(self):
        """C9: nothing was refused that one of us has written."""
        yield from (f"{record!r}" for record in self.tap.records if record.topic == DEAD_LETTERS)

    def offsets(self):
        """C10: what was applied is what is there."""
        rows = self.system.sql("select consumer, topic, partition, next_offset from consumer_offsets")
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.system.brokers, "group.id": "kiln-chaos"})
        try:
            for name, topic, partition, offset in rows:
                _, end = consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), timeout=60)
                if offset > end:
                    yield f"{name} has applied {topic}/{partition} up to {offset}, and its end is {end}"
        finally:
            consumer.close()

    def leftovers(self):
        """C11: no process, slot or claim of what has ended; nothing waits."""
        counts = {
            "held attempts": "select count(*) from build_attempts where held",
            "project slots": "select count(*) from project_slots",
            "queued builds": "select count(*) from build_queue",
            "unsent events": "select count(*) from outbox",
            "early results": "select count(*) from early_results",
        }
        for what, statement in counts.items():
            (count,) = self.system.sql(statement)[0]
            if count:
                yield f"{count} {what}"
        processes = processes_with(self.bots.command)
        if processes:
            yield f"{len(processes)} processes of agents: {[pathlib.Path('/proc', str(pid), 'cmdline').read_bytes() for pid in processes[:3]]}"

    def webhooks(self):
        """Each end was told, under one id."""
        told = collections.defaultdict(set)
        for delivery in self.receiver.deliveries:
            told[delivery.path].add(delivery.headers["webhook-id"])
        for task, path in self.bots.inboxes.items():
            if len(told[path]) != 1:
                yield f"{task} was told under {len(told[path])} ids"

    def ended(self):
        """{how: count} of all builds."""
        return dict(collections.Counter(f"{status} ({error})" if error else status for status, _, _, error in self.rows.values()))

    def open_builds(self):
        """How many accepted builds have no terminal event on Kafka."""
        return sum(not any(record.type in TERMINAL for record in self.tap.by_build.get(task, [])) for task in self.bots.posted)

    def all_have_ended(self):
        return self.open_builds() == 0
