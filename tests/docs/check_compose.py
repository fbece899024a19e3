#!/usr/bin/env python3
"""compose.yaml gives each service longer to stop than it may take to drain."""

import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# They drain; the other images end at once.
SERVICES = ("gateway", "build-service", "notifier", "executor")
COMPOSE_DEFAULT_S = 10


def drain_s():
    """What the services take when nobody says otherwise."""
    text = (ROOT / "common" / "base" / "config.c").read_text(encoding="utf-8")
    return int(re.search(r'"KILN_DRAIN_TIMEOUT_MS".*?\.fallback = "([0-9]+)"', text, re.DOTALL)[1]) / 1000


def seconds(duration):
    return int(re.fullmatch(r"([0-9]+)s", duration)[1])


def main():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    wrong = []
    for name in SERVICES:
        grace_s = seconds(services[name].get("stop_grace_period", f"{COMPOSE_DEFAULT_S}s"))
        if grace_s <= drain_s():
            wrong.append(f"{name} is killed after {grace_s} s, and may take {drain_s():g} s to drain")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
