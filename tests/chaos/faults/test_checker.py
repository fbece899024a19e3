"""The checker bites: a run without fault passes, and each violation of C1 to C12, forged into it, is found by the check that is for it, and legal
oddities are not taken for violations.
"""

import copy
import hashlib
import itertools
import json

import checker
import nemeses
import pytest
from bots import Posted, Seen
from evidence import Attempt, Entry, Event, Evidence, Message, Offset, Row, Update, Window

LOST, WON, QUIET = "build-lost", "build-won", "build-quiet"  # the first attempt of LOST was lost
GONE = "build-gone"  # was lost as often as it may be
CONTROL = "build-control"


class Forge:
    """Makes evidence of a small run in which all is well."""

    def __init__(self):
        self.evidence = Evidence()
        self.offsets = {}

    def message(self, topic, key, type_, data, event_id=None, digest=None):
        offset = self.offsets.setdefault(topic, itertools.count())
        value = json.dumps(data).encode()
        made = Message(topic, 0, next(offset), key, type_, event_id or f"{topic}/{key}/{type_}", value, data, digest)
        self.evidence.messages.append(made)
        return made

    def event(self, build, time, type_, status, phase, attempt, **more):
        rows = self.evidence.trail.setdefault(build, [])
        before = rows[-1].hash if rows else bytes(32)
        data = {"build_id": build, "sequence": len(rows) + 1, "status": status, "phase": phase, "attempt": attempt} | more
        made = self.message(checker.BUILD_EVENTS, build, type_, data, f"build/{build}/{len(rows) + 1}")
        digest = hashlib.sha256(before + made.value).digest()
        made.hash = digest.hex()
        rows.append(Event(len(rows) + 1, type_, time, made.value, digest, data))

    def assigned(self, build, number, worker, begin, end, state="finished", reason="completed", mode="run"):
        lease = f"lease-{build}-{number}"
        data = {"build_id": build, "attempt": number, "lease_id": lease, "worker_id": worker, "incarnation": {"counter": 1, "nonce": "n"}}
        self.message("kiln.build.assignments", worker, "attempt.assign", data)
        self.evidence.attempts.append(Attempt(build, number, lease, worker, mode, state, begin, begin + 0.1, end, reason))
        self.event(build, begin, "build.phase", "pending", "assigned", number)

    def ran(self, build, number, worker, begin, end):
        self.event(build, begin, "build.started", "running", "preparing", number, mode="run")
        self.event(build, begin + 0.1, "build.phase", "running", "agent", number)
        self.evidence.journal += [Entry(begin + 0.1, worker, "agent starts", build, number), Entry(end, worker, "agent ended", build, number)]

    def requested(self, build, time):
        self.message("kiln.build.requests", build, "build.requested", {"build_id": build})
        self.event(build, time, "build.pending", "pending", "queued", 0)
        self.evidence.posted[build] = Posted(build, "p", "main", True, f"/{build}")
        self.evidence.told[f"/{build}"] = {f"build/{build}/end"}

    def lost(self, build, number, worker, begin, reason="worker_restarted"):
        """An attempt that ran for a second, and what is told of it."""
        self.assigned(build, number, worker, begin, begin + 1, "lost", reason)
        self.ran(build, number, worker, begin + 0.2, begin + 0.9)
        self.event(build, begin + 1, "build.attempt_lost", "pending", "queued", number, reason=reason)

    def gave_up(self, build, number, worker, begin):
        """The same, told by the worker itself, whose lease was over."""
        self.assigned(build, number, worker, begin, begin + 1, "finished", "failed")
        self.ran(build, number, worker, begin + 0.2, begin + 0.9)
        self.message("kiln.build.results", build, "attempt.finished", told(build, number, "worker_lost"))

    def failed(self, build, number, time, name):
        self.event(build, time, "build.failed", "failed", None, number, result={"error": {"class": name}})
        self.evidence.rows[build] = Row("failed", None, name)

    def completed(self, build, number, worker, time):
        sha = f"sha-{build}"
        self.event(build, time, "build.phase", "running", "pushing", number)
        self.evidence.journal.append(Entry(time, worker, "push begins", build, number))
        self.evidence.updates.append(Update("p", "refs/heads/main", sha, build))
        self.evidence.commits[build] = {sha}
        self.event(build, time + 0.5, "build.completed", "completed", None, number)
        self.evidence.rows[build] = Row("completed", sha, None)


