"""Topics, and where the replicas of their partitions are."""

import pandas as pd
from kafka.admin import ConfigResource

from .ask import ask, bounds, check_name, partitions


def topics(lab):
    """This chapter's topics, one row each, by name; Kafka's internal topics are not among them.

    Columns: topic (full name), partitions, replication (copies of each record), records (end offsets minus beginning
    offsets; compaction and transactions leave gaps, so there may be fewer), configs (dict of the settings made on the
    topic itself). Raises LabError when no broker answers.
    """
    columns = ["topic", "partitions", "replication", "records", "configs"]
    return pd.DataFrame(ask(lab, lambda admin: _topics(admin, lab.prefix)), columns=columns)


def _topics(admin, prefix):
    names = sorted(name for name in admin.list_topics() if name.startswith(prefix))
    configs = admin.describe_configs([ConfigResource("topic", name) for name in names])["topic"] if names else {}
    return [_topic(admin, name, configs[name]) for name in names]


def _topic(admin, name, configs):
    found = partitions(admin, name)
    records = sum(end - beginning for beginning, end in bounds(admin, name).values())
    own = {key: config["value"] for key, config in configs.items() if config["config_source"] == "DYNAMIC_TOPIC_CONFIG"}
    return name, len(found), len(found[0]["replica_nodes"]), records, own


def replicas(lab, topic):
    """The replicas of a topic, one row each, by partition and broker.

    Columns: partition, broker (its node id), leader and in_sync (whether the broker leads the partition, and whether
    it is in the ISR), as the brokers' metadata say. Raises LabError for a topic that does not exist and when no broker
    answers.
    """
    check_name(topic, "topic")
    rows = [
        (p["partition_index"], broker, broker == p["leader_id"], broker in p["isr_nodes"])
        for p in ask(lab, lambda admin: partitions(admin, topic))
        for broker in sorted(p["replica_nodes"])
    ]
    return pd.DataFrame(rows, columns=["partition", "broker", "leader", "in_sync"])
