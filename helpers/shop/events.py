"""The events: their types, what each may contain, and how one becomes a Kafka record and an event again.

An event is a CloudEvent. In Kafka (binary mode) its attributes are headers, ce_id and ce_type say, and its data is the
record's value as JSON. Three attributes are ours: correlationid (the order, the
charge or the claim), causationid (the id of the event that
caused this one) and traceparent (the W3C trace).
https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
"""

import json
import os
from datetime import datetime

import fastjsonschema
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event, to_binary_event
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent

MOST_MONEY = 1_000_000_000
ID = {"type": "string", "minLength": 1, "maxLength": 64}
MONEY = {"type": "integer", "minimum": 1, "maximum": MOST_MONEY}
FIELDS = {
    "orderId": ID,
    "chargeId": ID,
    "claimId": ID,
    "userId": ID,
    "productId": ID,
    "couponId": ID,
    "quantity": {"type": "integer", "minimum": 1, "maximum": 1000},
    "amount": MONEY,
    "balance": {"type": "integer", "minimum": 0},
    "reason": {"type": "string", "maxLength": 200},
}


def _schema(required, optional=""):
    names = [*required.split(), *optional.split()]
    return {
        "type": "object",
        "properties": {name: FIELDS[name] for name in names},
        "required": required.split(),
        "additionalProperties": False,
    }


BEGINNINGS = ("orderId", "chargeId", "claimId")  # what a customer's request has begun: the correlation
ORDER = "orderId userId productId quantity amount"

# type (without "shop." and ".v1"): (topic, the field that is the key, JSON schema of the data)
TYPES = {
    "order.placed": ("shop.order.event", "orderId", _schema(ORDER, "couponId")),
    "order.completed": ("shop.order.event", "orderId", _schema(ORDER, "couponId")),
    "order.cancelled": ("shop.order.event", "orderId", _schema(ORDER + " reason", "couponId")),
    "order.stuck": ("shop.order.event", "orderId", _schema(ORDER + " reason", "couponId")),
    "balance.charge": ("shop.balance.command", "userId", _schema("userId chargeId amount")),
    "balance.deduct": ("shop.balance.command", "userId", _schema("orderId userId amount")),
    "balance.refund": ("shop.balance.command", "userId", _schema("orderId userId amount")),
    "stock.reserve": ("shop.stock.command", "productId", _schema("orderId productId quantity")),
    "stock.confirm": ("shop.stock.command", "productId", _schema("orderId productId quantity")),
    "stock.release": ("shop.stock.command", "productId", _schema("orderId productId quantity")),
    "coupon.hold": ("shop.coupon.command", "couponId", _schema("orderId couponId userId")),
    "coupon.confirm": ("shop.coupon.command", "couponId", _schema("orderId couponId userId")),
    "coupon.release": ("shop.coupon.command", "couponId", _schema("orderId couponId userId")),
    "coupon.issue": ("shop.coupon.command", "couponId", _schema("claimId couponId userId")),
    "payment.pay": ("shop.payment.command", "orderId", _schema("orderId userId amount")),
    "coupon.held": ("shop.saga.reply", "orderId", _schema("orderId")),
    "coupon.refused": ("shop.saga.reply", "orderId", _schema("orderId reason")),
    "coupon.confirmed": ("shop.saga.reply", "orderId", _schema("orderId")),
    "coupon.released": ("shop.saga.reply", "orderId", _schema("orderId")),
    "coupon.issued": ("shop.saga.reply", "claimId", _schema("claimId")),
    "coupon.denied": ("shop.saga.reply", "claimId", _schema("claimId reason")),
    "stock.reserved": ("shop.saga.reply", "orderId", _schema("orderId")),
    "stock.refused": ("shop.saga.reply", "orderId", _schema("orderId reason")),
    "stock.confirmed": ("shop.saga.reply", "orderId", _schema("orderId")),
    "stock.released": ("shop.saga.reply", "orderId", _schema("orderId")),
    "balance.deducted": ("shop.saga.reply", "orderId", _schema("orderId balance")),
    "balance.refused": ("shop.saga.reply", "orderId", _schema("orderId reason")),
    "balance.refunded": ("shop.saga.reply", "orderId", _schema("orderId balance")),
    "payment.paid": ("shop.saga.reply", "orderId", _schema("orderId")),
    "payment.refused": ("shop.saga.reply", "orderId", _schema("orderId reason")),
    "payment.unknown": ("shop.saga.reply", "orderId", _schema("orderId reason")),
    "user.balance": ("shop.user.balance", "userId", _schema("userId balance")),
    "product.sold": ("shop.product.sold", "productId", _schema("productId quantity")),
}

