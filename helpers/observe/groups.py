"""Consumer groups: their state, and who owns which partition."""

from itertools import groupby

import pandas as pd
from kafka import TopicPartition
from kafka.errors import CoordinatorNotAvailableError

from ..lab import LabError
from .ask import ask, check_name


def group_state(lab, group):
    """The state of a consumer group as a dict.

    state: "Empty" (no members), "PreparingRebalance", "CompletingRebalance" or "Stable" ("Assigning" and
    "Reconciling" with the consumer protocol); coordinator: the broker's node id; protocol: "classic", or "consumer"
    (KIP-848). Raises LabError for a group that does not exist and when no broker answers.
    """
    check_name(group, "group")
    return ask(lab, lambda admin: find_group(admin, group))


def find_group(admin, group):
    """What group_state returns. Each group is listed by one broker, its coordinator.

    While every broker is fenced, as the only one can be for a moment when the machine is busy, CoordinatorNotAvailable
    is raised, and ask() asks again.
    """
    awake = [broker for broker in admin.describe_cluster()["brokers"] if not broker.get("is_fenced")]
    if not awake:
        raise CoordinatorNotAvailableError("every broker is fenced")
    for broker in awake:
        for listed in admin.list_groups([broker["broker_id"]]):
            if listed["group_id"] == group:
                return {
                    "state": listed["group_state"],
                    "coordinator": broker["broker_id"],
                    "protocol": listed["group_type"],
                }
    raise LabError(
        f"There is no consumer group {group!r}.",
        "a group exists once a member has joined it, or committed an offset",
        "pass the full name that lab.group() returned; if its members were just started: team.wait(assigned=...)",
    )


def members(lab, group):
    """The members of a consumer group, one row for each member and topic, by member.

    Columns: member (its client_id), topic, partitions (list of int). A member that owns nothing has a row with topic
    None and no partitions. frame.attrs["state"] is the group's state; while it is not "Stable", nothing may be
    assigned yet. Raises LabError for a group that does not exist, for one with the protocol of KIP-848, which
    kafka-python cannot describe (dpkp/kafka-python#3000), and when no broker answers.
    """
    check_name(group, "group")
    described = ask(lab, lambda admin: _describe(admin, group))
    rows = sorted((row for member in described["members"] for row in _rows(member)), key=str)
    frame = pd.DataFrame(rows, columns=["member", "topic", "partitions"], dtype=object)
    frame.attrs["state"] = described["group_state"]
    return frame


def _describe(admin, group):
    if find_group(admin, group)["protocol"] == "consumer":
        raise LabError(
            f"The members of {group!r} cannot be seen from Python.",
            "the group uses the consumer protocol (KIP-848), which kafka-python does not speak",
            f"!kafka-consumer-groups --bootstrap-server {{lab.bootstrap}} --describe --members --group {group}",
        )
    return admin.describe_groups([group])[group]


def owned(member):
    """The TopicPartitions that a member owns, sorted. member: as KafkaAdminClient.describe_groups has it."""
    assigned = (member["member_assignment"] or {}).get("assigned_partitions", [])
    return sorted(TopicPartition(one["topic"], number) for one in assigned for number in one["partitions"])


def _rows(member):
    """(client_id, topic, partitions) for each topic that a member owns partitions of."""
    by_topic = groupby(owned(member), key=lambda place: place.topic)
    rows = [(member["client_id"], topic, [place.partition for place in places]) for topic, places in by_topic]
    return rows or [(member["client_id"], None, [])]
