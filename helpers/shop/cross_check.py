"""Is a story true and whole? What is on record is counted again, without the story's own reading of causes."""

from collections import Counter, defaultdict
from itertools import pairwise

from . import events, steps, web
from .story import DELIVERED, NEITHER, PARTICIPANTS, text

LOGGED = {
    "received": "delivered",
    "refused": "refused",
    "tx committed": "tx committed",
    "parked": "parked",
    "offset committed": "offset committed",
    "crashed": "kill -9",
}


def cross_check(run, order, story):
    """What is drawn and not on record, on record and not drawn, or drawn out of order: sentences; [] is good."""
    there = Counter([*records(run, order), *logged(run, order), *asked(run, order)])
    drawn = Counter(what for row in story.itertuples() for what in drawn_by(row))
    wrong = [f"on record and not drawn: {words(what)}" for what in (there - drawn).elements()]
    wrong += [f"drawn and not on record: {words(what)}" for what in (drawn - there).elements()]
    return sorted(wrong) or [
        *out_of_order(story),
        *before_its_record(story),
        *otherwise_than_logged(run, order, story),
    ]


def out_of_order(story):
    """Records that are drawn after a later one of their partition."""
    partitions = defaultdict(list)
    for row in story[story.target == "Kafka"].itertuples():
        partition, offset = row.place.split("@")
        partitions[partition].append(int(offset))
    return [
        f"drawn out of order: record {partition}@{after} after @{before}"
        for partition, offsets in partitions.items()
        for before, after in pairwise(offsets)
        if after < before
    ]


def before_its_record(story):
    """What somebody did with a record, or died of, that is drawn before the record."""
    numbers = {row.place: number for number, row in enumerate(story.itertuples()) if row.target == "Kafka"}
    for number, row in enumerate(story.itertuples()):
        if number < numbers.get(row.place, 0):
            what = row.label or row.kind
            yield f"drawn out of order: {row.target} {what} {row.place} before the record"


def otherwise_than_logged(run, order, story):
    """What a service did with a partition's records, or with one event, drawn in another order than that of its log."""
    there, drawn = [*logged(run, order)], [what for row in story.itertuples() for what in drawn_by(row)]
    event = {text(steps.where(line)): line["ce_id"] for line in steps.read(run.folder) if "offset" in line}
    wrong = [*differing(there, drawn, partition), *differing(there, drawn, event.get)]
    return dict.fromkeys(wrong)  # each once


def partition(place):
    """ "order.event[4]" of "order.event[4]@1"; None of a crash before there was a record."""
    return place and place.partition("@")[0]


def differing(there, drawn, part):
    """Where a service's log and the drawing differ first, in each part of what it did: a partition, or an event."""
    drawn = by_part(drawn, part)
    for (who, some), done in by_part(there, part).items():
        for before, after in zip(done, drawn[who, some], strict=True):
            if before != after:
                yield f"drawn out of order: {who} {words(after)}, where its log has {words(before)}"
                break


def by_part(things, part):
    """{(who, part(place)): [(what, place)]} of what a service does. A refusal stands where its delivery is drawn."""
    found = defaultdict(list)
    for what, who, place in (thing for thing in things if thing[0] in LOGGED.values()):
        done = found[who, part(place)]
        if what == "refused":
            done[max(n for n, one in enumerate(done) if one == ("delivered", place))] = (what, place)
        else:
            done.append((what, place))
    return found


def words(what):
    return " ".join(part for part in what if part)


def records(run, order):
    """Every event of the order, asked of the topics."""
    for record in run.read():
        if events.is_of(record, order):
            yield "record", text((record.topic.removeprefix(run.lab.prefix), record.partition, record.offset))


def logged(run, order):
    """Every line of the step logs, by time, without those who read everything and what was no service's business."""
    mine = (line for line in steps.read(run.folder) if line.get("order") == order and line["service"] not in NEITHER)
    lines = sorted(mine, key=lambda line: line["t"])
    skipped = {where(line) for line in lines if line["step"] == "skipped"}
    for line in lines:
        if line["step"] in LOGGED and where(line) not in skipped:
            yield LOGGED[line["step"]], *where(line)


def where(line):
    return PARTICIPANTS[line["service"]], text(steps.where(line))


def asked(run, order):
    """Every request that a server has answered, and the answer."""
    for line in web.read_logs(run.folder):
        if line["order"] == order:
            server = "Order API" if line["server"] == "order-api" else PARTICIPANTS[line["server"]]
            yield "asked", server, f"{line['method']} {line['path']}"
            yield "answered", server, f"{line['status']} {line['result'] or ''}".strip()


def drawn_by(row):
    """What a row of the story claims, as records, logged and asked say it."""
    if row.kind == "call":
        yield "asked", row.target, row.label
    elif row.target == "Kafka":
        yield "record", row.place
    elif row.kind in DELIVERED:
        yield "delivered", row.target, row.place
        if row.kind == "refused":
            yield "refused", row.target, row.place
    elif row.kind == "reply":
        yield "answered", row.source, row.label
    else:
        yield row.label or "offset committed", row.target, row.place if isinstance(row.place, str) else None