def told(build, number, name):
    return {"build_id": build, "attempt": number, "lease_id": f"lease-{build}-{number}", "retryable": True, "published": False, "result": {"error": {"class": name}}}


@pytest.fixture
def run():
    """One build goes through, one loses its first worker, one as many as it may; a fourth waits for its turn in a quiet window."""
    forge = Forge()
    forge.requested(WON, 10)
    forge.assigned(WON, 1, "w1", 10.01, 12.5)
    forge.ran(WON, 1, "w1", 10.2, 11.9)
    forge.completed(WON, 1, "w1", 12)
    forge.requested(LOST, 20)
    forge.assigned(LOST, 1, "w1", 20.1, 30, "lost", "lease_expired")
    forge.ran(LOST, 1, "w1", 20.2, 25)
    forge.event(LOST, 30, "build.attempt_lost", "pending", "queued", 1, reason="lease_expired")
    forge.assigned(LOST, 2, "w2", 30.1, 32.5)
    forge.ran(LOST, 2, "w2", 30.3, 31.9)
    forge.completed(LOST, 2, "w2", 32)
    forge.requested(GONE, 40)
    forge.lost(GONE, 1, "w1", 41)
    forge.lost(GONE, 2, "w2", 43)
    forge.failed(GONE, 2, 44, "worker_lost")
    forge.requested(QUIET, 100)
    forge.assigned(QUIET, 1, "w1", 100.1, 105)
    forge.ran(QUIET, 1, "w1", 100.2, 103)
    forge.completed(QUIET, 1, "w1", 104)
    evidence = forge.evidence
    evidence.windows = [Window({QUIET}, 1)]
    evidence.max_losses = 2
    evidence.controls = {CONTROL}
    evidence.doubles = [Entry(0, "", "double", CONTROL, 1)]
    evidence.seen = [
        Seen(LOST, 20, 20.1, 200, "pending", "queued", 0),
        Seen(LOST, 21, 21.1, 200, "running", "agent", 1),
        Seen(LOST, 30, 30.1, 200, "pending", "queued", 1),
        Seen(LOST, 33, 33.1, 200, "completed", None, 2),
    ]
    evidence.offsets = [Offset("kiln-build-service", "kiln.build.requests", 0, 3, 0, 3, 3)]
    evidence.rereads = [[message for message in evidence.messages if message.topic == checker.BUILD_EVENTS][4:]]
    evidence.forge = forge
    return evidence


def found(evidence):
    """The names of the checks that found something."""
    return {text.partition(":")[0] for text in checker.violations(evidence)}


def test_a_run_in_which_all_is_well_has_no_violation(run):
    assert not list(checker.violations(run))


def remove(evidence, *types, build=None):
    evidence.messages = [message for message in evidence.messages if message.type not in types or build not in (None, message.build)]


def rehash(events):
    digest = bytes(32)
    for event in events:
        digest = event.hash = hashlib.sha256(digest + event.body).digest()


# C1


def forge_c1_request_lost(run):
    remove(run, "build.requested", build=WON)


def forge_c1_row_lost(run):
    del run.rows[WON]


def forge_c1_never_ends(run):
    run.rows[WON] = Row("pending", None, None)


def forge_c1_row_from_nowhere(run):
    run.rows["nobody's"] = Row("failed", None, "internal")


def forge_c1_one_that_was_refused(run):
    message = next(message for message in run.messages if message.type == "build.requested")
    message.data["spec"] = {"prompt": "p"}
    run.refused["p"] = "503 kafka-unavailable"


