"""What must be true of the evidence: C1 to C12 of the protocol's section 10. Each check yields sentences; none of them asks the system."""

import collections
import hashlib
import itertools

from kiln_testing.kiln import ENDED
from kiln_testing.records import DEAD_LETTERS, TERMINAL

BUILD_EVENTS = "kiln.build.events"
# What a match takes on a busy machine; a wake-up that was lost costs a second, or for ever.
MATCH_S = 0.25
MATCH_STEPS = 5  # something small each, as a window's probe measures it: read, commit, wake up, look, commit. At BUSY_S it is half of the timer's second
IDLE_SHARE = 0.01
BUSY_S = 0.1  # where something small takes longer, a match may take longer than that
# Between the beginning of a transaction, which its rows name, and what others do because of it.
SLACK_S = 0.1
LOSSES = ("lease_expired", "worker_restarted", "not_held")  # reasons; not to accept in time is none
MASS_LOSSES = 2  # so many with company do not count: the build was not to blame
SAID = ("agent starts", "agent ended", "push begins")  # in every journal of more than a few builds


def violations(evidence):
    for name, check in CHECKS.items():
        yield from (f"{name}: {text}" for text in check(evidence))


def accepted(evidence):
    """C1: the id of each 202 is in the request topic and has one row, which has ended; who was told that nothing was done has no build."""
    requested = {message.build for message in evidence.messages if message.type == "build.requested"}
    for task in evidence.posted:
        if task not in requested:
            yield f"{task} is not in the request topic"
        if task not in evidence.rows:
            yield f"{task} has no row"
        elif evidence.rows[task].status not in ENDED:
            yield f"{task} is {evidence.rows[task].status} for ever"
    for message in evidence.messages:
        if message.type == "build.requested" and (prompt := (message.data or {}).get("spec", {}).get("prompt")) in evidence.refused:
            yield f"{message.build} is in the request topic, and its POST was answered {evidence.refused[prompt]}"
    for build in evidence.rows.keys() - requested:
        yield f"{build} has a row, and nobody asked for it"


def answers(evidence):
    """C2: no GET after a 202 is 404, and what GETs show one after the other is in the order of the trail.

    Running may become pending again, when an attempt is lost: so each answer must be a state that the trail has, not before one that
    an answer has shown which was complete when this one was asked for.
    """
    by_task = collections.defaultdict(list)
    for seen in evidence.seen:
        by_task[seen.task].append(seen)
    for task, looks in by_task.items():
        states = [(event.data["status"], event.data["phase"], event.data["attempt"]) for event in evidence.trail.get(task, [])]
        shown = []  # (when it was complete, least position in the trail)
        for seen in sorted(looks, key=lambda look: look.began):
            if seen.code == 404:
                yield f"{task} was accepted, and GET says 404"
                continue
            floor = max((at for ended, at in shown if ended <= seen.began), default=0)
            state = (seen.status, seen.phase, seen.attempt)
            at = next((at for at in range(floor, len(states)) if states[at] == state), None)
            if at is not None:
                shown.append((seen.ended, at))
            elif state in states:
                yield f"{task} is shown as {state} after {states[floor]}"
            else:
                yield f"{task} is shown as {state}, which its trail has not"


def excused(evidence, attempts):
    """Agents of these attempts may live at once only when the host of one stood still past its lease, or the accept of one came too late to be applied."""
    for attempt in attempts:
        if attempt.state != "lost":
            continue
        if attempt.accepted is None and attempt.reason in ("accept_timeout", "not_held"):
            return True
        if any(worker == attempt.worker and began <= attempt.ended + SLACK_S and ended >= attempt.assigned for worker, began, ended in evidence.freezes):
            return True
    return False


def lives(evidence):
    """(build, attempt) -> (from, to) of its agent, by the executors' journals; an executor's death ends all of its agents."""
    found, open_ones = {}, {}
    entries = [(entry.time, entry.worker, entry.what, (entry.build, entry.attempt)) for entry in evidence.journal]
    entries += [(time, worker, "death", None) for worker, time in evidence.deaths]
    for time, worker, what, token in sorted(entries, key=lambda entry: entry[0]):
        if what == "agent starts":
            open_ones[worker, token] = time
        elif what in ("agent ended", "agent is killed", "attempt finished") and (worker, token) in open_ones:
            found[token] = (open_ones.pop((worker, token)), time)
        elif what in ("death", "child has died"):
            for key in [key for key in open_ones if key[0] == worker and (token is None or token[0] == key[1][0])]:
                found[key[1]] = (open_ones.pop(key), time)
    for (_, token), time in open_ones.items():
        found[token] = (time, float("inf"))
    return found


