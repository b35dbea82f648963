"""The story of one order, from what is on record: the topics with their headers, the step logs, the HTTP logs.

Clocks do not order it. A record comes before its delivery, a delivery before what the service did with it, and that
before the records that it caused (causationid). In one partition the offsets are the order. What a service did with a
partition's records, and what its relay published, is in the order of its log. Time decides only between things that do
not depend on each other; or, without the clock, how long the chain of causes before each of them is: then the same
order gives the same story.
"""

import heapq
import math
from collections import defaultdict
from itertools import pairwise

from ..lab import LabError
from . import events, retry, steps, web

COLUMNS = ["kind", "source", "target", "label", "place", "t"]
PARTICIPANTS = {
    "order": "Order API",
    "coupon": "Coupon",
    "stock": "Stock",
    "balance": "Balance",
    "payment": "Payment",
    "provider": "Provider",
    "shipping": "Shipping",
    "carrier": "Carrier",
    "data-platform": "Sender",  # to the data platform
    "data-platform-server": "Data platform",
    "projection": "Projection",
    "sales-rank": "Sales rank",
}
POINTS = ("note", "commit", "crash")
KINDS = {"tx committed": "note", "parked": "note", "offset committed": "commit", "crashed": "crash"}
DELIVERED = ("deliver", "redeliver", "refused")
WRITES = ("note", "crash")  # what a record comes after: the transaction that wrote it, and a crash before it went out
MEND = "is the order still on its way? run.settle(30), and once more. In a quiet shop, read the logs in run.folder"
NEITHER = ("projection", "sales-rank")  # read everything; their deliveries are left out


