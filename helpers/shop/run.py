"""The whole shop as processes: starting it, sending orders, waiting until it is quiet, ending it."""

import contextlib
import random
import re
import shutil
import sqlite3
import time
from concurrent import futures
from dataclasses import fields
from functools import partial

from kafka import TopicPartition
from kafka.admin import OffsetSpec

from .. import actors
from ..lab import LabError, wait_until
from . import (
    balance,
    coupon,
    data_platform,
    events,
    faults,
    order,
    payment,
    projection,
    provider,
    sales_rank,
    service,
    shipping,
    stock,
    store,
    third_party,
    topics,
)
from .settings import Settings
from .third_party import RULES
from .web import Client, NoAnswer


def _server(module):
    """The server of somebody else that a service calls."""
    return partial(third_party.serve, name=module.SERVER, tables=module.ITS_TABLES, effect=module.effect)


SERVERS = {  # of somebody else
    "provider": partial(third_party.serve, name="provider", tables=provider.TABLES, effect=provider.effect),
    "carrier": _server(shipping),
    "data-platform-server": _server(data_platform),
}
SERVICES = {
    "order": order.serve,
    "coupon": partial(service.serve, module=coupon),
    "stock": partial(service.serve, module=stock),
    "balance": partial(service.serve, module=balance),
    "payment": partial(service.serve, module=payment),
    "shipping": partial(service.serve, module=shipping),
    "data-platform": partial(service.serve, module=data_platform),
    "projection": partial(service.serve, module=projection),
    "sales-rank": sales_rank.serve,
}
WITH_OUTBOX = ["order", "coupon", "stock", "balance", "payment", "shipping", "data-platform", "projection"]
OPEN = ("RUNNING", "CANCELLING")
CLIENTS = 8  # connections that place orders at the same time
INSIST = 60  # seconds for which a customer asks again, when there is no answer
GONE = 20  # seconds until a process that is to be killed has to be gone
NO_CRASH = 4  # the same, where no crash is to come
STUCK = 10  # seconds after which a shop without one of its services will not get quiet by itself
READY = 90  # seconds until a process has to be ready; one that ends instead is noticed at once


def start(lab, members=(), **settings):
    """Starts the whole shop, on empty topics and databases, and returns it as a Run; one that ran before is killed.

    members: more processes of a service, ["balance-2", "balance-3"]. settings: see settings.py. Raises LabError when a
    process does not come up, for a name that does not exist, and for a crash that cannot happen.
    """
    _check_names("settings", settings, [field.name for field in fields(Settings)])
    _check_kinds(settings)
    _check_names("members", members, SERVICES, _service_of)
    _check_names("without_key", settings.get("without_key", ()), [topic.name for topic in topics.TOPICS])
    _check_names("retry_topics", settings.get("retry_topics", ()), topics.GROUPS)
    folder = actors.folder()
    chosen = Settings(folder, lab.prefix, **settings)
    for wanted in faults.crashes(chosen):
        _check_crash(wanted)

    def shop(me):
        (SERVERS | SERVICES)[_service_of(me.name)](me, settings=chosen)

    team = actors.start(lab, shop, members=[])  # kills the one before, which would write into the new topics
    topics.create(lab, topics.with_retries(chosen.retry_topics))
    for group in topics.GROUPS:
        lab.group(group)
    team.add(*SERVERS, *SERVICES, *members)
    lab.at_close.append(lambda: shutil.rmtree(folder, ignore_errors=True))
    _wait_until_ready(team)
    return Run(lab, team, chosen)


def _service_of(member):
    """ "balance-2" is a member of "balance"."""
    return re.sub(r"-\d+$", "", member)


def _check_names(what, names, known, name_of=str):
    """Raises LabError for a name that does not exist: nothing would happen, and that would look like a result."""
    if isinstance(names, str):
        raise LabError(f"{what} is {names!r}, one text.", "", f"shop.start(lab, {what}=({names!r},)), a tuple")
    for name in map(name_of, names):
        if name not in known:
            raise LabError(f"{what}: there is no {name!r}.", f"there are {', '.join(known)}", "take one of these")