def beside(found, build, number):
    """The attempts whose agents lived when that of this one began, by lives(); when none is known to, the one before."""
    if (build, number) not in found:
        return {number - 1}
    start = found[build, number][0]
    others = {other for (owner, other), (begin, end) in found.items() if owner == build and begin - SLACK_S <= start <= end + SLACK_S}
    return others - {number} or {number - 1}


def agents(evidence):
    """C3: no two agents of a build at once, and no push begun outside of a lease."""
    by_token, found = {(attempt.build, attempt.number): attempt for attempt in evidence.attempts}, lives(evidence)

    def pardoned(build, numbers):
        return excused(evidence, [by_token[build, number] for number in numbers if (build, number) in by_token])

    for entry in evidence.doubles:
        if entry.build not in evidence.controls and not pardoned(entry.build, {entry.attempt, *beside(found, entry.build, entry.attempt)}):
            yield f"attempt {entry.attempt} of {entry.build} began while another one's agent lived"
    by_build = collections.defaultdict(list)
    for (build, number), life in found.items():
        by_build[build].append((life, number))
    for build, ones in by_build.items():
        for (one, first), (other, second) in itertools.combinations(sorted(ones), 2):
            if other[0] < one[1] - SLACK_S and not pardoned(build, {first, second}):
                yield f"the agents of attempts {first} and {second} of {build} lived at once, by the journals"
    yield from pushes(evidence)
    yield from journalled(evidence, found)


def journalled(evidence, found):
    """The journals have what they must have: of what they are silent about, nothing of the above would be found."""
    pushed = {(entry.build, entry.attempt) for entry in evidence.journal if entry.what == "push begins"}
    pushed_by = collections.defaultdict(list)
    for build, number in pushed:
        pushed_by[build].append(number)
    for build in {update.build for update in evidence.updates if update.build is not None} - pushed_by.keys():
        yield f"a commit of {build} is on a branch, and no journal says that a push of it began"
    # What an agent has left is looked at once it has ended.
    worked = {(build, event.data["attempt"]) for build, events in evidence.trail.items() for event in events if event.data.get("phase") == "committing"}
    for attempt in evidence.attempts:
        token = (attempt.build, attempt.number)
        if attempt.mode != "run" or token in found:
            continue
        if token in worked:
            yield f"attempt {attempt.number} of {attempt.build} had something to commit, and no journal says that its agent has started"
        elif attempt.accepted is not None and attempt.reason == "completed" and not any(number < attempt.number for number in pushed_by[attempt.build]):
            yield f"attempt {attempt.number} of {attempt.build} is completed, and no journal says that its agent has started"  # nor has it found an earlier one's commit


def pushes(evidence):
    by_token = {(attempt.build, attempt.number): attempt for attempt in evidence.attempts}
    for entry in evidence.journal:
        if entry.what != "push begins":
            continue
        attempt = by_token.get((entry.build, entry.attempt))
        if attempt is None:
            yield f"a push of attempt {entry.attempt} of {entry.build}, which there is not"
        elif attempt.worker != entry.worker:
            yield f"a push of attempt {entry.attempt} of {entry.build} by {entry.worker}, and {attempt.worker} has it"
        elif attempt.ended is not None and entry.time > attempt.ended + SLACK_S and not excused(evidence, [attempt]):
            yield f"a push of attempt {entry.attempt} of {entry.build} began {entry.time - attempt.ended:.2f} s after its lease ({attempt.reason})"


