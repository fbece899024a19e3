"""What dispatch measures of a running system: from a POST's first byte to the worker's receipt of the assignment."""

import rig as rigs
from bench import percentile
from kiln_testing.waiting import wait_for

WARM_UP_S = 2  # the first of each run are not counted, in ours and in the probe alike: new clients, sleeping cores


def summary(latencies_us):
    return {"median_ms": percentile(latencies_us, 0.5) / 1000, "p99_ms": percentile(latencies_us, 0.99) / 1000}


def ours(rig, project, body, receipts, rate, count, refused):
    record = rig.scratch / "posted.txt"
    warm_up = WARM_UP_S * rate
    total = count + warm_up
    answer = rig.load(project, body, total, connections=16, rate=rate, record=record).wait(60 + total / rate)
    refused.append(total - answer["accepted"])
    posted = {build: values for build, values in rigs.read_record(record).items() if values[2] == "202"}
    received = wait_for(lambda: posted.keys() <= (found := rigs.read_record(receipts)).keys() and found, "the last assignment", 20, poll=0.2)
    order = sorted(posted, key=lambda build: int(posted[build][0]))[warm_up:]
    assert order, f"{answer['accepted']} of {total} builds were accepted"
    return summary([int(received[build][1]) - int(posted[build][0]) for build in order])