def _check_kinds(settings):
    """Raises LabError for a switch that is neither True nor False, the text "False" say, and a number that is none."""
    for field in fields(Settings):
        value = settings.get(field.name, field.default)
        if field.type is bool and not isinstance(value, bool):
            raise LabError(f"{field.name} is {value!r}.", "it is a switch", f"{field.name}=True, or {field.name}=False")
        if field.type in (int, float) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise LabError(f"{field.name} is {value!r}.", "it is a number", f"{field.name}={field.default}")


def _check_crash(wanted):
    """Raises LabError for a crash that cannot happen: nobody would ever be killed."""
    if not isinstance(wanted, dict):
        raise LabError(f"crash is {wanted!r}.", "", 'crash={"service": "balance", "point": "after_db_commit"}')
    _check_names("crash", wanted, ("service", "point", "type", "order"))
    if wanted.get("service") == "relay":
        raise LabError("crash: relay is no service.", "it is a thread of each service", "name the service")
    known = {"service": SERVICES, "point": faults.POINTS} | ({"type": events.TYPES} if wanted.get("type") else {})
    for what, names in known.items():
        if wanted.get(what) not in names:
            why = f"the {what} is one of {', '.join(names)}"
            raise LabError(f"crash: there is no {what} {wanted.get(what)!r}.", why, "shop.start(lab, crash=...)")
    if not _can_happen(wanted["service"], wanted["point"], wanted.get("type")):
        why = "this service never comes to this point with such an event; after_ack is of what its relay has written"
        raise LabError(f"crash: {wanted} cannot happen.", why, "see helpers/shop/faults.py, and topics.table()")


def _can_happen(service, point, type):
    """Whether a process of the service comes to this point, with an event of this type if one is given."""
    if point == "before_answer":
        return service == "order" and not type  # there is no event yet
    if point == "after_ack" and service == "sales-rank":
        return False
    if not type or _writes(service, type):
        return True
    return _reads(service, type) and (point != "after_ack" or service in topics.RETRYING)  # the relay writes copies


def _reads(service, type):
    group = order.GROUP if service == order.NAME else service
    return group in topics.declared(events.TYPES[type][0]).readers


def _writes(service, type):
    writers = topics.declared(events.TYPES[type][0]).writes
    return type.startswith(f"{service}.") if writers == "the relay of each service" else service in writers


def _wait_until_ready(team):
    """Until every process is ready; raises LabError, and ends the others, when one of them ends instead."""
    wait_until(lambda: len(team.running()) < len(team.processes) or all(map(_ready, team.processes)), "the shop", READY)
    ended = [process.state() for process in team.processes if process.end]
    if ended:
        team.kill()
        raise LabError("The shop cannot start.", "; ".join(ended), "")


def _ready(process):
    """Whether a server can be asked, or a service is a member of its group."""
    return any(event["event"] in ("ready", "joined") for event in process.events)