def publications(evidence):
    """C4, with M1 and M5: one change of one branch a build at most, by the git server's reflog, and the one that the build names."""
    found = collections.defaultdict(list)
    for update in evidence.updates:
        if update.build is not None:
            found[update.build].append(update.sha)
    late = {message.build for message in evidence.messages if message.type == "build.late_commit"}
    for build, shas in found.items():
        row = evidence.rows.get(build)
        if len(shas) > 1:
            yield f"{build} has changed its branch {len(shas)} times: {shas}"
        elif row is None:
            yield f"a commit of {build}, which has no row"
        elif row.sha != shas[0] and build not in late:
            yield f"{build} ({row.status}) names commit {row.sha}; on the branch is {shas[0]}"
        if not set(shas) <= evidence.commits.get(build, set()):
            yield f"a commit of {build} was on a branch, and is on none any more: {shas}"
    for build, shas in evidence.commits.items():
        if len(shas) > 1:
            yield f"{build} has {len(shas)} commits: {sorted(shas)}"
        if build not in found:
            yield f"a commit of {build} came to a branch without a trace in its reflog"
    for build, row in evidence.rows.items():
        posted = evidence.posted.get(build)
        if row.status == "completed" and posted is not None and posted.pushes and build not in found:
            yield f"{build} is completed with {row.sha}, and no branch has had a commit of it"


def tokens(evidence):
    """C5: a lease is of one attempt and one worker, and an attempt has one lease."""
    leases, attempts = {}, {}
    for message in evidence.messages:
        if message.type == "attempt.assign":
            data = message.data
            token, holder = (data["build_id"], data["attempt"]), (data["worker_id"], str(data["incarnation"]))
            if leases.setdefault(data["lease_id"], (token, holder)) != (token, holder):
                yield f"lease {data['lease_id']} was given twice: {leases[data['lease_id']]} and {(token, holder)}"
            if attempts.setdefault(token, data["lease_id"]) != data["lease_id"]:
                yield f"attempt {token[1]} of {token[0]} has two leases"
    for attempt in evidence.attempts:
        told = attempts.get((attempt.build, attempt.number))
        if told is not None and told != attempt.lease:
            yield f"attempt {attempt.number} of {attempt.build} was assigned with lease {told}, and has {attempt.lease}"


def trail(evidence):
    """C6: what Kafka has is what the table has, event by event with the same hash; with M2, one terminal event at most."""
    on_kafka = collections.defaultdict(dict)
    for message in evidence.messages:
        if message.topic == BUILD_EVENTS:
            sequence = message.data["sequence"]
            if on_kafka[message.key].setdefault(sequence, (message.value, message.hash)) != (message.value, message.hash):
                yield f"event {sequence} of {message.key} was published twice, and not the same"
    for build in evidence.trail.keys() | on_kafka.keys():
        rows, last, digest = evidence.trail.get(build, []), 0, bytes(32)
        for event in rows:
            digest = hashlib.sha256(digest + event.body).digest()
            if event.sequence != last + 1 or digest != event.hash:
                yield f"event {event.sequence} of {build} does not follow from the one before"
            last = event.sequence
            if event.sequence not in on_kafka[build]:
                yield f"event {event.sequence} of {build} is not on Kafka"
            elif on_kafka[build][event.sequence] != (event.body, event.hash.hex()):
                yield f"event {event.sequence} of {build} is another one on Kafka"
        for sequence in on_kafka[build].keys() - {event.sequence for event in rows}:
            yield f"event {sequence} of {build} is on Kafka, and not in the trail"
        ends = [event.type for event in rows if event.type in TERMINAL]
        if len(ends) > 1:
            yield f"{build} has ended {len(ends)} times: {ends}"
        if ends and rows[-1].type not in (*TERMINAL, "build.late_commit"):
            yield f"{build} goes on after its end: {rows[-1].type}"


def order(evidence):
    """C7: first occurrences of a build's events come in their order, and who begins anywhere finds the same records."""
    highest = {}
    for message in evidence.messages:
        if message.topic == BUILD_EVENTS:
            sequence, last = message.data["sequence"], highest.get(message.key, 0)
            if sequence > last + 1:
                yield f"{message.key} jumps from {last} to {sequence}"
            highest[message.key] = max(sequence, last)
    known = {(message.topic, message.partition, message.offset): message for message in evidence.messages}
    ends = collections.defaultdict(int)
    for message in evidence.messages:
        ends[message.topic, message.partition] = max(message.offset + 1, ends[message.topic, message.partition])
    for found in evidence.rereads:
        for message in found:
            before = known.get((message.topic, message.partition, message.offset))
            if before is None or (before.event_id, before.value) != (message.event_id, message.value):
                yield f"{message.topic}/{message.partition}/{message.offset} is {message.event_id}, and was {before and before.event_id}"
        if found and found[-1].offset + 1 < ends[found[0].topic, found[0].partition]:
            yield f"{found[0].topic}/{found[0].partition} ends at {found[-1].offset + 1}, and had {ends[found[0].topic, found[0].partition]} records"