def story(run, order, clock=True):
    """What happened to an order, as a DataFrame in causal order, a row for each thing.

    Columns: kind (call, record, deliver, reply, redeliver, refused, commit, crash, note), source, target (who),
    label, place ("balance.command[5]@22"), t (seconds since the first thing; of a record, when it was known to be
    there; empty with clock=False). A refusal stands where its delivery is. Raises LabError for an unknown order, and
    when something is on record whose cause is not.
    """
    import pandas as pd  # here, because the services do not need it

    told = Story(run, order)
    rows = [told.rows[key] for key in told.in_causal_order(clock)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["t"] = (frame["t"] - frame["t"].min()).round(4) if clock else math.nan
    return frame


class Story:
    """Rows by a key of their own, and what comes before what."""

    def __init__(self, run, order):
        self.order, self.rows, self.before, self.no_cause = order, {}, defaultdict(set), set()
        self.prefix = run.lab.prefix
        records = [record for record in run.read() if events.is_of(record, order)]
        if not records:
            raise LabError(f"There is no record of an order {order}.", "", "run.order(...) answers with the order's id")
        self.lines = [line for line in steps.read(run.folder) if line.get("order") == order]
        self.requests = [line for line in web.read_logs(run.folder) if line["order"] == order]
        self.published = {steps.where(line): line["t"] for line in self.lines if line["step"] == "published"}
        self.sends = defaultdict(list)  # when a relay began to send an event to a topic
        for line in self.lines:
            if line["step"] == "sending":
                self.sends[line["topic"], line["ce_id"]].append(line["t"])
        self.times = self.times_of([self.place(record)[1] for record in records])
        self.labels, self.numbers = {}, {}
        self.places = defaultdict(list)  # by ce_id, in its own topic
        for record in records:
            event, (topic, place) = events.from_record(record), self.place(record)
            if topic == events.topic_of(event):
                self.places[event.get_id()].append(place)
        for record in records:
            self.add_record(record)
        self.after_the_one_before()
        self.add_requests()
        self.add_services()
        self.as_published()
        for record in records:
            self.after_its_cause(record)
        self.by_hand_after_all()

    def add(self, key, kind, source, target, label, place, t, after=None):
        """A row, and what it comes after."""
        self.rows[key] = (kind, source, target, label, place, t)
        if after:
            self.before[key].add(after)
        return key

    def times_of(self, places):
        """When each record was there: acknowledged or delivered, or one behind it in its partition."""
        times = dict(self.published)
        for line in self.lines:
            if line["step"] == "received":
                times[steps.where(line)] = min(line["t"], times.get(steps.where(line), math.inf))
        for before, place in reversed(list(pairwise(sorted(places)))):
            if before[:-1] == place[:-1] and place in times:
                times[before] = min(times[place], times.get(before, math.inf))
        return times

    def add_record(self, record):
        """source -> Kafka."""
        event = events.from_record(record)
        topic, place = self.place(record)
        kind = "reply" if topic == "shop.saga.reply" else "record"
        self.labels[event.get_id()] = label(event)
        name = self.writer(record, event)
        source = "Operator" if self.sent_back(event, place) else relay_of(name)
        t = self.times.get(place, math.nan)
        self.numbers["record", *place] = int(event.get_id().rpartition("-")[2])
        self.add(("record", *place), kind, source, "Kafka", label(event), text(place), t)

    def after_the_one_before(self):
        """Each record comes after the one before it in its partition."""
        for before, key in pairwise(sorted(self.rows)):
            if before[:-1] == key[:-1]:
                self.before[key].add(before)

    def as_published(self):
        """What one relay has published, and where it died: each after the one before, which is no cause of it."""
        logs = defaultdict(list)
        for key, row in self.rows.items():
            if key[0] == "record" and key[1:] in self.published:
                logs[row[1]].append((self.published[key[1:]], self.numbers[key], key))
        for number, line in enumerate(self.lines):
            if line.get("point") == "after_ack":
                logs[relay_of(line["service"])].append((line["t"], math.inf, ("step", number)))
        for before, key in neighbours(logs):
            self.before[key].add(before)
            self.no_cause.add((before, key))

    def writer(self, record, event):
        """The service whose outbox it comes from."""
        return retry.header(record, "group", event.get_source().rpartition("/")[2])

    def sent_back(self, event, place):
        """Whether somebody has sent it there once more: it is there more often than its relay has sent it."""
        places = self.places[event.get_id()]
        if place in self.published or place not in places[1:] or event.get_source().endswith(NEITHER):
            return False
        return len(places) > len(self.sends[place[0], event.get_id()])

    def by_hand_after_all(self):
        """What somebody has sent comes after all that was on record before it, which is no cause of it."""
        for key, (_, source, _, _, _, t) in self.rows.items():
            if source == "Operator":
                earlier = {other for other, row in self.rows.items() if row[5] < t} - self.before[key]
                self.before[key] |= earlier
                self.no_cause |= {(other, key) for other in earlier}

    def place(self, record):
        topic = record.topic.removeprefix(self.prefix)
        return topic, (topic, record.partition, record.offset)

    def add_requests(self):
        """Calls, and their answers. Who calls: the service that had the causing event, or the customer."""
        self.called = defaultdict(list)
        for number, request in enumerate(self.requests):
            server = "Order API" if request["server"] == "order-api" else PARTICIPANTS[request["server"]]
            caller = "Customer" if server == "Order API" else CALLERS[request["server"]]
            source = PARTICIPANTS.get(caller, caller)
            asked = f"{request['method']} {request['path']}"
            call = self.add(("call", number), "call", source, server, asked, None, request["t"])
            answer = f"{request['status']} {request['result'] or ''}".strip()
            reply = self.add(("answer", number), "reply", server, source, answer, None, request["ended"], call)
            self.called[caller, request["cause"]] += [(request["t"], call), (request["ended"], reply)]
            if server == "Order API" and request["method"] == "POST":
                self.called["request", f"request-{request['key']}"].append((request["t"], call))

    def add_services(self):
        """Deliveries, and what each service did with them, in the order of its log."""
        chains = defaultdict(list)
        refused = {(s["service"], s["t"], *steps.where(s)) for s in self.lines if s["step"] == "refused"}
        skipped = {(s["service"], *steps.where(s)) for s in self.lines if s["step"] == "skipped"}
        for number, line in enumerate(self.lines):
            if line["step"] in ("sending", "published", "failed") or line["service"] in NEITHER:
                continue
            if (line["service"], *steps.where(line)) in skipped:
                continue
            chains[line["service"], line["ce_id"]].append((line["t"], number))
        for (service, ce_id), items in chains.items():
            self.add_chain(service, ce_id, sorted(items), refused)
        self.as_logged()

    def as_logged(self):
        """What a service did with one partition's records: each thing after the one before, across events too."""
        logs = defaultdict(list)
        for key in self.rows:
            if key[0] == "step":
                line = self.lines[key[1]]
                logs[line["service"], line["topic"], line["partition"]].append((line["t"], key))
        for before, key in neighbours(logs):
            self.before[key].add(before)

    def add_chain(self, service, ce_id, items, refused):
        """One event at one service: each thing after the one before."""
        name, seen, last, done = PARTICIPANTS[service], set(), None, []
        for t, number in items:
            line = self.lines[number]
            where, key = steps.where(line), ("step", number)
            if line["step"] == "received":
                if ce_id not in self.labels:
                    why = "it is deleted, by hand or by its topic's retention, or came after the topics were read"
                    raise LabError(f"{text(where)} ({ce_id}) is not in its topic.", why, MEND)
                kind = self.delivery(service, where, t, seen, refused)
                again = "" if kind == "deliver" else "again: "
                self.add(key, kind, "Kafka", name, again + self.labels[ce_id], text(where), t, last)
                self.before[key].add(("record", *where))
                seen.add(where)
            elif line["step"] in KINDS:
                note = {"tx committed": "tx committed", "parked": "parked", "crashed": "kill -9"}.get(line["step"], "")
                self.add(key, KINDS[line["step"]], name, name, note, text(where), t, last)
                if line.get("point") == "after_ack":  # of what its relay has written
                    self.before[key].add(("record", *where))
            else:
                continue
            done.append((t, key))
            last = key
        self.weave(service, ce_id, done)

    def delivery(self, service, where, t, seen, refused):
        """How a delivery is drawn: the first one, one that came again, or one that the inbox refused."""
        later = [r for r in refused if r[0] == service and r[2:] == where and r[1] >= t]
        mine = [s for s in self.lines if (s["service"], s["step"]) == (service, "received") and steps.where(s) == where]
        nexts = [s["t"] for s in mine if s["t"] > t]
        if later and min(r[1] for r in later) < min(nexts, default=math.inf):
            return "refused"
        return "redeliver" if where in seen else "deliver"

    def weave(self, service, ce_id, done):
        """The HTTP calls of this event stand between the things that the service logged."""
        for t, key in self.called.get((service, ce_id), []):
            earlier = [k for at, k in done if at <= t]
            later = [k for at, k in done if at > t]
            if not earlier:
                raise LabError(f"{service} made a call for {ce_id}, which it has not received.", "", MEND)
            self.before[key].add(earlier[-1])
            if later:
                self.before[later[0]].add(key)
        self.called[service, "done", ce_id] = done

    def after_its_cause(self, record):
        """A record comes after what its writer did with the event that caused it."""
        event = events.from_record(record)
        _, place = self.place(record)
        key, writer = ("record", *place), self.writer(record, event)
        copied = retry.header(record, "group", "")
        cause = event.get_id() if copied else event.get_extension("causationid")
        if self.sent_back(event, place):
            found = [("record", *self.places[event.get_id()][0])]
        elif writer in NEITHER:  # the first sale is of the first record, and so on
            number = self.places[event.get_id()].index(place)
            writer, found = None, [("record", *where) for where in self.places[cause][: number + 1]]
        elif cause.startswith("request-"):
            found = [k for _, k in self.called.get(("request", cause), [])]
        else:
            done = self.called.get((writer, "done", cause), [])
            last = self.last_moment(event.get_id(), place, done)
            found = [k for at, k in done if self.rows[k][0] in WRITES and at <= last] or [k for _, k in done[:1]]
            if cause.startswith(f"{writer}-"):  # its own event, the first of two that one request has caused
                found = [("record", *where) for where in self.places[cause][:1]]
            found = found[-1:]
        if not found:
            raise LabError(
                f"{text(place)} ({event.get_id()}) has no cause on record.",
                f"its causationid is {cause!r}, and no log says that {writer or 'a relay'} had that",
                MEND,
            )
        self.before[key].add(found[-1])

    def last_moment(self, ce_id, place, done):
        """Until when its service can have written a record: it was not there yet, nor its cause delivered once more."""
        there = self.times.get(place, math.inf)
        sent = max((t for t in self.sends[place[0], ce_id] if t <= there), default=there)
        again = [at for at, key in done if self.rows[key][0] in DELIVERED and at > sent]
        return min(again, default=there)

    def in_causal_order(self, clock=True):
        """The keys of all rows, causes first, and otherwise by time, or by the length of the chain before them."""
        after, waits, length = defaultdict(list), {}, dict.fromkeys(self.rows, 0)
        for key in self.rows:
            missing = [cause for cause in self.before[key] if cause not in self.rows]
            if missing:
                kind, _, target, label, place, _ = self.rows[key]
                what = " ".join(filter(None, [kind, label, place]))
                raise LabError(f"{target}: {what} has no cause on record.", f"{missing[0]} is missing", MEND)
            waits[key] = len(self.before[key])
            for cause in self.before[key]:
                after[cause].append(key)
        rank = self.time_of if clock else length.get
        ready = [(rank(key), self.tie(key), key) for key in self.rows if not waits[key]]
        heapq.heapify(ready)
        while ready:
            now, _, key = heapq.heappop(ready)
            yield key
            for effect in after[key]:
                waits[effect] -= 1
                length[effect] = max(length[effect], length[key] + ((key, effect) not in self.no_cause))
                if not waits[effect]:
                    heapq.heappush(ready, (max(now, rank(effect)), self.tie(effect), effect))

    def tie(self, key):
        """Between two rows of the same rank: points first, records as they left the outbox, then by what they are."""
        kind, *rest, _ = self.rows[key]
        return kind not in POINTS, self.numbers.get(key, 0), str(rest), str(key)

    def time_of(self, key):
        t = self.rows[key][5]
        return -math.inf if math.isnan(t) else t


CALLERS = {"provider": "payment", "carrier": "shipping", "data-platform-server": "data-platform"}


def relay_of(service):
    """Who publishes what the service has written; the relay of orders has a lifeline of its own."""
    return "Relay" if service == "order" else PARTICIPANTS[service]


def neighbours(logs):
    """Each key with the one after it. The logs are lists of tuples, which end in a key and are in order by the rest."""
    return [(one[-1], other[-1]) for log in logs.values() for one, other in pairwise(sorted(log))]


def text(place):
    """("shop.balance.command", 5, 22) as "balance.command[5]@22"; None for what has no record."""
    return place[0] and "{}[{}]@{}".format(*place).removeprefix("shop.")


def label(event):
    """A few words: "deduct 3,000"."""
    data, verb = event.get_data(), events.name_of(event).partition(".")[2]
    if "reason" in data:
        return f"{verb}: {data['reason']}"
    if verb == "balance":
        return f"balance is {data['balance']:,}"
    if verb in ("reserve", "sold"):
        return f"{verb} {data['quantity']} × {data['productId']}"
    if verb == "hold":
        return f"hold {data['couponId']}"
    return f"{verb} {data['amount']:,}" if "amount" in data else verb
