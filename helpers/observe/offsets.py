"""Offsets of a topic's partitions: where the log begins and ends, and how far a group or a consumer is."""

import pandas as pd
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from ..lab import LabError
from .ask import DEADLINE, ask, bounds, check_name, no_answer, positions
from .groups import find_group


def offsets(lab, topic, group=None, consumer=None):
    """The offsets of a topic, one row a partition, by number.

    Columns, all Int64 and <NA> where there is none: partition, beginning (the first offset that is still kept),
    committed (by the group), position (the next offset that the consumer will read), end (the offset that the next
    record will get), lag (end - committed with a group, else end - position). Raises LabError for a topic or a group
    that does not exist, for a consumer closed before it had a position, and when no broker answers.
    """
    check_name(topic, "topic")
    if group is not None:
        check_name(group, "group")
    if consumer is not None and not isinstance(consumer, KafkaConsumer):
        raise LabError(f"consumer is {consumer!r}, and not a KafkaConsumer.", "", "pass the consumer itself")
    spans, committed = ask(lab, lambda admin: (bounds(admin, topic), _committed(admin, topic, group)))
    position = _positions(lab, consumer, spans)
    rows = [
        (place.partition, beginning, committed.get(place), position.get(place), end)
        for place, (beginning, end) in spans.items()
    ]
    frame = pd.DataFrame(rows, columns=["partition", "beginning", "committed", "position", "end"], dtype="Int64")
    frame["lag"] = frame["end"] - frame["position" if group is None else "committed"]
    return frame


def _committed(admin, topic, group):
    """{TopicPartition: offset} of what the group has committed; nothing without a group."""
    if group is None:
        return {}
    find_group(admin, group)
    found = admin.list_group_offsets({group: None})[group]
    return {place: one.offset for place, one in found.items() if place.topic == topic and one.offset >= 0}


def _positions(lab, consumer, places):
    """{TopicPartition: position} for those of the places that the consumer has; nothing without a consumer."""
    mine = sorted(consumer.assignment() & set(places)) if consumer else []
    if not mine:
        return {}
    try:
        consumer.position(mine[0], timeout_ms=DEADLINE * 1000)  # looks up every position that is not known yet
        return positions(consumer, mine)
    except KafkaError as error:
        raise no_answer(lab, error) from error
    except RuntimeError as error:  # what kafka-python raises
        raise LabError("The consumer is closed.", str(error), "ask before consumer.close()") from error