def idle_share(evidence, window):
    """How much of a window's time a build of it waited while a slot was free, without what a match may take."""
    changes = []  # (time, change of waiting, change of taken slots)
    for build in window.builds:
        waits = None
        for event in evidence.trail.get(build, []):
            if event.data["phase"] == "queued" and waits is None:
                waits = event.time
                changes.append((event.time, 1, 0))
            elif event.data["phase"] != "queued" and waits is not None:
                waits = None
                changes.append((event.time, -1, 0))
    if not changes:
        return 0.0
    begin, end = min(change[0] for change in changes), max(change[0] for change in changes)
    for attempt in evidence.attempts:
        if attempt.ended is None or attempt.ended > begin:
            changes.append((max(begin, attempt.assigned), 0, 1))
            if attempt.ended is not None:
                changes.append((attempt.ended, 0, -1))
    idle, waiting, taken, since = 0.0, 0, 0, None
    match_s = max(MATCH_S, MATCH_STEPS * window.busy)
    for time, more_waiting, more_taken in sorted(changes):
        waiting, taken = waiting + more_waiting, taken + more_taken
        if waiting > 0 and taken < window.slots:
            since = time if since is None else since
        elif since is not None:
            idle += time - since if time - since > match_s else 0
            since = None
    return idle / max(end - begin, 1.0)


def is_quiet(evidence, window):
    """The machine was not busy, and no worker missed an accept, after which its free slots are not given away for a while."""
    return window.busy <= BUSY_S and not any(attempt.state == "lost" and attempt.build in window.builds for attempt in evidence.attempts)


def conservation(evidence):
    """C8: in quiet windows builds do not wait while a slot is free. A wake-up that is lost is lost in every window; a machine that was busy says nothing."""
    shares = [idle_share(evidence, window) for window in evidence.windows if is_quiet(evidence, window)]
    if shares and min(shares) > IDLE_SHARE:
        yield f"builds waited while a slot was free, for {', '.join(f'{share:.1%}' for share in shares)} of the time of quiet windows"


def dead_letters(evidence):
    """C9: nothing was refused that one of us has written."""
    yield from (f"{message.value[:200]!r}" for message in evidence.messages if message.topic == DEAD_LETTERS)


def offsets(evidence):
    """C10: what was applied is what is there: all that there was when it was quiet, and nothing that there is not."""
    for row in evidence.offsets:
        place = f"{row.consumer} has applied {row.topic}/{row.partition} up to {row.next}"
        if row.next > row.end:
            yield f"{place}, and its end is {row.end}"
        if row.next < row.start:
            yield f"{place}, and it begins at {row.start}"
        if row.next < row.quiet_end:
            yield f"{place}, and {row.quiet_end} were there long ago"


def leftovers(evidence):
    """C11: no process, lock, workspace, slot or claim of what has ended; nothing waits."""
    yield from (f"{what}: {left}" for what, left in evidence.leftovers.items() if left)
    for attempt in evidence.attempts:
        if attempt.ended is None:
            yield f"attempt {attempt.number} of {attempt.build} is {attempt.state} for ever"


def failure_of(data):
    """The class of the error that a result or an event of a build's end tells."""
    return ((data.get("result") or {}).get("error") or {}).get("class")


class Losses:
    """Who was lost, in company or alone, and who said so: by tables and logs, for the trail says only that an attempt was lost."""

    def __init__(self, evidence):
        self.by_token = {(attempt.build, attempt.number): attempt for attempt in evidence.attempts}
        # One transaction, one time: what one worker held of accepted attempts when it was found to be lost.
        self.together = collections.Counter((attempt.worker, attempt.ended) for attempt in evidence.attempts if attempt.state == "lost" and attempt.accepted is not None)
        self.told = {
            (message.build, message.data["attempt"], message.data["lease_id"])
            for message in evidence.messages
            if message.type == "attempt.finished" and failure_of(message.data) == "worker_lost" and message.data["retryable"] and not message.data["published"]
        }

    def is_told(self, attempt):
        """Its worker has said that it gave it up, and that was applied as its end."""
        return attempt is not None and attempt.state == "finished" and attempt.reason == "failed" and (attempt.build, attempt.number, attempt.lease) in self.told

    def of(self, build, events):
        """(event, how many losses count by then), along the trail of a build."""
        counted, forgiven, accepted, open_one = 0, 0, set(), None
        for event in events:
            number = event.data["attempt"]
            attempt = self.by_token.get((build, number))
            if event.type == "build.started" and event.data.get("mode") == "run":
                accepted.add(number)
                open_one = attempt
            elif event.type == "build.attempt_lost":
                open_one = open_one if attempt is not open_one else None
                if number in accepted and event.data["reason"] in LOSSES and attempt is not None:
                    if attempt.state == "lost" and self.together[attempt.worker, attempt.ended] > 1 and forgiven < MASS_LOSSES:
                        forgiven += 1
                    else:
                        counted += attempt.state == "lost" or self.is_told(attempt)
            elif event.type == "build.failed" and self.is_told(open_one):
                counted += 1  # the last one's own report is its build's end, and no event of its own
            yield event, counted