# C2


def forge_c2_404(run):
    run.seen.append(Seen(WON, 10, 10.1, 404))


def forge_c2_backwards(run):
    run.seen.append(Seen(LOST, 34, 34.1, 200, "running", "agent", 2))


def forge_c2_back_to_an_earlier_attempt(run):
    run.seen.append(Seen(LOST, 31, 31.1, 200, "running", "agent", 1))


def forge_c2_an_end_that_was_none(run):
    run.seen.append(Seen(LOST, 34, 34.1, 200, "failed", None, 2))


# C3


def forget_end(run):
    """The journal does not say when the agent of LOST's first attempt ended."""
    run.journal = [entry for entry in run.journal if (entry.build, entry.attempt, entry.what) != (LOST, 1, "agent ended")]


def add_third(run, begin, end):
    run.attempts.append(Attempt(LOST, 3, "lease-third", "w3", "run", "finished", begin, begin, end, "completed"))
    run.journal += [Entry(begin, "w3", "agent starts", LOST, 3), Entry(end, "w3", "agent ended", LOST, 3)]


def forge_c3_a_second_agent_by_its_lock(run):
    run.doubles.append(Entry(0, "", "double", LOST, 2))


def forge_c3_a_second_agent_by_the_journals(run):
    forget_end(run)


def forge_c3_push_after_the_lease(run):
    run.journal.append(Entry(30.5, "w1", "push begins", LOST, 1))


def forge_c3_push_by_another_worker(run):
    run.journal.append(Entry(11, "w2", "push begins", WON, 1))


def third_attempt(run, begin, end):
    """Of LOST, whose first attempt is excused for two reasons."""
    first = next(attempt for attempt in run.attempts if (attempt.build, attempt.number) == (LOST, 1))
    first.accepted, first.reason = None, "accept_timeout"
    run.freezes.append((first.worker, first.assigned, first.ended))
    add_third(run, begin, end)


def forge_c3_two_agents_after_an_attempt_that_is_excused(run):
    third_attempt(run, 31, 31.5)  # the second one's lives from 30.4 to 31.9


def forge_c3_an_agent_that_outlives_its_executor(run):
    lost = next(attempt for attempt in run.attempts if attempt.state == "lost")
    lost.accepted, lost.reason = None, "worker_restarted"
    forget_end(run)
    run.doubles.append(Entry(0, "", "double", LOST, 2))


def forge_c3_a_second_agent_by_its_lock_after_an_attempt_that_is_excused(run):
    third_attempt(run, 33, 34)
    run.doubles.append(Entry(0, "", "double", LOST, 3))


def forge_c3_an_agent_that_lives_on_while_one_that_is_excused_comes_and_goes(run):
    forget_end(run)
    next(attempt for attempt in run.attempts if (attempt.build, attempt.number) == (LOST, 2)).state = "lost"
    run.freezes.append(("w2", 30.2, 32))
    add_third(run, 33, 34)


def silence(evidence, *whats, build):
    """The journals say no such thing of this build."""
    evidence.journal = [entry for entry in evidence.journal if entry.build != build or entry.what not in whats]


def forge_c3_no_journal_says_that_a_push_began(run):
    silence(run, "push begins", build=WON)


def forge_c3_no_journal_says_that_an_agent_has_started(run):
    silence(run, "agent starts", build=WON)


def forge_c3_no_journal_has_the_agent_of_a_lost_attempt_that_had_come_to_its_commit(run):
    run.journal = [entry for entry in run.journal if (entry.build, entry.attempt) != (LOST, 1)]
    run.forge.event(LOST, 40, "build.phase", "running", "committing", 1)


# C4


def forge_c4_two_pushes(run):
    run.updates.append(Update("p", "refs/heads/main", "sha-other", WON))


def forge_c4_another_commit_than_named(run):
    run.rows[WON].sha = "sha-other"


