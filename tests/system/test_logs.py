"""A build's log is whole, says where it is not, and shows no secrets."""

import base64
import json

from kiln_testing.streams import EventStream


def test_a_token_that_an_agent_prints_is_seen_nowhere(kiln):
    """As itself, cut in two, in a URL and in base64: in the log in all its forms, in the result, on Kafka."""
    project, _ = kiln.seeded()
    token = kiln.system.env["KILN_GIT_TOKEN"]
    encoded = base64.b64encode(f"kiln:{token}".encode()).decode()
    script = f"""
    echo 'the token is {token}'
    printf '{token[:5]}'; sleep 0.1; echo '{token[5:]}'
    echo 'https://kiln:{token}@example.org/ Authorization: Basic {encoded}' >&2
    """
    task = kiln.run(project, script, auto_commit=True, auto_push=True)
    with EventStream(kiln.api, f"/builds/{task}/logs") as stream:
        events = stream.wait_end()
    build = kiln.wait_end(task)
    assert build["status"] == "completed", build
    lines = kiln.log(task)
    texts = [line["text"] for line in lines if line["stream"] in ("stdout", "stderr")]
    assert {"the token is [masked]", "[masked]"} < set(texts)
    text = kiln.api.plain("GET", f"/builds/{task}/logs", headers={"Accept": "text/plain"}).text
    assert text.count("[masked]") == 4
    records = [bytes(record.value) for record in kiln.tap.of(task, topic="kiln.build.logs") + kiln.tap.of(task, topic="kiln.build.results")]
    shown = [json.dumps(lines), json.dumps(build), text, *(event.data for event in events), *(value.decode() for value in records)]
    assert records and not [one for one in shown if token in one or encoded[8:-4] in one]
