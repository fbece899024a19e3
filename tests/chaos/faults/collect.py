"""Gathers the evidence once all is quiet."""

import collections
import datetime
import json
import pathlib
import re

from evidence import Attempt, Entry, Event, Evidence, Offset, Row, Update
from kiln_testing.agents import processes_with
from kiln_testing.repositories import git
from kiln_testing.services import migrate
from reader import DOUBLE, reread

JOURNAL = re.compile(r"^(\S+Z) \w+ kiln-executor: (agent starts|agent ended|agent is killed|push begins|push ended|attempt accepted|attempt finished) build_id=(\S+) attempt=(\d+)")
CHILD_DEATH = re.compile(r"^(\S+Z) \w+ kiln-executor: an attempt's child has died build_id=(\S+)")
LEFT_IN_TABLES = {
    "held attempts": "select count(*) from build_attempts where held",
    "project slots": "select count(*) from project_slots",
    "queued builds": "select count(*) from build_queue",
    "unsent events": "select count(*) from outbox",
    "early results": "select count(*) from early_results",
}
REREADS = 8


def seconds(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def journals(executors):
    """What executors have written down of their attempts."""
    found = []
    for member in executors:
        for line in member.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := JOURNAL.match(line):
                found.append(Entry(seconds(match[1]), member.worker_id, match[2], match[3], int(match[4])))
            elif match := CHILD_DEATH.match(line):
                found.append(Entry(seconds(match[1]), member.worker_id, "child has died", match[2], 0))
    return found


def commits_of_builds(folder, *which):
    """sha -> build, by their trailers, of the commits that `which` of git log's options reach."""
    text = git("-c", "safe.directory=*", "-C", str(folder), "log", *which, "--format=%H %(trailers:key=Kiln-Build,valueonly,separator=%x2C)")
    return {sha: build for sha, *names in (line.split() for line in text.splitlines()) for build in ",".join(names).split(",") if build}


def published(root, names):
    """(updates of branches by the server's reflogs, build -> commits on branches), of the repositories with these names.

    Whose commit an update has brought is asked of all that a reflog names, also of what no branch has any more.
    """
    updates, commits = [], collections.defaultdict(set)
    for name in names:
        folder = pathlib.Path(root, f"{name}.git")
        builds = commits_of_builds(folder, "--branches", "--reflog")
        for sha, build in commits_of_builds(folder, "--branches").items():
            commits[build].add(sha)
        heads = folder / "logs" / "refs" / "heads"
        for path in sorted(path for path in heads.rglob("*") if path.is_file()):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                sha = line.split()[1]
                updates.append(Update(name, f"refs/heads/{path.relative_to(heads)}", sha, builds.get(sha)))
    return updates, dict(commits)


def left_in_folders(executors):
    """What ended attempts should not have left in the state directories."""
    found = {}
    for member in executors:
        state = pathlib.Path(member.environment["KILN_STATE_DIR"])
        for folder in ("work", "results", "locks", "trash"):
            names = [path.name for path in (state / folder).iterdir()]
            if names:
                found[f"{member.name}'s {folder}"] = names[:5]
    return found


def leftovers(system, executors, command):
    found = {what: system.sql(statement)[0][0] for what, statement in LEFT_IN_TABLES.items()}
    found |= left_in_folders(executors)
    found["processes of agents"] = processes_with(command)
    return {what: left for what, left in found.items() if left}


def tables(system, evidence):
    rows = system.sql("select id::text, status, result->>'commit_sha', result->'error'->>'class' from build_audit")
    evidence.rows = {build: Row(*rest) for build, *rest in rows}
    for build, sequence, type_, time, body, digest in system.sql(
        "select build_id::text, sequence, type, extract(epoch from time)::float8, body, hash from build_events order by build_id, sequence"
    ):
        evidence.trail.setdefault(build, []).append(Event(sequence, type_, time, bytes(body), bytes(digest), json.loads(bytes(body))))
    evidence.attempts = [
        Attempt(*row)
        for row in system.sql(
            "select build_id::text, attempt, lease_id::text, worker_id::text, mode, state, extract(epoch from assigned_at)::float8,"
            " extract(epoch from accepted_at)::float8, extract(epoch from ended_at)::float8, end_reason from build_attempts"
        )
    ]


def broken_trail(system):
    """What verify-audit, which shares no code with the checker, finds wrong with a trail: a list, empty is good."""
    try:
        migrate(system, "verify-audit")
    except AssertionError as error:
        return [f"verify-audit: {error}"]
    return []


def offsets(system, reader, quiet_ends):
    rows = system.sql("select consumer, topic, partition, next_offset from consumer_offsets")
    now = reader.ends()  # after the rows: heartbeats go on
    for consumer, topic, partition, offset in rows:
        if (topic, partition) in now:
            start, end = now[topic, partition]
            yield Offset(consumer, topic, partition, offset, start, quiet_ends[topic, partition][1], end)


def gather(scene, reader, bots, projects, receiver, quiet_ends, windows, chance):
    """All but what is in others' hands: `surprises` of supervisor and nemeses are added by the caller."""
    system, executors = scene.fleet.system, scene.fleet.of("executor")
    found = Evidence(posted=bots.posted, refused=bots.refused, seen=bots.seen, windows=windows)
    found.messages = reader.messages()
    tables(system, found)
    found.journal = journals(executors)
    found.doubles = [
        Entry(0, "", "double", message.build, message.data["attempt"])
        for message in found.messages
        if message.type == "build.log" and any(line["text"] == DOUBLE for line in message.data["lines"])
    ]
    found.updates, found.commits = published(system.env["KILN_GIT_ROOT"], [project["name"] for project in projects])
    workers = {member.name: member.worker_id for member in executors}
    found.freezes = [(workers[done.member], done.began, done.ended) for done in scene.done if done.kind.startswith("freeze executor")]
    found.deaths = [(member.worker_id, time) for member in executors for time in member.deaths]
    found.offsets = list(offsets(system, reader, quiet_ends))
    found.leftovers = leftovers(system, executors, bots.command)
    for delivery in list(receiver.deliveries):
        found.told.setdefault(delivery.path, set()).add(delivery.headers["webhook-id"])
    places = [place for place, (start, end) in quiet_ends.items() if place[0] == "kiln.build.events" and end > start]
    for place in chance.sample(places, min(REREADS, len(places))):
        start, end = quiet_ends[place]
        found.rereads.append(reread(system.brokers, *place, chance.randrange(start, end), end))
    found.surprises = bots.wrong + scene.fleet.surprises + scene.wrong + broken_trail(system)
    return found