def forge_c4_completed_without_a_push(run):
    run.updates = [update for update in run.updates if update.build != WON]
    del run.commits[WON]


def forge_c4_push_of_a_build_that_failed(run):
    run.rows[WON] = Row("failed", None, "git_conflict")


def forge_c4_two_commits(run):
    run.commits[WON].add("sha-other")


def forge_c4_a_commit_that_is_on_no_branch_any_more(run):
    del run.commits[WON]


# C5


def assignment(run, build, number):
    return next(message for message in run.messages if message.type == "attempt.assign" and (message.build, message.data["attempt"]) == (build, number))


def forge_c5_a_lease_twice(run):
    assignment(run, LOST, 2).data["lease_id"] = assignment(run, LOST, 1).data["lease_id"]


def forge_c5_two_leases_of_an_attempt(run):
    again = copy.deepcopy(assignment(run, WON, 1))
    again.data["lease_id"] = "lease-other"
    run.messages.append(again)


def forge_c5_a_lease_of_two_workers(run):
    again = copy.deepcopy(assignment(run, WON, 1))
    again.data["worker_id"] = "w2"
    run.messages.append(again)


# C6


def forge_c6_not_on_kafka(run):
    remove(run, "build.completed", build=WON)


def forge_c6_not_in_the_trail(run):
    del run.trail[WON][-1]


def forge_c6_another_body(run):
    run.trail[WON][1].body += b" "
    rehash(run.trail[WON])


def forge_c6_broken_chain(run):
    run.trail[WON][1].hash = bytes(32)


def forge_c6_two_ends(run):
    run.forge.event(WON, 13, "build.failed", "failed", None, 1)


# C7


def forge_c7_out_of_order(run):
    one, two = [at for at, message in enumerate(run.messages) if message.topic == checker.BUILD_EVENTS and message.key == WON][2:4]
    run.messages[one], run.messages[two] = run.messages[two], run.messages[one]


def forge_c7_another_record_at_an_offset(run):
    run.rereads[0][1] = copy.copy(run.rereads[0][1])
    run.rereads[0][1].event_id = "build/other/1"


def forge_c7_a_shorter_log(run):
    del run.rereads[0][-1]


# C8


def forge_c8_waits_beside_a_free_slot(run):
    run.windows[0].slots = 2
    for event in run.trail[QUIET][1:]:
        event.time += 1
    for attempt in run.attempts:
        if attempt.build == QUIET:
            attempt.assigned, attempt.ended = attempt.assigned + 1, attempt.ended + 1


# C9


def forge_c9_a_dead_letter(run):
    run.forge.message(checker.DEAD_LETTERS, WON, "build.requested", {"build_id": WON})


# C10


def forge_c10_beyond_the_end(run):
    run.offsets[0].next = 4


def forge_c10_behind(run):
    run.offsets[0].next = 2


def forge_c10_before_the_start(run):
    run.offsets[0].start = run.offsets[0].end = run.offsets[0].quiet_end = 5
    run.offsets[0].next = 4


# C11


def forge_c11_a_process(run):
    run.leftovers["processes of agents"] = [4711]


def forge_c11_a_claim(run):
    run.leftovers["project slots"] = 1


def forge_c11_an_attempt_for_ever(run):
    run.attempts[0].state, run.attempts[0].ended = "accepted", None


# C12


def another(run, *losses, end="worker_lost"):
    """A build that was lost so, one after the other, and ends by the last one."""
    run.forge.requested("build-another", 50)
    for number, lose in enumerate(losses, 1):
        lose(run.forge, number, 50 + 2 * number)
    run.forge.failed("build-another", len(losses), 70, end)


def alone(forge, number, begin):
    forge.lost("build-another", number, "w1", begin)


def in_company(forge, number, begin):
    """With an attempt of another build that the same worker held."""
    forge.lost("build-another", number, "w1", begin)
    forge.assigned("build-company", number, "w1", begin, begin + 1, "lost", "worker_restarted")


