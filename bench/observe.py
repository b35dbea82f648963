"""Reading records into a DataFrame, against a bare loop of the client that only counts them."""

import statistics
import tempfile

from kafka import KafkaConsumer, KafkaProducer

from bench.lab import row, seconds, variables
from helpers import observe
from helpers.broker import stop
from helpers.lab import open_lab

RUNS = 7
RECORDS = 100_000


def measure():
    """Every row about observe."""
    with tempfile.TemporaryDirectory() as home, variables(KAFKA_COURSE_HOME=home):
        lab = open_lab("bench")
        try:
            return [read_records(lab), look_at_partitions(lab)]
        finally:
            lab.close()
            stop(wipe=True)


def read_records(lab):
    """100,000 records of 100 bytes with keys in 3 partitions; the two readers take turns."""
    topic = lab.topic("records", partitions=3)
    with_keys(lab, topic)
    frame, loop = [], []
    for _ in range(RUNS):
        loop.append(seconds(lambda: count(lab, topic)))
        frame.append(seconds(lambda: observe.records(lab, topic)))
    return row(
        "100,000 records into a DataFrame, against counting them",
        statistics.median(frame),
        baseline=statistics.median(loop),
    )


def with_keys(lab, topic):
    """Fills the topic."""
    producer = KafkaProducer(**lab.client, linger_ms=5)
    for number in range(RECORDS):
        producer.send(topic, key=b"user-%d" % (number % 1000), value=b"%0100d" % number, partition=number % 3)
    producer.close()


def count(lab, topic):
    """The least that any reader has to do."""
    consumer = KafkaConsumer(topic, auto_offset_reset="earliest", consumer_timeout_ms=10_000, **lab.client)
    counted = 0
    while counted < RECORDS:
        next(consumer)
        counted += 1
    consumer.close()


def look_at_partitions(lab):
    """The offsets of 1,000 partitions, against those of 10."""
    wide, narrow = lab.topic("wide", partitions=1000), lab.topic("narrow", partitions=10)
    times = {topic: [seconds(lambda t=topic: observe.offsets(lab, t)) for _ in range(RUNS)] for topic in (wide, narrow)}
    return row(
        "offsets of 1,000 partitions, against 10",
        statistics.median(times[wide]),
        baseline=statistics.median(times[narrow]),
    )