class Run:
    """A shop that runs. team: its processes (Actors); folder: its databases and logs; settings."""

    def __init__(self, lab, team, settings):
        self.lab, self.team, self.settings, self.folder = lab, team, settings, settings.folder
        self.names = {process.name for process in team.processes}
        self.topics = topics.with_retries(settings.retry_topics)
        self.api = Client(self.folder, "order-api", timeout=20)
        self.numbers = 0
        self.topic_id = self._topic_id()

    def charge(self, user, amount, key=None):
        """POST /charges. Returns (status, answer)."""
        return self._post("/charges", {"userId": user, "amount": amount}, key)

    def claim(self, user, coupon, key=None):
        """POST /coupons: first come, first served. Returns (status, answer): (202, {"claimId": "claim-key-1"})."""
        return self._post("/coupons", {"userId": user, "couponId": coupon}, key)

    def claimed(self, claim):
        """GET /coupons/ID. Returns (status, answer), and in the answer the claim's status: OPEN, ISSUED or REFUSED."""
        with self._answered("order"):
            return self.api.ask("GET", f"/coupons/{claim}")

    def order(self, user, product, quantity=1, coupon=None, key=None):
        """POST /orders. Returns (status, answer): (202, {"orderId": "o-0001", "amount": 3000}) if it was accepted."""
        body = {"userId": user, "productId": product, "quantity": quantity}
        return self._post("/orders", body | ({"couponId": coupon} if coupon else {}), key)

    def _post(self, path, body, key):
        self.numbers += 1
        key = key or f"key-{self.numbers}"
        with self._answered("order", f" with key={key!r}, for it may be done already"):
            return self.api.ask("POST", path, body, **{"Idempotency-Key": key})

    @contextlib.contextmanager
    def _answered(self, member, how=""):
        """Raises LabError when this member, or nobody of the shop, answers; how: to ask once more."""
        try:
            yield
        except NoAnswer as silence:
            self.check_running()
            why = "it has ended, or is too slow"
            raise LabError(f"{silence}.", why, f"run.restart({member!r}), and the same once more{how}") from None

    def check_running(self):
        """Raises LabError when nobody of the shop runs."""
        if not self.running():
            raise LabError(
                "The processes of this shop have ended.",
                "it was stopped, another shop was started, or a cell was interrupted",
                "run again from the cell with shop.start(...) on",
            ) from None

    def behave(self, server, *rules):
        """Makes the "provider", "carrier" or "data-platform-server" follow these rules (third_party.py), or none."""
        can = RULES if server == "provider" else set(RULES) - {"decline"}
        if server not in SERVERS or not all(isinstance(rule, dict) and rule.get("do") in can for rule in rules):
            what = f"behave({', '.join(map(repr, (server, *rules)))}) is no rule of a server."
            why = (
                f"servers are {', '.join(SERVERS)}; a rule is a dict whose do is one of {', '.join(RULES)}, "
                "and only the provider declines"
            )
            raise LabError(what, why, 'run.behave("provider", {"do": "decline", "times": 1})')
        with self._answered(server):
            Client(self.folder, server).ask("PUT", "/behaviour", {"rules": list(rules)})

    def sql(self, service, query, *values):
        """What a query of a service's database returns, as a list of dicts. LabError for an unknown service."""
        _check_names("sql", [service], [*SERVERS, *SERVICES])
        with contextlib.closing(sqlite3.connect(f"file:{self.settings.database(service)}?mode=ro", uri=True)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]

    def _topic_id(self):
        [described] = self.lab.admin.describe_topics([self.lab.name("shop.order.event")])
        return described["topic_id"]

    def replaced(self):
        """Whether the topics are this shop's no more: another one was started in this lab, with empty ones."""
        return self._topic_id() != self.topic_id

    def read(self):
        """The records of the shop's topics (topics.read). Raises LabError when they are another shop's by now."""
        if self.replaced():
            why = "another shop was started since, and it began with empty topics"
            raise LabError("This shop's topics are gone.", why, "take the run of the shop that was started last")
        return topics.read(self.lab, *(topic.name for topic in self.topics))

    def unpark(self, service, key):
        """Releases the parked events of a key, after the cause is mended; the service handles them in their order.

        Raises LabError when there are none, and when nobody of the shop runs.
        """
        self.check_running()
        with contextlib.closing(store.connect(self.settings.database(service))) as db:
            if not db.execute("UPDATE parked SET released = 1 WHERE key = ?", (key,)).rowcount:
                why = "it never was, or it is released already"
                raise LabError(f"Nothing of {key} is parked.", why, f'run.sql("{service}", "SELECT key FROM parked")')

    def statuses(self):
        """How many orders there are of each status, as a dict."""
        rows = self.sql("order", "SELECT status, count(*) AS n FROM orders GROUP BY status ORDER BY status")
        return {row["status"]: row["n"] for row in rows}

    def status(self, order):
        """The status of an order: RUNNING, CANCELLING, COMPLETED, CANCELLED or NEEDS_OPERATOR."""
        return self.sql("order", "SELECT status FROM orders WHERE id = ?", order)[0]["status"]

    def settle(self, deadline=120, restart=False):
        """Waits until the shop is quiet: no open order, nothing in an outbox, no lag. Raises LabError if it is not.

        restart: who is killed meanwhile, or was before, is started again. Without it, a shop in which nobody does the
        work of a service is not waited for so long.
        """
        began = time.monotonic()
        while busy := self._busy_after(restart):
            waits = min(deadline, STUCK) if self._idle_services() else deadline
            if time.monotonic() > began + waits:
                raise LabError(f"The shop is not quiet after {waits} s.", *self._why_busy(busy))
            time.sleep(0.1)

    def _idle_services(self):
        """The services and servers of which no member runs."""
        return set(map(_service_of, self.not_running())) - set(map(_service_of, self.running()))

    def _busy_after(self, restart):
        if restart:
            self.team.add(*self.not_running())
        return self.busy()

    def _why_busy(self, busy):
        """Why the shop is not quiet, and what mends it."""
        if gone := self.not_running():
            return f"{busy}; not running: {', '.join(gone)}", f"run.restart({gone[0]!r})"
        return busy, "run.team.output(name) shows errors"

    def busy(self):
        """What is still to be done, in words; "" when the shop is quiet.

        A record that is handled between two looks could hide from both: its offset is committed, and what it has caused
        is not published yet. So the ends of the topics have to be the same before and after. Raises LabError when
        nobody of the shop runs: it would be busy for ever.
        """
        self.check_running()
        still = sum(self.statuses().get(status, 0) for status in OPEN)
        if still:
            return f"orders that are open: {still}"
        if claims := self.sql("order", "SELECT count(*) AS n FROM claim WHERE status = 'OPEN'")[0]["n"]:
            return f"claims that are open: {claims}"
        ends = self._ends()
        lag = {group: lag for group, lag in self.lags(ends).items() if lag}
        if lag:
            return f"lag: {lag}"
        waiting = {name: self._waiting(name) for name in WITH_OUTBOX}
        if any(waiting.values()):
            return f"outboxes: {waiting}"
        return "" if self._ends() == ends else "records are being published"

    def _waiting(self, service):
        return self.sql(service, "SELECT count(*) AS n FROM outbox WHERE published IS NULL")[0]["n"]

    def _ends(self):
        places = [TopicPartition(self.lab.name(t.name), p) for t in self.topics for p in range(t.partitions)]
        found = self.lab.admin.list_partition_offsets({place: OffsetSpec.LATEST for place in places})
        return {place: end.offset for place, end in found.items()}

    def lags(self, ends=None):
        """The lag of each consumer group, summed over its topics, as a dict; against these ends if they are given."""
        ends = ends or self._ends()
        committed = self.lab.admin.list_group_offsets([self.lab.name(group) for group in topics.GROUPS])
        return {
            group: sum(
                end - self._committed(committed[self.lab.name(group)], place)
                for place, end in ends.items()
                if self._reads(group, place)
            )
            for group in topics.GROUPS
        }

    def _reads(self, group, place):
        topic = place.topic.removeprefix(self.lab.prefix)
        return group in topics.declared(topic, self.topics).readers

    @staticmethod
    def _committed(offsets, place):
        return offsets[place].offset if place in offsets else 0

    def restart(self, member):
        """Waits until a member has been killed, or has crashed, and starts it again; returns when it is ready.

        Raises LabError for a name that never ran, a member that still runs after some seconds, a shop that has ended.
        """
        known = sorted({process.name for process in self.team.processes})
        if member not in known:
            raise LabError(f"{member} is no process of this shop.", "", f"restart one of {', '.join(known)}")
        self.check_running()
        self._wait_until_gone(member)
        self.team.add(member)
        again = self.team.processes[-1]
        wait_until(lambda: member not in self.running() or _ready(again), f"{member} to be ready", READY)

    def _wait_until_gone(self, member):
        to_come = faults.to_come(self.settings, _service_of(member))
        try:
            line, deadline = f"Waiting for the crash of {member}.", GONE if to_come else NO_CRASH
            wait_until(lambda: member not in self.running(), f"{member} to be gone", deadline, line)
        except LabError:
            gone, crash = ", ".join(self.not_running()), self.settings.crash or "none"
            raise LabError(
                f"{member} still runs: nothing has killed it since it was started.",
                f"not running: {gone or 'nobody'}; the crash of this shop, once in its life: {crash}",
                "restart who is not running"
                if gone
                else "run.order(...), if the crash waits for one; or it waits for what this order does not bring"
                if to_come
                else "run again from the cell with shop.start(...) on",
            ) from None

    def running(self):
        """The names of the processes that run."""
        return self.team.running()

    def not_running(self):
        """The names of those that were killed, or have crashed, and were not started again."""
        return sorted(self.names - set(self.running()))

    def stop(self):
        """Ends all processes; the databases and logs stay until the lab is closed."""
        self.team.stop()