def by_its_own_word(forge, number, begin):
    forge.gave_up("build-another", number, "w1", begin)
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="not_held", error={"class": "worker_lost"})


def by_its_last_word(forge, number, begin):
    """Which is its build's end, and no loss in the trail."""
    forge.gave_up("build-another", number, "w1", begin)


def not_accepted(forge, number, begin):
    forge.assigned("build-another", number, "w1", begin, begin + 1, "lost", "accept_timeout")
    forge.evidence.attempts[-1].accepted = None
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="accept_timeout")


def failed_by_itself(forge, number, begin):
    forge.assigned("build-another", number, "w1", begin, begin + 1, "finished", "failed")
    forge.ran("build-another", number, "w1", begin + 0.2, begin + 0.9)
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="failed", error={"class": "git_unreachable"})


def while_settling(forge, number, begin):
    forge.assigned("build-another", number, "w1", begin, begin + 1, "lost", "worker_restarted", mode="settle")
    forge.event("build-another", begin, "build.started", "running", "preparing", number, mode="settle")
    forge.event("build-another", begin + 1, "build.attempt_lost", "pending", "queued", number, reason="worker_restarted")


def forge_c12_lost_too_often_before_the_limit(run):
    run.max_losses = 3


def forge_c12_an_attempt_after_the_limit(run):
    run.max_losses = 1


def forge_c12_a_loss_of_what_no_worker_had_accepted_counts(run):
    another(run, alone, not_accepted)


def forge_c12_a_failure_of_its_own_counts(run):
    another(run, failed_by_itself, alone)


def forge_c12_a_loss_of_a_settling_attempt_counts(run):
    another(run, alone, while_settling)


def forge_c12_losses_in_company_count(run):
    another(run, in_company, in_company, alone)


def forge_c12_a_third_loss_in_company_does_not_count(run):
    another(run, in_company, in_company, in_company, in_company, alone)


def forge_c12_a_loss_that_its_worker_has_never_told(run):
    another(run, alone, by_its_own_word)
    remove(run, "attempt.finished")


def forge_c12_an_end_that_its_worker_has_never_told(run):
    another(run, alone, by_its_last_word)
    remove(run, "attempt.finished")


def forge_c12_a_worker_that_has_told_of_another_failure(run):
    another(run, alone, by_its_last_word)
    next(message for message in run.messages if message.type == "attempt.finished").data["result"]["error"]["class"] = "internal"


def forge_c12_another_failure_after_as_many_losses(run):
    another(run, alone, alone, end="git_unreachable")


def forge_c12_another_failure_of_whose_agent_nobody_has_heard(run):
    another(run, failed_by_itself, end="agent_failed")


def forge_c12_another_failure_of_one_whose_agent_has_found_another_one_alive(run):
    another(run, failed_by_itself, end="git_unreachable")
    run.doubles.append(Entry(0, "", "double", "build-another", 1))


def forge_c12_another_failure_by_its_row_alone(run):
    run.rows[GONE].error = "internal"


def forge_c12_completed_after_the_limit(run):
    run.trail[GONE][-1].type = "build.completed"
    run.rows[GONE] = Row("completed", None, None)


def forge_c12_cancelled_and_nobody_wished_it(run):
    run.trail[GONE][-1].type = "build.cancelled"
    run.rows[GONE] = Row("cancelled", None, "cancelled")


FORGED = {name: forge for name, forge in globals().items() if name.startswith("forge_")}


@pytest.mark.parametrize("name", FORGED)
def test_the_check_that_is_for_it_finds(run, name):
    FORGED[name](run)
    assert name.split("_")[1].upper() in found(run)


def test_every_check_of_the_protocol_has_a_forged_violation():
    assert {name.split("_")[1].upper() for name in FORGED} == {f"C{number}" for number in range(1, 13)}


