"""What a bot sees of a build's end, and what is written down about it."""
import json
import threading
import time

import pytest
import standardwebhooks

from kiln_testing.waiting import wait_for
from notifying import NO_REQUEST


def verified(call, secret):
    return standardwebhooks.Webhook(secret).verify(call["body"], headers_of(call))


def headers_of(call):
    return {name.lower(): value for name, value in call["headers"].items()}


def test_a_terminal_event_is_posted_signed(builds, bot, notifier):
    before = notifier.metric('kiln_webhook_attempts_total{class="delivered"}')
    build, event_id = builds.ended(bot.url())
    [call] = bot.wait()
    payload = verified(call, builds.whsec)
    assert payload == {
        "type": "build.completed",
        "timestamp": "2026-11-23T17:20:00.123456Z",
        "data": {**builds.data(build, 7), "task_id": build},
    }
    headers = headers_of(call)
    assert call["path"] == "/hook"
    assert headers["webhook-id"] == event_id
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("Kiln/")
    assert headers["traceparent"] == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    delivery = builds.wait_state(build, "delivered")
    assert delivery["attempts"] == 1 and delivery["last_status"] == 204
    assert delivery["next_attempt_at"] is None and delivery["claimed_until"] is None and delivery["delivered_at"] is not None
    assert builds.attempts(build) == [(1, 204, None)]
    assert notifier.metric('kiln_webhook_attempts_total{class="delivered"}') == before + 1


def test_the_log_has_the_trace_of_a_webhook(builds, bot, notifier):
    build, _ = builds.ended(bot.url())
    [line] = wait_for(lambda: [line for line in notifier.lines() if line.get("build_id") == build and line["msg"] == "webhook attempt"], "its line")
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_each_terminal_type_is_posted_and_no_other(builds, bot):
    ids = builds.make(bot.url(), count=5)
    kinds = ["build.completed", "build.failed", "build.cancelled", "build.pending", "build.phase"]
    for build, kind in zip(ids, kinds):
        builds.send(build, type=kind)
    last, _ = builds.ended(bot.url())
    calls = bot.wait(4)
    assert sorted(json.loads(call["body"])["type"] for call in calls if last not in call["body"].decode()) == sorted(kinds[:3])
    assert builds.delivery(ids[3]) is None and builds.delivery(ids[4]) is None


def test_a_build_without_callback_is_left_alone(builds, bot):
    silent, _ = builds.ended(None)
    build, _ = builds.ended(bot.url())
    builds.wait_state(build, "delivered")
    assert builds.delivery(silent) is None


def test_a_repeated_event_is_delivered_once(builds, bot):
    build, _ = builds.ended(bot.url())
    builds.send(build)
    builds.send(build)
    other, _ = builds.ended(bot.url())
    builds.wait_state(build, "delivered")
    builds.wait_state(other, "delivered")
    assert len([call for call in bot.calls if build in call["body"].decode()]) == 1


def test_failures_are_tried_again_with_the_same_id_and_body(builds, bot):
    bot.plan = [(500, {}), (404, {})]
    build, event_id = builds.ended(bot.url())
    calls = bot.wait(3)
    assert len({call["body"] for call in calls}) == 1
    assert {call["headers"]["webhook-id"] for call in calls} == {event_id}
    for call in calls:
        verified(call, builds.whsec)
    assert calls[1]["at"] - calls[0]["at"] >= 0.9 and calls[2]["at"] - calls[1]["at"] >= 0.9
    builds.wait_state(build, "delivered")
    assert builds.attempts(build) == [
        (1, 500, "server_error: HTTP status 500"), (2, 404, "client_error: HTTP status 404"), (3, 204, None)
    ]  # fmt: skip


def test_each_attempt_has_the_id_of_the_builds_request(builds, bot):
    bot.plan = [(500, {})]
    longest = "bot:1.a_B-" + "9" * 54
    builds.ended(bot.url(), origin={"route": "POST /projects/{id}/builds", "request_id": longest, "address": "127.0.0.1"})
    assert [headers_of(call).get("x-request-id") for call in bot.wait(2)] == [longest, longest]


@pytest.mark.parametrize(
    "origin",
    [NO_REQUEST, None, [], "text", {}, *({"request_id": bad} for bad in (None, {}, "", "a b", "x\r\nx-evil: 1", "é", "x" * 65))],
    ids=lambda origin: "no row" if origin is NO_REQUEST else None,
)
def test_a_build_of_which_no_proper_id_is_known_has_none(builds, bot, origin):
    builds.ended(bot.url(), origin=origin)
    [call] = bot.wait()
    verified(call, builds.whsec)
    assert not {"x-request-id", "x-evil"} & set(headers_of(call))


def test_after_the_last_attempt_it_is_exhausted(builds, bot):
    bot.default = (500, {})
    build, _ = builds.ended(bot.url())
    delivery = builds.wait_state(build, "exhausted")
    assert delivery["attempts"] == 3 and delivery["last_status"] == 500 and delivery["next_attempt_at"] is None
    assert len(builds.attempts(build)) == 3
    assert len(bot.calls) == 3


def test_retry_after_is_honoured(builds, bot):
    bot.plan = [(503, {"Retry-After": "3"})]
    build, _ = builds.ended(bot.url())
    first, second = bot.wait(2)
    assert second["at"] - first["at"] >= 2.9
    builds.wait_state(build, "delivered")


