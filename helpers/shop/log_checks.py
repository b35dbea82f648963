"""What the logs and the topics say of every single record, as Jepsen's Kafka workload checks a queue: L1 to L4.

https://github.com/jepsen-io/kafka

A send is "ok" when its acknowledgement is in the step log, "fail" when it was refused for good, and "unknown" when the
process died, or the time was up, before it knew. An unknown one may be in the topic or not.
"""

from collections import Counter, defaultdict

from . import steps
from .invariants import Scan, as_table

MOVES = ("assigned", "joined", "rejoined", "started")  # events of a member after which it may read a record again


def log_checks(run):
    """Checks L1 to L4 on a quiet shop. Returns a DataFrame, one row each: check, holds, violations, proof."""
    seen, lines = Scan(run), list(steps.read(run.folder))
    return as_table("check", {name: list(check(run, seen, lines)) for name, check in CHECKS.items()})


def sends(run):
    """Every send of a relay as a DataFrame: service, ce_id, topic, outcome (ok, fail or unknown)."""
    import pandas as pd

    found = [(*send, one) for *send, outcomes in _by_send(steps.read(run.folder)) for one in outcomes]
    return pd.DataFrame(found, columns=["service", "ce_id", "topic", "outcome"])


def _by_send(lines):
    """(service, ce_id, topic, outcomes): what has become of each of the sends."""
    found = defaultdict(list)
    for line in lines:
        key = (line["service"], line["ce_id"], line["topic"])
        if line["step"] == "sending":
            found[key].append("unknown")
        elif found[key] and (line["step"] == "published" or (line["step"] == "failed" and line["final"])):
            found[key][-1] = {"published": "ok", "failed": "fail"}[line["step"]]
    for (service, ce_id, topic), outcomes in found.items():
        yield service, ce_id, topic, outcomes


def lost_writes(run, seen, lines):
    """What was acknowledged is where the acknowledgement says."""
    there = {(topic, *place): ce_id for (topic, ce_id), places in seen.places.items() for place in places}
    for line in lines:
        place = (line["topic"], line.get("partition"), line.get("offset"))
        if line["step"] == "published" and line["ce_id"] != there.get(place) and not raw(line):
            yield f"{line['ce_id']} was acknowledged at {words(place)}, where {there.get(place, 'nothing')} is"


def duplicates(run, seen, lines):
    """No event is in a topic more often than it was sent; no sale more often than its cause: that is exactly once."""
    sent = Counter((topic, ce_id) for _, ce_id, topic, outcomes in _by_send(lines) for o in outcomes if o != "fail")
    for (topic, ce_id), places in seen.places.items():
        most = sent[topic, ce_id]
        if topic == "shop.product.sold":
            most = len(seen.places["shop.order.event", ce_id.removeprefix("sales-rank-")])
        if len(places) > max(most, 1):
            yield f"{ce_id} was sent {most} times, and is at {seen.place(topic, ce_id)}"


def aborted_reads(run, seen, lines):
    """Nobody has received a record that is not there for one who reads what is committed."""
    there = {(topic, *place) for (topic, _), places in seen.places.items() for place in places}
    for line in lines:
        place = (line["topic"], line.get("partition"), line.get("offset"))
        if line["step"] == "received" and place not in there:
            yield f"{line['service']} received {words(place)} ({line['ce_id']}), which is not there"


def backward_polls(run, seen, lines):
    """A member reads each partition forwards; back only after its start, or when it got the partition anew."""
    moves = defaultdict(list)
    for process in run.team.processes:
        moves[process.name] += [event["t"] for event in process.events if event["event"] in MOVES]
    last = {}
    for line in lines:
        if line["step"] != "received":
            continue
        place = (line["member"], line["topic"], line["partition"])
        offset, t = last.get(place, (-1, 0))
        if line["offset"] <= offset and not any(t <= moved <= line["t"] for moved in moves[line["member"]]):
            yield f"{line['member']} received {words((*place[1:], line['offset']))} after offset {offset}"
        last[place] = (line["offset"], line["t"])


def raw(line):
    """Whether it is a record that is no event, on its way to a DLQ: its id is its row's, and not in its headers."""
    return (line["ce_id"] or "").startswith("raw-")


def words(place):
    return "{}[{}]@{}".format(*place)


CHECKS = {
    "L1 no acknowledged record is lost": lost_writes,
    "L2 no record is there more often than it was sent": duplicates,
    "L3 nobody has read what was aborted": aborted_reads,
    "L4 no member has read backwards": backward_polls,
}
