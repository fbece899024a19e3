"""What every benchmark shares: alternating pairs, medians, a table for people and one JSON line for machines.

A benchmark is `tests/bench/NAME/run.py` (started by `./dev bench NAME`). It measures ours against a probe that runs
alternately with it, because machines differ: bars are ratios within one run. It ends with one line

    {"bench": NAME, "metrics": {…}, "bars": {METRIC: {"limit": N, "value": N, "ok": bool}}, "ok": bool}

A run whose probe is itself implausible is invalid ("ok": false with "invalid": reason), never passed.
"""
import json
import statistics
import sys


def percentile(values, fraction):
    """The nearest-rank percentile: percentile([…], 0.99)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(fraction * len(ordered) + 0.5) - 1))]


def alternate(pairs, first, second):
    """Runs first(), second() `pairs` times in turn; returns both lists of results."""
    ours, theirs = [], []
    for number in range(1, pairs + 1):
        ours.append(first())
        theirs.append(second())
        print(f"  pair {number}/{pairs}: {ours[-1]} | {theirs[-1]}", file=sys.stderr, flush=True)
    return ours, theirs


def median_of(results, key):
    return statistics.median(result[key] for result in results)


class Report:
    """Collects metrics and bars, prints them, and gives the exit status."""

    def __init__(self, name):
        self.name = name
        self.metrics = {}
        self.bars = {}
        self.invalid = None

    def metric(self, name, value):
        self.metrics[name] = round(value, 4) if isinstance(value, float) else value

    def bar(self, name, value, at_least=None, at_most=None):
        """One limit: `at_least` or `at_most`."""
        limit = at_least if at_least is not None else at_most
        good = value >= limit if at_least is not None else value <= limit
        self.bars[name] = {"limit": limit, "value": round(value, 4), "ok": bool(good)}

    def require(self, condition, reason):
        """The probe must itself be plausible; otherwise the run is invalid, not passed."""
        if not condition and self.invalid is None:
            self.invalid = reason

    def finish(self):
        """Prints the table and the JSON line; returns the exit status."""
        good = self.invalid is None and all(bar["ok"] for bar in self.bars.values())
        width = max([len(name) for name in [*self.metrics, *self.bars]] + [6])
        for name, value in self.metrics.items():
            print(f"{name:<{width}}  {value}")
        for name, bar in self.bars.items():
            print(f"{name:<{width}}  {bar['value']}  (limit {bar['limit']}) {'ok' if bar['ok'] else 'MISSED'}")
        if self.invalid:
            print(f"invalid: {self.invalid}")
        line = {"bench": self.name, "metrics": self.metrics, "bars": self.bars, "ok": good}
        if self.invalid:
            line["invalid"] = self.invalid
        print(json.dumps(line), flush=True)
        return 0 if good else 1
