#!/usr/bin/env python3
"""compose.yaml gives each service longer to stop than it may take to drain, and each setting that the service's --help (of the programs in the folder that
is the argument) has: a value, or without one what the operator's environment or .env says."""

import pathlib
import re
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The other images end at once.
DRAINING = ("gateway", "build-service", "notifier", "executor")
COMPOSE_DEFAULT_S = 10


def drain_s():
    """What the services take when nobody says otherwise."""
    text = (ROOT / "common" / "base" / "config.c").read_text(encoding="utf-8")
    return int(re.search(r'"KILN_DRAIN_TIMEOUT_MS".*?\.fallback = "([0-9]+)"', text, re.DOTALL)[1]) / 1000


def seconds(duration):
    return int(re.fullmatch(r"([0-9]+)s", duration)[1])


def short_of_time(services):
    for name in DRAINING:
        grace_s = seconds(services[name].get("stop_grace_period", f"{COMPOSE_DEFAULT_S}s"))
        if grace_s <= drain_s():
            yield f"{name} is killed after {grace_s} s, and may take {drain_s():g} s to drain"


def settings_of(program):
    text = subprocess.run([program, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout
    return set(re.findall(r"^  (KILN_[A-Z0-9_]+)$", text, re.MULTILINE))


def set_by_images():
    """A setting without a value that nobody sets is taken out of what the image has."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return {name for line in re.findall(r"^ENV (.*)$", text, re.MULTILINE) for name in re.findall(r"(KILN_[A-Z0-9_]+)=", line)}


def badly_set(services, programs):
    images = set_by_images()
    assert {"KILN_OPS_PORT", "KILN_STATE_DIR"} <= images
    for name in (*DRAINING, "migrate"):
        given, known = services[name]["environment"], settings_of(programs / f"kiln-{name}")
        assert {"KILN_KAFKA_BROKERS", "KILN_DRAIN_TIMEOUT_MS"} <= known, known
        yield from (f"{name} is not given {setting}" for setting in sorted(known - given.keys()))
        yield from (f"{name} knows no {setting}" for setting in sorted(given.keys() - known))
        yield from (f"{name} loses what its image has as {setting}" for setting in sorted(images & given.keys()) if given[setting] is None)


def main():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    wrong = [*short_of_time(services), *badly_set(services, pathlib.Path(sys.argv[1]))]
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