def test_an_end_that_was_not_told_and_what_nobody_expected_are_found(run):
    run.told = dict.fromkeys(run.told, set())
    run.surprises.append("gateway-1 ended by itself with -6")
    assert found(run) == {"webhooks", "surprises"}


@pytest.mark.parametrize("what", ["posted", "seen", "messages", "rows", "trail", "attempts", "journal", "updates", "commits", "rereads", "offsets", "told", "windows", "controls"])
def test_evidence_that_is_not_there_proves_nothing(run, what):
    getattr(run, what).clear()
    assert "blanks" in found(run)


@pytest.mark.parametrize("what", checker.SAID)
def test_a_journal_that_has_other_words_for_it_proves_nothing(run, what):
    for entry in run.journal:
        entry.what = "reworded" if entry.what == what else entry.what
    assert "blanks" in found(run)


@pytest.mark.parametrize("what", ["build.requested", "attempt.assign"])
def test_records_that_have_another_name_prove_nothing(run, what):
    for message in run.messages:
        message.type = "reworded" if message.type == what else message.type
    assert "blanks" in found(run)


def test_an_executor_that_has_worked_and_has_no_journal_is_found(run):
    run.journal = [entry for entry in run.journal if entry.worker != "w2"]
    assert "blanks" in found(run)


def test_a_run_without_a_limit_of_losses_proves_nothing_of_it(run):
    run.max_losses = 0
    assert "blanks" in found(run)


def test_a_double_that_was_made_on_purpose_and_was_not_seen_is_found(run):
    run.doubles.clear()
    assert found(run) == {"blanks"}


def test_a_reader_who_has_found_nothing_is_found(run):
    run.rereads.append([])
    assert found(run) == {"blanks"}


# What is legal


def test_an_attempt_that_finds_what_an_earlier_one_has_published_needs_no_agent(run):
    run.journal = [entry for entry in run.journal if (entry.build, entry.attempt) != (LOST, 2)]
    run.journal += [Entry(26, "w1", "push begins", LOST, 1), Entry(100.3, "w2", "attempt accepted", LOST, 2)]
    assert not found(run)


def test_running_may_become_pending_when_the_attempt_is_lost(run):
    run.seen.append(Seen(LOST, 30.2, 30.3, 200, "pending", "assigned", 2))
    assert not found(run)


def test_an_answer_that_was_asked_for_before_the_newer_one_came_may_be_older(run):
    run.seen.append(Seen(LOST, 32.9, 40, 200, "running", "agent", 2))
    assert not found(run)


def test_repeated_events_and_assignments_are_legal(run):
    for message in [message for message in run.messages if message.key in (WON, "w1")]:
        run.messages.append(copy.copy(message))
        run.messages[-1].offset += 1000
    run.rereads = [[message for message in run.messages if message.topic == checker.BUILD_EVENTS]]
    assert not found(run)


def test_a_frozen_host_may_wake_up_beside_its_successor(run):
    run.doubles.append(Entry(0, "", "double", LOST, 2))
    run.journal.append(Entry(31, "w1", "push begins", LOST, 1))
    run.freezes.append(("w1", 22, 30.5))
    assert not found(run)


def test_an_accept_that_came_too_late_is_no_violation(run):
    lost = next(attempt for attempt in run.attempts if attempt.state == "lost")
    lost.accepted, lost.reason = None, "accept_timeout"
    run.journal.append(Entry(31, "w1", "push begins", LOST, 1))
    assert not found(run)


def test_an_agent_whose_accept_came_too_late_may_live_beside_its_successors(run):
    third_attempt(run, 33, 34)
    forget_end(run)
    run.freezes.clear()
    run.doubles += [Entry(0, "", "double", LOST, 2), Entry(0, "", "double", LOST, 3)]
    assert not found(run)


def test_a_freeze_of_another_host_excuses_nothing(run):
    run.doubles.append(Entry(0, "", "double", LOST, 2))
    run.freezes.append(("w2", 22, 30.5))
    assert found(run) == {"C3"}