def failures(evidence):
    """C12: who has lost its worker as often as the limit says fails by that, and nobody else does; what else failed was said by its agent."""
    losses = Losses(evidence)
    wished = {message.build for message in evidence.messages if message.type == "build.cancel_requested"}
    said = {entry.build for entry in evidence.doubles}
    for build, events in evidence.trail.items():
        counted = 0
        for event, counted in losses.of(build, events):
            attempt = losses.by_token.get((build, event.data["attempt"]))
            runs = attempt is not None and attempt.mode == "run"
            if counted < evidence.max_losses:
                continue
            if event.data["phase"] == "assigned" and runs:
                yield f"{build} was assigned once more, as attempt {attempt.number}, after {counted} losses"
            elif event.type == "build.completed" and runs:
                yield f"attempt {attempt.number} of {build} is completed after {counted} losses"
        if build not in wished and any(event.type == "build.cancelled" for event in events):
            yield f"{build} was cancelled, and nobody wished it"
        for name in causes(evidence, build):
            if name == "worker_lost" and counted < evidence.max_losses:
                yield f"{build} has failed by losing its worker too often, after {counted} losses that count"
            elif name != "worker_lost" and (counted >= evidence.max_losses or name != "agent_failed" or build not in said):
                yield f"{build} has failed ({name}) after {counted} losses that count"


def causes(evidence, build):
    """By what it has failed: one class, unless its row and its trail differ."""
    row = evidence.rows.get(build)
    found = {failure_of(event.data) for event in evidence.trail[build] if event.type == "build.failed"}
    return found | ({row.error} if row is not None and row.status == "failed" else set())


def webhooks(evidence):
    """Guarantee 5: each end was told, under one id."""
    for posted in evidence.posted.values():
        ids = evidence.told.get(posted.inbox, set())
        if len(ids) != 1:
            yield f"{posted.task} was told under {len(ids)} ids"


def blanks(evidence):
    """Nothing that the checks above go through is empty: of nothing all is true."""
    for what in ("posted", "seen", "messages", "rows", "trail", "attempts", "journal", "updates", "commits", "rereads", "offsets", "told", "windows", "controls", "max_losses"):
        if not getattr(evidence, what):
            yield f"there are no {what}"
    types = {message.type for message in evidence.messages} | {entry.what for entry in evidence.journal}
    yield from (f"there is no {what!r}" for what in ("build.requested", "attempt.assign", *SAID) if what not in types)
    if not any(message.topic == BUILD_EVENTS for message in evidence.messages):
        yield f"there is no record of {BUILD_EVENTS}"
    heard = {entry.worker for entry in evidence.journal}
    for worker in {attempt.worker for attempt in evidence.attempts if attempt.reason == "completed"} - heard:
        yield f"worker {worker} has completed attempts, and there is no line of its journal"
    for build in evidence.controls - {entry.build for entry in evidence.doubles}:
        yield f"the agent of {build} had to find another one alive, and that was not seen"
    for found in evidence.rereads:
        if not found:
            yield "who began to read anew has found nothing"


def surprises(evidence):
    """What nobody expected."""
    yield from evidence.surprises


CHECKS = {
    "C1": accepted,
    "C2": answers,
    "C3": agents,
    "C4": publications,
    "C5": tokens,
    "C6": trail,
    "C7": order,
    "C8": conservation,
    "C9": dead_letters,
    "C10": offsets,
    "C11": leftovers,
    "C12": failures,
    "webhooks": webhooks,
    "blanks": blanks,
    "surprises": surprises,
}
