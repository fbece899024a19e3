"""The checker bites: a run without fault passes, and each violation of C1 to C11, forged into it, is found by the check that is for it, and legal
oddities are not taken for violations. C12: test_checker_losses.py.
"""

import copy
import hashlib
import itertools

import checker
import nemeses
import pytest
from bots import Seen
from evidence import Attempt, Entry, Row, Update, Window
from forging import LOST, QUIET, WON, check_of, forged, found, remove, run  # noqa: F401  pylint: disable=unused-import
from test_checker_losses import FORGED as LOSSES_FORGED


def test_a_run_in_which_all_is_well_has_no_violation(run):  # noqa: F811
    assert not list(checker.violations(run))


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


FORGED = forged(globals())


@pytest.mark.parametrize("name", FORGED)
def test_the_check_that_is_for_it_finds(run, name):  # noqa: F811
    FORGED[name](run)
    assert check_of(name) in found(run)


def test_every_check_of_the_protocol_has_a_forged_violation():
    assert {check_of(name) for name in [*FORGED, *LOSSES_FORGED]} == {f"C{number}" for number in range(1, 13)}


def test_an_end_that_was_not_told_and_what_nobody_expected_are_found(run):  # noqa: F811
    run.told = dict.fromkeys(run.told, set())
    run.surprises.append("gateway-1 ended by itself with -6")
    assert found(run) == {"webhooks", "surprises"}


@pytest.mark.parametrize("what", ["posted", "seen", "messages", "rows", "trail", "attempts", "journal", "updates", "commits", "rereads", "offsets", "told", "windows", "controls"])
def test_evidence_that_is_not_there_proves_nothing(run, what):  # noqa: F811
    getattr(run, what).clear()
    assert "blanks" in found(run)


@pytest.mark.parametrize("what", checker.SAID)
def test_a_journal_that_has_other_words_for_it_proves_nothing(run, what):  # noqa: F811
    for entry in run.journal:
        entry.what = "reworded" if entry.what == what else entry.what
    assert "blanks" in found(run)


@pytest.mark.parametrize("what", ["build.requested", "attempt.assign"])
def test_records_that_have_another_name_prove_nothing(run, what):  # noqa: F811
    for message in run.messages:
        message.type = "reworded" if message.type == what else message.type
    assert "blanks" in found(run)


def test_an_executor_that_has_worked_and_has_no_journal_is_found(run):  # noqa: F811
    run.journal = [entry for entry in run.journal if entry.worker != "w2"]
    assert "blanks" in found(run)


def test_a_run_without_a_limit_of_losses_proves_nothing_of_it(run):  # noqa: F811
    run.max_losses = 0
    assert "blanks" in found(run)


def test_a_double_that_was_made_on_purpose_and_was_not_seen_is_found(run):  # noqa: F811
    run.doubles.clear()
    assert found(run) == {"blanks"}


def test_a_reader_who_has_found_nothing_is_found(run):  # noqa: F811
    run.rereads.append([])
    assert found(run) == {"blanks"}


# What is legal


def test_an_attempt_that_finds_what_an_earlier_one_has_published_needs_no_agent(run):  # noqa: F811
    run.journal = [entry for entry in run.journal if (entry.build, entry.attempt) != (LOST, 2)]
    run.journal += [Entry(26, "w1", "push begins", LOST, 1), Entry(100.3, "w2", "attempt accepted", LOST, 2)]
    assert not found(run)


def test_running_may_become_pending_when_the_attempt_is_lost(run):  # noqa: F811
    run.seen.append(Seen(LOST, 30.2, 30.3, 200, "pending", "assigned", 2))
    assert not found(run)


def test_an_answer_that_was_asked_for_before_the_newer_one_came_may_be_older(run):  # noqa: F811
    run.seen.append(Seen(LOST, 32.9, 40, 200, "running", "agent", 2))
    assert not found(run)


def test_repeated_events_and_assignments_are_legal(run):  # noqa: F811
    for message in [message for message in run.messages if message.key in (WON, "w1")]:
        run.messages.append(copy.copy(message))
        run.messages[-1].offset += 1000
    run.rereads = [[message for message in run.messages if message.topic == checker.BUILD_EVENTS]]
    assert not found(run)


def test_a_frozen_host_may_wake_up_beside_its_successor(run):  # noqa: F811
    run.doubles.append(Entry(0, "", "double", LOST, 2))
    run.journal.append(Entry(31, "w1", "push begins", LOST, 1))
    run.freezes.append(("w1", 22, 30.5))
    assert not found(run)


def test_an_accept_that_came_too_late_is_no_violation(run):  # noqa: F811
    lost = next(attempt for attempt in run.attempts if attempt.state == "lost")
    lost.accepted, lost.reason = None, "accept_timeout"
    run.journal.append(Entry(31, "w1", "push begins", LOST, 1))
    assert not found(run)


def test_an_agent_whose_accept_came_too_late_may_live_beside_its_successors(run):  # noqa: F811
    third_attempt(run, 33, 34)
    forget_end(run)
    run.freezes.clear()
    run.doubles += [Entry(0, "", "double", LOST, 2), Entry(0, "", "double", LOST, 3)]
    assert not found(run)


def test_a_freeze_of_another_host_excuses_nothing(run):  # noqa: F811
    run.doubles.append(Entry(0, "", "double", LOST, 2))
    run.freezes.append(("w2", 22, 30.5))
    assert found(run) == {"C3"}


def test_an_executor_that_was_killed_has_no_agents_left(run):  # noqa: F811
    forget_end(run)
    run.deaths.append(("w1", 24))
    assert not found(run)


def test_a_child_that_has_died_has_no_agent_left(run):  # noqa: F811
    forget_end(run)
    run.journal.append(Entry(24, "w1", "child has died", LOST, 0))
    assert not found(run)


def test_a_commit_that_was_found_late_is_no_violation(run):  # noqa: F811
    run.rows[WON] = Row("failed", None, "worker_lost")
    run.forge.event(WON, 13, "build.late_commit", "failed", None, 1)
    assert "C4" not in found(run)


def test_one_window_without_waiting_is_enough(run):  # noqa: F811
    forge_c8_waits_beside_a_free_slot(run)
    run.windows.append(Window(set(), 2))
    assert not found(run)


def test_a_lost_wake_up_is_found_however_busy_the_machine_was_in_a_window_that_is_judged(run):  # noqa: F811
    forge_c8_waits_beside_a_free_slot(run)
    run.windows[0].busy = checker.BUSY_S
    assert "C8" in found(run)


def test_a_window_in_which_the_machine_was_busy_says_nothing(run):  # noqa: F811
    forge_c8_waits_beside_a_free_slot(run)
    run.windows[0].busy = 2 * checker.BUSY_S
    assert not found(run)


def test_a_window_in_which_an_accept_was_missed_says_nothing(run):  # noqa: F811
    forge_c8_waits_beside_a_free_slot(run)
    next(attempt for attempt in run.attempts if attempt.build == QUIET).state = "lost"
    assert "C8" not in found(run)


def test_what_a_match_takes_is_not_counted(run):  # noqa: F811
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