_checks = {}  # type: the compiled schema


class BadEvent(ValueError):
    """A record that is no event of ours."""


def check(name, data):
    """Raises BadEvent when the data does not fit the schema of this type, or there is no such type."""
    if name not in TYPES:
        raise BadEvent(f"no event type {name!r}")
    if name not in _checks:
        _checks[name] = fastjsonschema.compile(TYPES[name][2])
    try:
        _checks[name](data)
    except fastjsonschema.JsonSchemaException as error:
        raise BadEvent(f"{name}: {error.message}") from error


def new(name, cause=None, request=None, **data):
    """A new event, checked. It is caused by another event, whose order and trace it takes on, or by an HTTP request.

    The outbox gives it its final id and source (store.py). Raises BadEvent.
    """
    check(name, data)
    inherited = cause.get_attributes() if cause else {}
    trace = inherited["traceparent"].split("-")[1] if cause else os.urandom(16).hex()
    attributes = {
        "type": f"shop.{name}.v1",
        "source": "shop",
        "subject": data[TYPES[name][1]],
        "datacontenttype": "application/json",
        "partitionkey": data[TYPES[name][1]],  # the binding makes it the record's key
        "correlationid": inherited.get("correlationid") or next(data[name] for name in BEGINNINGS if name in data),
        "traceparent": f"00-{trace}-{os.urandom(8).hex()}-01",
    }
    attributes["causationid"] = cause.get_id() if cause else request
    return CloudEvent(attributes, data)


def name_of(event):
    """The type without "shop." and ".v1": "balance.deduct"."""
    return event.get_type().removeprefix("shop.").removesuffix(".v1")


def topic_of(event):
    """The topic of an event, without the chapter's prefix."""
    return TYPES[name_of(event)][0]


def to_record(event):
    """(key, value, headers) for KafkaProducer.send(); headers is a list of (name, bytes)."""
    message = to_binary_event(event)
    value = message.value.encode() if isinstance(message.value, str) else message.value
    return message.key.encode(), value, list(message.headers.items())


def from_record(record):
    """The event in a consumed record, checked. Raises BadEvent for what is none."""
    headers = {name: value for name, value in record.headers if name.startswith("ce_") or name == "content-type"}
    try:
        event = from_binary_event(KafkaMessage(headers, record.key, record.value))
    except (CloudEventValidationError, ValueError, AttributeError, TypeError) as error:
        raise BadEvent(f"no CloudEvent: {error}") from error
    check(name_of(event), event.get_data())
    return event


def is_of(record, order):
    """Does a consumed record tell of this order? One that is no event does not: its readers send it to their DLQ."""
    if ("ce_correlationid", order.encode()) not in record.headers:
        return False
    try:
        from_record(record)
    except BadEvent:
        return False
    return True


def stored(event, **attributes):
    """The event, with these attributes changed, as one text: for the outbox."""
    return json.dumps([event.get_attributes() | attributes, event.get_data()], default=datetime.isoformat)


def restored(text):
    """The event of such a text."""
    attributes, data = json.loads(text)
    return CloudEvent(attributes | {"time": datetime.fromisoformat(attributes["time"])}, data)
