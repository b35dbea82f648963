"""What is sold, from topic to topic in Kafka transactions: each record of a completed order makes one sale, for who
reads committed. A record that the order's relay has published twice makes two, with one id.

The records and the offsets are committed together, or not at all. That is "exactly once", and it ends at Kafka's edge:
there is no database here, and no HTTP.
"""

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from . import events
from .faults import crash_here
from .retry import origin
from .steps import Steps, about, place

GROUP = "sales-rank"


def serve(me, settings):
    """Reads completed orders, and writes a sale for each, until the process is asked to stop."""
    steps = Steps(settings.folder, me.name, GROUP)
    consumer = KafkaConsumer(
        settings.prefix + "shop.order.event",
        **me.client,
        group_id=settings.prefix + GROUP,
        client_id=me.name,
        group_instance_id=me.name,
        session_timeout_ms=10_000,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = KafkaProducer(**me.client, transactional_id=settings.prefix + me.name)
    producer.init_transactions()  # whoever used this id before is fenced off
    me.follow(consumer)
    while not me.stopping:
        polled = consumer.poll(100)
        if polled:
            one_transaction(consumer, producer, settings, steps, polled)
    producer.close(timeout=2)


def one_transaction(consumer, producer, settings, steps, polled):
    """Sales and offsets, together. An error ends the process: who starts again reads from the committed offsets."""
    received = [decoded(record) for some in polled.values() for record in some]
    lines = [about(event) | place(record, settings.prefix) for record, event, _ in received]
    steps("received", lines)
    producer.begin_transaction()
    try:
        good = [event for _, event, bad in received if not bad]
        sent = [send(producer, settings, event) for event in good if events.name_of(event) == "order.completed"]
        for record, _, bad in received:
            if bad:
                send_to_dlq(producer, settings, record, bad)
        offsets = {where: OffsetAndMetadata(some[-1].offset + 1) for where, some in polled.items()}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        crash_here(settings, steps, "before_db_commit", lines)
        producer.commit_transaction()
    except KafkaError:
        producer.abort_transaction()
        raise
    crash_here(settings, steps, "after_db_commit", lines)
    steps("published", [about(sale) | place(future.value, settings.prefix) for sale, future in sent])
    steps("offset committed", lines)


def decoded(record):
    """(the record, its event, what is wrong with it)."""
    try:
        return record, events.from_record(record), ""
    except events.BadEvent as error:
        return record, None, str(error)


def send_to_dlq(producer, settings, record, error):
    """A record that is no event, byte for byte, in the same transaction."""
    more = [(name, str(text).encode()) for name, text in origin(settings, GROUP, record, error).items()]
    producer.send(f"{settings.prefix}{GROUP}.dlq", record.value, record.key, [*record.headers, *more])


def send(producer, settings, event):
    """The sale and the future. Its id comes from the order's event, so that one that comes twice makes one sale."""
    order = event.get_data()
    sale = events.new("product.sold", event, productId=order["productId"], quantity=order["quantity"])
    sale = events.restored(events.stored(sale, id=f"{GROUP}-{event.get_id()}", source=f"/shop/{GROUP}"))
    key, value, headers = events.to_record(sale)
    return sale, producer.send(settings.prefix + events.topic_of(sale), value, key, headers)
