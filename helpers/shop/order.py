"""The order service: the HTTP API that customers call, and the saga that leads each order through the other services.

Every command is a row of the outbox, written in the transaction that moves the order to its next step. So there is no
step without its command, and no command without its step.
"""

import json
import sys
import time
from dataclasses import dataclass

import fastjsonschema

from . import events, store, web
from .events import FIELDS, TYPES
from .faults import crash_here
from .service import Service
from .store import changed

NAME, GROUP = "order", "order-saga"
TOPICS = ["shop.saga.reply"]
TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE, user TEXT NOT NULL, product TEXT NOT NULL, quantity INTEGER NOT NULL,
    coupon TEXT, amount INTEGER NOT NULL, status TEXT NOT NULL, step INTEGER NOT NULL, reason TEXT,
    placed REAL NOT NULL, moved REAL NOT NULL, last_event TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS open_orders ON orders (moved) WHERE status IN ('RUNNING', 'CANCELLING');
CREATE TABLE IF NOT EXISTS request (
    key TEXT PRIMARY KEY, body TEXT NOT NULL, status INTEGER NOT NULL, answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS claim (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, coupon TEXT NOT NULL, status TEXT NOT NULL, reason TEXT);
"""


@dataclass(frozen=True)
class Step:
    """A command to a service, and the answers to it; undo: the command that takes it back."""

    service: str
    verb: str
    done: str
    undo: str = ""
    undone: str = ""


STEPS = [
    Step("coupon", "hold", "held", "release", "released"),
    Step("stock", "reserve", "reserved", "release", "released"),
    Step("balance", "deduct", "deducted", "refund", "refunded"),
    Step("payment", "pay", "paid"),  # the pivot: from here on it only goes forward
    Step("coupon", "confirm", "confirmed"),
    Step("stock", "confirm", "confirmed"),
]
PIVOT = 3


# The saga


def on_reply(db, reply):
    """Moves the order on. A reply that comes twice or too late does not fit the order's step, and changes nothing."""
    order = find(db, reply.get_data()["orderId"])
    if not order:
        return []
    step, answer = STEPS[order["step"]], events.name_of(reply)
    if order["status"] == "RUNNING" and answer == f"{step.service}.{step.done}":
        return forward(db, order, order["step"] + 1, reply)
    if order["status"] == "RUNNING" and order["step"] <= PIVOT and answer == f"{step.service}.refused":
        return backward(db, order, order["step"] - 1, reply, reply.get_data()["reason"])
    if order["status"] == "RUNNING" and answer == f"{step.service}.unknown":
        return end(db, order, "NEEDS_OPERATOR", "order.stuck", reply, reply.get_data()["reason"])
    if order["status"] == "CANCELLING" and answer == f"{step.service}.{step.undone}":
        return backward(db, order, order["step"] - 1, reply, order["reason"])
    return []


def forward(db, order, step, cause):
    """The next step's command; after the last one the order is complete."""
    if step < len(STEPS) and STEPS[step].service == "coupon" and not order["coupon"]:
        step += 1
    if step == len(STEPS):
        return end(db, order, "COMPLETED", "order.completed", cause)
    move(db, order, "RUNNING", step, None, cause)
    return [command(order, STEPS[step].service, STEPS[step].verb, cause)]


def backward(db, order, step, cause, reason):
    """Takes back what was done, the last thing first; after that the order is cancelled."""
    if step >= 0 and STEPS[step].service == "coupon" and not order["coupon"]:
        step -= 1
    if step < 0:
        return end(db, order, "CANCELLED", "order.cancelled", cause, reason)
    move(db, order, "CANCELLING", step, reason, cause)
    return [command(order, STEPS[step].service, STEPS[step].undo, cause)]


def tick(db, settings):
    """Gives up the orders that wait too long for an answer.

    Before the pivot the step at hand is taken back as well, because nobody knows whether it was done. Later, and where
    taking back has got stuck, an operator has to look.
    """
    late = "SELECT * FROM orders WHERE status IN ('RUNNING', 'CANCELLING') AND moved < ?"
    for order in db.execute(late, (time.time() - settings.patience,)).fetchall():
        cause, reason = events.restored(order["last_event"]), f"no answer within {settings.patience:g} s"
        if order["status"] == "RUNNING" and order["step"] < PIVOT:
            yield from backward(db, order, order["step"], cause, reason)
        else:
            yield from end(db, order, "NEEDS_OPERATOR", "order.stuck", cause, reason)


def end(db, order, status, event, cause, reason=None):
    """The order's last state."""
    move(db, order, status, order["step"], reason, cause)
    why = {"reason": reason} if reason else {}
    return [events.new(event, cause, **fields_of(order), **why)]


def move(db, order, status, step, reason, cause):
    """The guard is the state it comes from: of two who want to move the order one succeeds."""
    moved = """UPDATE orders SET status = ?, step = ?, reason = ?, moved = ?, last_event = ?
        WHERE id = ? AND status = ? AND step = ?"""
    values = (status, step, reason, time.time(), events.stored(cause), order["id"], order["status"], order["step"])
    if not changed(db, moved, values):
        raise RuntimeError(f"{order['id']} was moved by somebody else within our transaction")


def command(order, service, verb, cause):
    """A command with the fields that its schema asks for."""
    name, fields = f"{service}.{verb}", fields_of(order)
    return events.new(name, cause, **{field: fields[field] for field in TYPES[name][2]["required"]})


def fields_of(order):
    """An order's row as the fields of an event."""
    fields = {"orderId": order["id"], "userId": order["user"], "productId": order["product"]}
    fields |= {"quantity": order["quantity"], "amount": order["amount"]}
    return fields | ({"couponId": order["coupon"]} if order["coupon"] else {})


def find(db, order):
    return db.execute("SELECT * FROM orders WHERE id = ?", (order,)).fetchone()


def on_claim(db, reply):
    """What has become of a customer's claim to a coupon."""
    claim, reason = reply.get_data()["claimId"], reply.get_data().get("reason")
    ended = "UPDATE claim SET status = ?, reason = ? WHERE id = ? AND status = 'OPEN'"
    db.execute(ended, ("REFUSED" if reason else "ISSUED", reason, claim))
    return []


REPLIES = [name for name, (topic, key, _) in TYPES.items() if (topic, key) == ("shop.saga.reply", "orderId")]
HANDLERS = dict.fromkeys(REPLIES, on_reply) | dict.fromkeys(("coupon.issued", "coupon.denied"), on_claim)


# The API


def _body(required, optional=""):
    names = [*required.split(), *optional.split()]
    properties = {name: FIELDS[name] for name in names}
    return fastjsonschema.compile(
        {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}
    )


ORDER_BODY = _body("userId productId quantity", "couponId")
CHARGE_BODY = _body("userId amount")
CLAIM_BODY = _body("userId couponId")


class Api:
    """POST /orders, /charges and /coupons; GET /orders/ID and /coupons/ID."""

    def __init__(self, settings, wake, steps):
        self.settings, self.wake, self.steps = settings, wake, steps
        self.local = store.PerThread(settings.database(NAME), TABLES)

    def answer(self, request):
        """(status, dict). 202: accepted, and it will not be lost; what becomes of it, GET /orders/ID tells."""
        db = self.local.db
        if request.method == "GET" and request.path.startswith("/orders/"):
            order = find(db, request.path.removeprefix("/orders/"))
            return (200, fields_of(order) | {"status": order["status"]}) if order else (404, {"error": "no such order"})
        if request.method == "GET" and request.path.startswith("/coupons/"):
            claim = db.execute("SELECT * FROM claim WHERE id = ?", (request.path.removeprefix("/coupons/"),)).fetchone()
            return (200, dict(claim)) if claim else (404, {"error": "no such claim"})
        accept = {"/orders": place_order, "/charges": charge, "/coupons": claim_coupon}.get(request.path)
        if request.method != "POST" or not accept:
            return 404, {"error": "there are POST /orders, /charges, /coupons and GET /orders/ID, /coupons/ID"}
        key = request.headers.get("Idempotency-Key")
        if not key or len(key) > 64:
            return 400, {"error": "the header Idempotency-Key is missing, or longer than 64"}
        try:
            return self.once(db, key, request, accept)
        except store.Locked as error:
            return 503, {"error": f"{error}; ask again with the same key"}

    def once(self, db, key, request, accept):
        """The same request with the same key gets the same answer, and has its effect once."""
        body = json.dumps([request.path, request.body], sort_keys=True)
        with store.transaction(db):
            before = db.execute("SELECT * FROM request WHERE key = ?", (key,)).fetchone()
            if before and before["body"] != body:
                return 422, {"error": "this Idempotency-Key was used for another request"}
            if before:
                return before["status"], json.loads(before["answer"])
            try:
                answer = accept(db, self.settings, request.body, f"request-{key}")
            except (fastjsonschema.JsonSchemaException, events.BadEvent, Refused) as error:
                return 422, {"error": str(error)}
            db.execute("INSERT INTO request VALUES (?, ?, 202, ?)", (key, body, json.dumps(answer)))
        no_record = dict.fromkeys(["ce_id", "type", "topic", "partition", "offset"])
        crash_here(self.settings, self.steps, "before_answer", [no_record | {"order": answer.get("orderId")}])
        self.wake.set()
        return 202, answer


def place_order(db, settings, body, request):
    """The order, its event and its first command: all in one transaction."""
    ORDER_BODY(body)
    amount = price(settings, body)
    number = db.execute("SELECT coalesce(max(number), 0) + 1 FROM orders").fetchone()[0]
    order, now = f"o-{number:04}", time.time()
    placed = events.new("order.placed", request=request, orderId=order, amount=amount, **body)
    placed = store.add_to_outbox(db, NAME, placed)
    row = (number, order, body["userId"], body["productId"], body["quantity"], body.get("couponId"), amount)
    values = (*row, "RUNNING", 0, None, now, now, events.stored(placed))
    db.execute(f"INSERT INTO orders VALUES ({', '.join('?' * len(values))})", values)
    for event in forward(db, find(db, order), 0, placed):
        store.add_to_outbox(db, NAME, event)
    return {"orderId": order, "amount": amount}


def price(settings, body):
    """What it costs, less the coupon's discount. Raises Refused for what the shop does not have."""
    if body["productId"] not in settings.products:
        raise Refused(f"no product {body['productId']}")
    if "couponId" in body and body["couponId"] not in settings.coupons:
        raise Refused(f"no coupon {body['couponId']}")
    discount = settings.coupons[body["couponId"]][0] if "couponId" in body else 0
    return max(1, settings.products[body["productId"]][0] * body["quantity"] - discount)


def charge(db, settings, body, request):
    """Charging goes through the same topic as deducting, with the same key: so they stay in order."""
    CHARGE_BODY(body)
    charge = request.replace("request-", "charge-")
    store.add_to_outbox(db, NAME, events.new("balance.charge", request=request, chargeId=charge, **body))
    return {"chargeId": charge}


def claim_coupon(db, settings, body, request):
    """First come, first served: the order of the claims is their order in the coupon's partition."""
    CLAIM_BODY(body)
    if body["couponId"] not in settings.coupons:
        raise Refused(f"no coupon {body['couponId']}")
    claim = request.replace("request-", "claim-")
    db.execute("INSERT INTO claim VALUES (?, ?, ?, 'OPEN', NULL)", (claim, body["userId"], body["couponId"]))
    store.add_to_outbox(db, NAME, events.new("coupon.issue", request=request, claimId=claim, **body))
    return {"claimId": claim}


class Refused(ValueError):
    """A request that nobody can fulfil."""


def serve(me, settings):
    """Runs the API and the saga until the process is asked to stop."""
    service = Service(me, sys.modules[__name__], settings)
    web.Server(settings.folder, "order-api", Api(settings, service.relay.wake, service.steps).answer, settings.port)
    service.run()
