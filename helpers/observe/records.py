"""The records of a topic, read from the beginning without a group: nothing is committed, nobody is disturbed."""

import time

import pandas as pd
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from ..lab import LabError, course
from .ask import ask, bounds, check_name, no_answer, positions, settings

PROGRESS = 3  # seconds without a record, then LabError: asking and connecting before it take their time too


def text(data):
    """Bytes as text where they are UTF-8, else the bytes as they are."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def records(lab, topic, committed_only=False, key=text, value=text):
    """The records that are in a topic now, by partition and offset.

    Columns: partition, offset, timestamp (datetime64[ms, UTC], set by the producer unless the topic says
    LogAppendTime), key, value, headers (dict of name to text or bytes; of two with one name the last). Text is decoded
    as UTF-8; what is not UTF-8 stays bytes; null is None, so a tombstone's value is None. key and value may be other
    functions of bytes: value=json.loads.

    Read are the offsets up to the end that each partition has at the call. committed_only=True leaves out the records
    of aborted transactions, and ends before the first open one (isolation level read_committed). Raises LabError for a
    topic that does not exist, for a record that key or value cannot decode (ValueError), and when 3 s pass without
    progress.
    """
    check_name(topic, "topic")
    isolation = "read_committed" if committed_only else "read_uncommitted"
    spans = ask(lab, lambda admin: bounds(admin, topic, isolation))
    spans = {place: span for place, span in spans.items() if span[0] < span[1]}
    return _frame(_read(lab, spans, isolation), key, value)


def _read(lab, spans, isolation):
    """The ConsumerRecords between the beginning and the end of each partition, by partition and offset."""
    found = {place: [] for place in spans}
    try:
        with KafkaConsumer(
            **settings(lab, PROGRESS * 1000),
            isolation_level=isolation,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_poll_records=10_000,
            fetch_max_wait_ms=10,
        ) as consumer:
            consumer.assign(list(spans))
            for place, (beginning, _) in spans.items():
                consumer.seek(place, beginning)
            for place, batch in _batches(lab, consumer, spans):
                found[place] += batch
    except KafkaError as error:
        raise no_answer(lab, error) from error
    ends = {place.partition: end for place, (_, end) in spans.items()}
    return [record for batch in found.values() for record in batch if record.offset < ends[record.partition]]


def _batches(lab, consumer, spans):
    """Yields (partition, records) until the consumer's position has reached every end.

    The position, not the last record, tells the end: transaction markers and compacted records have offsets too.
    """
    missing, position, until = set(spans), {}, time.monotonic() + PROGRESS
    while missing:
        polled = consumer.poll(timeout_ms=20)
        yield from polled.items()
        before, position = position, positions(consumer, missing)
        if position != before:
            until = time.monotonic() + PROGRESS
        elif time.monotonic() > until:
            raise LabError(
                f"{PROGRESS} s without a record from partition {sorted(place.partition for place in missing)}.",
                f"the broker at {lab.bootstrap} does not answer, or the topic was just deleted",
                course("doctor"),
            )
        done = {place for place in position if position[place] >= spans[place][1]}
        consumer.pause(*done)
        missing -= done


def _frame(found, key, value):
    frame = pd.DataFrame(
        {
            "partition": pd.Series([record.partition for record in found], dtype="int64"),
            "offset": pd.Series([record.offset for record in found], dtype="int64"),
            "timestamp": pd.Series([record.timestamp for record in found], dtype="int64"),
            "key": pd.Series(_decoded(found, "key", key), dtype=object),
            "value": pd.Series(_decoded(found, "value", value), dtype=object),
            "headers": pd.Series([_headers(record) for record in found], dtype=object),
        }
    )
    frame["timestamp"] = frame["timestamp"].astype("datetime64[ms]").dt.tz_localize("UTC")
    return frame


def _decoded(found, part, decode):
    """The keys or the values, decoded; None stays None."""
    column = []
    try:
        for record in found:
            data = getattr(record, part)
            column.append(None if data is None else decode(data))
    except ValueError as error:
        wrong = found[len(column)]
        raise LabError(
            f"The {part} of offset {wrong.offset} in partition {wrong.partition} of {wrong.topic} cannot be decoded.",
            f"{type(error).__name__}: {error}",
            f"leave out {part}=, and look at what is there",
        ) from error
    return column


def _headers(record):
    return {name: None if data is None else text(data) for name, data in record.headers}
