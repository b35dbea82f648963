"""What is sold, from topic to topic in Kafka transactions: each completed order counts once for who reads committed.

The records and the offsets are committed together, or not at all. That is "exactly once", and it ends at Kafka's edge:
there is no database here, and no HTTP.
"""

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from . import events
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
    me.log("ready")
    while not me.stopping:
        polled = consumer.poll(100)
        if polled:
            one_transaction(consumer, producer, settings, steps, polled)
    producer.close(timeout=2)


def one_transaction(consumer, producer, settings, steps, polled):
    """Sales and offsets, together. An error ends the process: who starts again reads from the committed offsets."""
    records = [record for some in polled.values() for record in some]
    pairs = [(record, events.from_record(record)) for record in records]
    lines = [about(event) | place(record, settings.prefix) for record, event in pairs]
    steps("received", lines)
    producer.begin_transaction()
    try:
        sent = [send(producer, settings, *pair) for pair in pairs if events.name_of(pair[1]) == "order.completed"]
        offsets = {where: OffsetAndMetadata(some[-1].offset + 1) for where, some in polled.items()}
        producer.send_offsets_to_transaction(offsets, consumer.group_metadata())
        producer.commit_transaction()
    except KafkaError:
        producer.abort_transaction()
        raise
    steps("published", [about(sale) | place(future.value, settings.prefix) for sale, future in sent])
    steps("offset committed", lines)


def send(producer, settings, record, event):
    """The sale, whose id is the place of the order's record and the same in every attempt, and the future."""
    order = event.get_data()
    sale = events.new("product.sold", event, productId=order["productId"], quantity=order["quantity"])
    sale = events.restored(
        events.stored(sale, id=f"{GROUP}-{record.partition}-{record.offset}", source=f"/shop/{GROUP}")
    )
    key, value, headers = events.to_record(sale)
    return sale, producer.send(settings.prefix + events.topic_of(sale), value, key, headers)
