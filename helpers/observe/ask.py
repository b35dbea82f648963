"""Asking the cluster within a deadline, and saying in one message why there is no answer."""

import re
import time

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    BrokerResponseError,
    KafkaError,
    LeaderNotAvailableError,
    UnknownBrokerIdError,
    UnknownTopicOrPartitionError,
    for_code,
)

from ..lab import Lab, LabError, course

DEADLINE = 4  # seconds without an answer, then LabError
LAST = 1  # of them for a second question: the first may be lost, or slept through with the lid of the laptop shut
GRACE = 0.5  # seconds until every broker knows a topic that was just created
PAUSE = 0.05  # seconds between two questions


def ask(lab, question):
    """Returns question(admin), asked again while a leader or coordinator is being elected. Raises LabError.

    The admin client is a new one: its deadlines are short, and it holds no old view of the cluster. There is always a
    second question. What a broker said tells more than a last question that ran out of time.
    """
    check_lab(lab)
    until, told, left = time.monotonic() + DEADLINE, None, DEADLINE - LAST
    while True:
        try:
            with KafkaAdminClient(**settings(lab, int(left * 1000))) as admin:
                return question(admin)
        except KafkaError as error:
            again = error.retriable or isinstance(error, UnknownBrokerIdError)  # a broker that has just come or gone
            second = told is not None
            told = error if told is None or isinstance(error, BrokerResponseError) else told
            if not again or (second and time.monotonic() + PAUSE > until):
                raise no_answer(lab, told if again else error) from error
        time.sleep(PAUSE)
        left = max(until - time.monotonic(), LAST)


def settings(lab, milliseconds=DEADLINE * 1000):
    """The settings of a client that waits no longer than this for any one answer."""
    return {
        **lab.client,
        "client_id": "observe",
        "bootstrap_timeout_ms": milliseconds,
        "request_timeout_ms": milliseconds,
    }


def partitions(admin, topic):
    """What the metadata say of the topic's partitions, a list of dicts by number. LabError without such a topic."""
    until = time.monotonic() + GRACE
    while (described := admin.describe_topics([topic])[0])["error_code"]:
        error = for_code(described["error_code"])
        if error is not UnknownTopicOrPartitionError or time.monotonic() > until:
            raise LabError(
                f"There is no topic {topic!r}.",
                f"it was never created, or it has been deleted ({error.__name__})",
                "pass the full name that lab.topic() returned; observe.topics(lab) lists them",
            )
        time.sleep(PAUSE)
    return sorted(described["partitions"], key=lambda partition: partition["partition_index"])


def bounds(admin, topic, isolation="read_uncommitted"):
    """{TopicPartition: (beginning offset, end offset)}, by partition.

    With read_committed the end is the last stable offset. While a partition has no leader,
    LeaderNotAvailableError is raised, and ask() asks again.
    """
    found = partitions(admin, topic)
    orphans = [partition["partition_index"] for partition in found if partition["leader_id"] == -1]
    if orphans:
        raise LeaderNotAvailableError(f"no leader for partition {orphans} of {topic}")
    places = [TopicPartition(topic, partition["partition_index"]) for partition in found]
    first = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    last = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST), isolation)
    return {place: (first[place].offset, last[place].offset) for place in places}


def positions(consumer, places):
    """{TopicPartition: the consumer's position}, without those that have none yet.

    consumer.position() looks at every partition each time it is called: of a thousand partitions that takes seconds.
    """
    states = consumer._subscription.assignment
    found = {place: states[place].position for place in places if place in states}
    return {place: position.offset for place, position in found.items() if position is not None}


def check_lab(lab):
    """Raises LabError unless lab is a Lab whose broker accepts a connection."""
    if not isinstance(lab, Lab):
        raise LabError(f"The first argument is {lab!r}, and not the lab.", "", "pass lab = open_lab(...)")
    lab.need_broker()


def check_name(name, what):
    """Raises LabError unless name may be the name of a topic or a group; what is "topic" or "group".

    The rule for topics is Kafka's. It is checked here, because kafka-python waits for ever for the answer to a request
    whose text cannot be encoded.
    """
    rule = r"[a-zA-Z0-9._-]{1,249}" if what == "topic" else r"(?s).+"
    if not isinstance(name, str) or not re.fullmatch(rule, name):
        raise LabError(
            f"{name!r} is no name of a {what}.",
            "the cell that makes it has not run, or another variable was meant",
            f"pass the full name that lab.{what}() returned",
        )


def no_answer(lab, error):
    """The LabError for an error of the client."""
    return LabError(f"Kafka at {lab.bootstrap} did not answer the question.", str(error), course("doctor"))