def plan(orders, users, seed):
    """What the customers do, the same for each seed: {user: [(path, body), ...]}, charges and orders."""
    dice = random.Random(seed)
    names = [f"u-{number:03}" for number in range(1, users + 1)]
    actions = {name: [_charge(name, dice.randrange(5, 31))] for name in names}
    for _ in range(orders):
        name = dice.choice(names)
        if dice.random() < 0.3:
            actions[name].append(_charge(name, dice.randrange(1, 11)))
        body = {"userId": name, "productId": f"p-{dice.randint(1, 10)}", "quantity": dice.randint(1, 2)}
        coupon = {"couponId": f"c-{dice.randint(1, 3)}"} if dice.random() < 0.3 else {}
        actions[name].append(("/orders", body | coupon))
    return actions


def _charge(user, thousands):
    return "/charges", {"userId": user, "amount": thousands * 1000}


def place_orders(run, actions, seed=0, wait=False, clients=CLIENTS):
    """Does what the plan says: several customers at once, each one's requests in order. Returns the statuses.

    Two orders of one user overtake each other on their way: one with a coupon has a step more. If the money is enough
    for one of them only, it is open which. wait: each customer waits for an order's end before the next request; then
    the same plan always has the same outcome, as long as there are coupons and stock enough. With clients=1 it has the
    same numbers of orders too: nobody is served beside another.
    """
    users = sorted(actions)
    shares = [{user: actions[user] for user in users[number::clients]} for number in range(clients)]
    pool = futures.ThreadPoolExecutor(clients)
    try:
        customers = [pool.submit(_place, run, seed, wait, share) for share in shares]
        while futures.wait(customers, timeout=0.2).not_done:
            pass  # without a timeout it may miss Ctrl-C
        return sorted(status for customer in customers for status in customer.result())
    finally:
        pool.shutdown(wait=False)  # after an interrupt the shop ends with the cell, and the customers with it


def _place(run, seed, wait, share):
    """One connection: a turn of each of its users after the other."""
    client, statuses = Client(run.folder, "order-api", timeout=20), []
    for turn in range(max(map(len, share.values()), default=0)):
        for user, mine in share.items():
            if turn < len(mine):
                status, answer = _insist(run, client, *mine[turn], key=f"{seed}-{user}-{turn}")
                statuses.append(status)
                if wait and "orderId" in answer:
                    order = answer["orderId"]
                    wait_until(lambda order=order: run.status(order) not in OPEN, f"{order} to end", 60)
    client.close()
    return statuses


def _insist(run, client, path, body, key):
    """Asks again, with the same key, while there is no answer or "503, ask again". Returns (status, answer).

    Raises LabError when nobody of the shop runs.
    """
    until = time.monotonic() + INSIST
    while True:
        try:
            status, answer = client.ask("POST", path, body, **{"Idempotency-Key": key})
        except NoAnswer:
            run.check_running()
            status, answer = 504, {}
        if status not in (503, 504) or time.monotonic() > until:
            return status, answer
        time.sleep(0.1)