def test_an_executor_that_was_killed_has_no_agents_left(run):
    forget_end(run)
    run.deaths.append(("w1", 24))
    assert not found(run)


def test_a_child_that_has_died_has_no_agent_left(run):
    forget_end(run)
    run.journal.append(Entry(24, "w1", "child has died", LOST, 0))
    assert not found(run)


def test_a_commit_that_was_found_late_is_no_violation(run):
    run.rows[WON] = Row("failed", None, "worker_lost")
    run.forge.event(WON, 13, "build.late_commit", "failed", None, 1)
    assert "C4" not in found(run)


@pytest.mark.parametrize(
    "losses",
    [
        (alone, alone),
        (in_company, in_company, alone, alone),
        (in_company, in_company, in_company, alone),
        (by_its_own_word, alone),
        (alone, by_its_last_word),
        (alone, not_accepted, failed_by_itself, alone),
    ],
    ids=lambda losses: "-".join(lose.__name__ for lose in losses),
)
def test_as_many_losses_as_the_limit_says_end_a_build(run, losses):
    another(run, *losses)
    assert "C12" not in found(run)


def test_a_settling_that_follows_the_last_word_of_a_worker_may_be_lost(run):
    another(run, alone, by_its_last_word, while_settling)
    assert "C12" not in found(run)


def test_a_commit_that_settling_finds_after_the_limit_completes_a_build(run):
    run.trail[GONE].pop()
    run.forge.assigned(GONE, 3, "w1", 46, 47, mode="settle")
    run.forge.event(GONE, 47, "build.completed", "completed", None, 3)
    run.rows[GONE] = Row("completed", None, None)
    assert "C12" not in found(run)


def test_a_wish_ends_a_build_after_any_number_of_losses(run):
    forge_c12_cancelled_and_nobody_wished_it(run)
    run.forge.message("kiln.build.requests", GONE, "build.cancel_requested", {"build_id": GONE})
    assert "C12" not in found(run)


def test_an_agent_that_has_found_another_one_alive_may_fail_its_build(run):
    another(run, failed_by_itself, end="agent_failed")
    run.doubles.append(Entry(0, "", "double", "build-another", 1))
    assert "C12" not in found(run)


def test_one_window_without_waiting_is_enough(run):
    forge_c8_waits_beside_a_free_slot(run)
    run.windows.append(Window(set(), 2))
    assert not found(run)


def test_a_lost_wake_up_is_found_however_busy_the_machine_was_in_a_window_that_is_judged(run):
    forge_c8_waits_beside_a_free_slot(run)
    run.windows[0].busy = checker.BUSY_S
    assert "C8" in found(run)


def test_a_window_in_which_the_machine_was_busy_says_nothing(run):
    forge_c8_waits_beside_a_free_slot(run)
    run.windows[0].busy = 2 * checker.BUSY_S
    assert not found(run)


def test_a_window_in_which_an_accept_was_missed_says_nothing(run):
    forge_c8_waits_beside_a_free_slot(run)
    next(attempt for attempt in run.attempts if attempt.build == QUIET).state = "lost"
    assert "C8" not in found(run)


def test_what_a_match_takes_is_not_counted(run):
    run.windows[0].slots = 2
    assert checker.idle_share(run, run.windows[0]) == 0


# The plan


@pytest.mark.parametrize("lane", nemeses.LANES)
def test_the_seed_decides_the_faults(lane):
    def first(seed):
        return [(pause, str(fault)) for pause, fault in itertools.islice(nemeses.plan(seed, lane), 50)]

    assert first(7) == first(7)
    assert first(7) != first(8)


@pytest.mark.parametrize("lane", nemeses.LANES)
def test_every_kind_comes_once_before_any_comes_again(lane):
    kinds = [fault.kind for _, fault in itertools.islice(nemeses.plan(3, lane), len(nemeses.LANES[lane]))]
    assert len(set(kinds)) == len(kinds)
