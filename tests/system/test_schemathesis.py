"""schemathesis reads the published OpenAPI document and looks for where the gateway is not what it says: what it allows and forbids, field by
field, what answers look like, and what comes of following the links from answer to answer."""

import json
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest
from kiln_testing import contract, places
from kiln_testing.agents import spec
from kiln_testing.kiln import FAST

HERE = pathlib.Path(__file__).parent
# At length with random numbers of its own each time; in every test run the same ones, so that it fails for what was changed and not by
# luck. What a seed finds is a fault: no seed has one.
LONG = "KILN_TEST_LONG" in os.environ
EXAMPLES = 150 if LONG else 6
SCENARIOS = 40 if LONG else 4
# Different links that led to what is there, at the least: which ones are followed is chosen at random (test_links.py follows all).
ARRIVED = 20 if LONG else 4
# What schemathesis.toml leaves out.
ENDLESS = ("streamEvents", "streamProjectEvents")
SEED = random.randrange(1 << 32) if LONG else 1


def run(kiln, folder, *options):
    """schemathesis' exit code and all that it wrote."""
    script = pathlib.Path(sys.executable).with_name("schemathesis")
    environment = os.environ | {
        "KILN_TOKEN": kiln.api.token,
        "KILN_TEST_TOKEN_ID": kiln.api.get("/me", expect=200).json()["id"],
        "KILN_TEST_COMMAND": kiln.agents.write(FAST),
        "PYTHONPATH": str(places.ROOT / "tests" / "support"),
        "NO_PROXY": "*",
    }
    command = [script, "--config-file", HERE / "schemathesis.toml", "run", f"{kiln.system.url}/openapi.json", "--no-color", *options]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def followed(calls):
    """{link of the document: statuses of the answers to the requests that it led to}."""
    found = {}
    for line in calls.read_text(encoding="utf-8").splitlines():
        recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
        for name, node in recorder.get("cases", {}).items():
            answer = recorder.get("interactions", {}).get(name, {}).get("response")
            if node["is_transition_applied"] and answer:
                found.setdefault(node["transition"]["id"], []).append(answer["status_code"])
    return found


@pytest.fixture(name="demo")
def demo_fixture(own_kiln):
    """A system with the project of the contract's examples, with an agent: their builds are accepted, run and end."""
    if own_kiln.api.get("/projects/demo").status_code == 404:
        own_kiln.project(name="demo", agent=spec(own_kiln.agents.write(FAST))["agent"])
    return own_kiln


@pytest.mark.timeout(7200 if LONG else 600)
def test_gateway_and_contract_agree_wherever_schemathesis_looks(demo, tmp_path):
    code, output = run(demo, tmp_path, "--phases", "examples,coverage,fuzzing", "--seed", SEED, "--max-examples", EXAMPLES)
    print(output)
    assert code == 0, f"schemathesis has findings (seed {SEED}); they are above"
    selected, total = map(int, re.search(r"(\d+) selected / (\d+) total", output).groups())
    assert total >= len(contract.operations()) - 1  # it leaves out the document that it reads
    assert selected == total - len(ENDLESS)
    demo.api.get("/me", expect=200)


@pytest.mark.timeout(7200 if LONG else 600)
def test_what_links_lead_to_is_as_the_contract_says(demo, tmp_path):
    calls = tmp_path / "calls.ndjson"
    report = ("--report", "ndjson", "--report-ndjson-path", calls)
    code, output = run(demo, tmp_path, "--phases", "stateful", "--seed", SEED, "--max-examples", SCENARIOS, *report)
    print(output)
    assert code == 0, f"schemathesis has findings (seed {SEED}); they are above"
    links = followed(calls)
    print(json.dumps(links, indent=1))
    arrived = [link for link, statuses in links.items() if any(status < 300 for status in statuses)]
    assert len(arrived) >= ARRIVED, "too few links were followed to what is there"
    demo.api.get("/me", expect=200)