def test_redirects_are_failures(builds, bot, another_bot):
    bot.plan = [(307, {"Location": another_bot.url()})]
    build, _ = builds.ended(bot.url())
    bot.wait(2)
    builds.wait_state(build, "delivered")
    assert another_bot.calls == []
    assert builds.attempts(build)[0] == (1, 307, "redirect: HTTP status 307")


def test_gone_ends_it_at_once(builds, bot):
    bot.plan = [(410, {})]
    build, _ = builds.ended(bot.url())
    delivery = builds.wait_state(build, "exhausted")
    assert delivery["attempts"] == 1 and delivery["last_error"] == "gone: HTTP status 410"


def test_addresses_that_are_not_allowed_are_never_spoken_to(builds, bot, notifier):
    before = notifier.metric('kiln_webhook_attempts_total{class="denied"}')
    urls = [bot.url("127.0.0.2"), bot.url("127.2"), bot.url("[::ffff:127.0.0.2]"), "http://169.254.169.254/latest/meta-data", "http://10.0.0.1/"]
    for url in urls:
        build, _ = builds.ended(url)
        delivery = builds.wait_state(build, "exhausted")
        assert delivery["attempts"] == 1 and delivery["last_status"] is None
        assert delivery["last_error"].startswith("denied: ")
    assert bot.calls == []
    assert notifier.metric('kiln_webhook_attempts_total{class="denied"}') == before + len(urls)


def test_a_name_is_judged_by_its_address(builds, bot):
    build, _ = builds.ended(bot.url("localhost"))
    delivery = wait_for(lambda: (found := builds.delivery(build)) and found["state"] != "pending" and found, "the end of it")
    # 127.0.0.1 is allowed and ::1 is not: it depends on /etc/hosts which of them localhost has.
    assert delivery["state"] == "delivered" or delivery["last_error"].startswith("denied")


def test_bad_urls_are_exhausted_with_their_reason(builds):
    for url in ("ftp://example.org/", "http://user:pw@127.0.0.1/", "http:///x", "nonsense"):
        build, _ = builds.ended(url)
        assert builds.wait_state(build, "exhausted")["last_error"].startswith("invalid: ")


def test_a_server_that_hangs_is_a_timeout(builds, bot):
    hang = threading.Event()
    bot.plan = [hang]
    build, _ = builds.ended(bot.url())
    calls = bot.wait(2)
    hang.set()
    assert calls[1]["at"] - calls[0]["at"] >= 2.5
    builds.wait_state(build, "delivered")
    assert builds.attempts(build)[0][2].startswith("timeout: ")


@pytest.mark.parametrize("at_once", [True, False], ids=["cut short", "never ended"])
def test_a_2xx_is_delivered_however_its_body_ends(builds, bot, at_once):
    end = threading.Event()
    if at_once:
        end.set()
    bot.default = (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", end)
    build, _ = builds.ended(bot.url())
    delivery = builds.wait_state(build, "delivered")
    end.set()
    assert delivery["attempts"] == 1 and delivery["last_status"] == 200 and delivery["last_error"] is None
    assert len(bot.calls) == 1


def test_an_answer_that_is_no_http_is_tried_again(builds, bot):
    at_once = threading.Event()
    at_once.set()
    bot.plan = [(b"SSH-2.0-OpenSSH_9.2\r\n", at_once)]
    build, _ = builds.ended(bot.url())
    builds.wait_state(build, "delivered")
    [first, second] = builds.attempts(build)
    assert first[1] is None and first[2].startswith("unreachable: ") and second == (2, 204, None)


def test_nobody_there_is_tried_again(builds):
    build, _ = builds.ended("http://127.0.0.1:1/hook")
    delivery = builds.wait_state(build, "exhausted")
    assert delivery["attempts"] == 3 and delivery["last_error"].startswith("unreachable: ")


def test_a_slow_host_does_not_hold_up_the_others(builds, bot, another_bot):
    hang = threading.Event()
    bot.default = hang
    for build in builds.make(bot.url(), count=100):
        builds.send(build)
    began = time.monotonic()
    builds.flush()
    bot.wait(8)
    build, _ = builds.ended(another_bot.url())
    try:
        another_bot.wait(1)
        came = len(bot.calls)
        waves = 1 + (time.monotonic() - began) // 1.9  # KILN_WEBHOOK_TIMEOUT_MS
        assert came <= 8 * waves < 100  # KILN_WEBHOOK_PER_HOST
    finally:
        bot.default = (204, {})
        hang.set()
    builds.wait_state(build, "delivered")
    wait_for(lambda: builds.database.sql("select 1 from webhook_deliveries where state = 'pending' limit 1") == [], "the slow ones")


def test_a_poison_record_is_a_dead_letter_and_the_next_one_goes_on(builds, bot):
    [build] = builds.make(bot.url())
    builds.send(build, value="{\"build_id\": ")
    builds.send(build, sequence=8)
    builds.flush()
    builds.wait_state(build, "delivered")
    rows = builds.database.sql("select reason from dead_letters where key = %s", build.encode())
    assert len(rows) == 1
    assert builds.delivery(build)["event_id"].endswith("/8")


def test_a_large_event_is_delivered_whole(builds, bot):
    [build] = builds.make(bot.url())
    value = json.dumps(builds.data(build, 7, result={"output": "ä" * 1_000_000}), separators=(",", ":"), ensure_ascii=False)
    builds.send(build, value=value)
    builds.flush()
    [call] = bot.wait()
    assert verified(call, builds.whsec)["data"]["result"]["output"] == "ä" * 1_000_000
