"""The shop's topics, declared once: the table of the design document and the topics on the broker come from here."""

from dataclasses import dataclass

from kafka import KafkaConsumer, TopicPartition

from ..lab import LabError

DAY = 24 * 60 * 60 * 1000  # ms
DELAYS = {"1s": 1, "5s": 5, "30s": 30}  # of the retry topics, in seconds
RETRYING = ["payment", "shipping", "data-platform"]  # groups that call somebody else; where order per key matters none
GROUPS = [
    "order-saga",
    "balance",
    "stock",
    "coupon",
    "payment",
    "shipping",
    "data-platform",
    "projection",
    "sales-rank",
]


@dataclass(frozen=True)
class Topic:
    """One topic, its name without the chapter's prefix."""

    name: str
    key: str
    kept: str  # days, or "compact"
    writes: str
    reads: str  # consumer groups
    partitions: int = 6

    @property
    def readers(self):
        """The consumer groups, as a list."""
        return self.reads.split(", ")

    @property
    def configs(self):
        """Its settings on the broker."""
        if self.kept == "compact":
            return {"cleanup.policy": "compact"}
        return {"retention.ms": str(int(self.kept.split()[0]) * DAY)}


def _retry(group):
    return [
        *(Topic(f"{group}.retry.{delay}", "as before", "3 days", group, group) for delay in DELAYS),
        Topic(f"{group}.dlq", "as before", "30 days", group, "operator"),
    ]


TOPICS = [
    Topic("shop.order.event", "orderId", "14 days", "order relay", "projection, sales-rank, shipping, data-platform"),
    Topic("shop.balance.command", "userId", "7 days", "order relay (charges too)", "balance"),
    Topic("shop.stock.command", "productId", "7 days", "order relay", "stock"),
    Topic("shop.coupon.command", "couponId", "7 days", "order relay (claims too)", "coupon"),
    Topic("shop.payment.command", "orderId", "7 days", "order relay", "payment"),
    Topic("shop.saga.reply", "orderId or claimId", "7 days", "the relay of each service", "order-saga"),
    Topic("shop.user.balance", "userId", "compact", "balance relay", "projection"),
    Topic("shop.product.sold", "productId", "14 days", "sales-rank", "any (read_committed)"),
    *(topic for group in RETRYING for topic in _retry(group)),
    *(Topic(f"{group}.dlq", "as before", "30 days", group, "operator") for group in GROUPS if group not in RETRYING),
]


def with_retries(groups):
    """The declared topics, and retry topics for these groups, which should have none."""
    return TOPICS + [topic for group in groups for topic in _retry(group) if not topic.name.endswith(".dlq")]


def declared(name, topics=TOPICS):
    """The declaration of this topic."""
    return next(topic for topic in topics if topic.name == name)


def create(lab, topics=TOPICS):
    """Creates all topics of the shop, empty; older ones of the same names are deleted."""
    lab.need_broker()
    names = [lab.name(topic.name) for topic in topics]
    lab._delete_topics(names)
    wanted = {
        lab.name(topic.name): {
            "num_partitions": topic.partitions,
            "replication_factor": 1,
            "configs": topic.configs,
        }
        for topic in topics
    }
    lab.admin.create_topics(wanted, wait_for_metadata=True)


def table():
    """The declared topics as a DataFrame: topic, key, partitions, kept, writes, reads."""
    import pandas as pd  # here, because the services do not need it, and it takes a second

    return pd.DataFrame(
        [(t.name, t.key, t.partitions, t.kept, t.writes, t.reads) for t in TOPICS],
        columns=["topic", "key", "partitions", "kept", "written by", "read by group"],
    )


def drift(lab):
    """Where the broker and the declaration differ, as a DataFrame: topic, setting, declared, broker. Empty is good."""
    import pandas as pd

    names = {lab.name(topic.name): topic for topic in TOPICS}
    described = {t["name"]: t for t in lab.admin.describe_topics(sorted(set(names) & set(lab.admin.list_topics())))}
    rows = []
    for name, topic in names.items():
        if name not in described:
            rows.append((topic.name, "exists", "yes", "no"))
            continue
        found = len(described[name]["partitions"])
        if found != topic.partitions:
            rows.append((topic.name, "partitions", str(topic.partitions), str(found)))
    rows += _other_settings(lab, {name: topic for name, topic in names.items() if name in described})
    return pd.DataFrame(rows, columns=["topic", "setting", "declared", "broker"])


def _other_settings(lab, topics):
    from kafka.admin import ConfigResource, ConfigResourceType

    answers = lab.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in topics])
    found = answers[ConfigResourceType.TOPIC.name.lower()] if isinstance(answers, dict) else answers
    for name, topic in topics.items():
        for setting, declared in topic.configs.items():
            broker = _value(found[name].get(setting, "the default"))
            if broker != declared:
                yield topic.name, setting, declared, broker


def _value(config):
    return config["value"] if isinstance(config, dict) else str(config)


def read(lab, *names):
    """Yields every record that is in these topics now, by topic, partition and offset; without names of all topics.

    A name may have the chapter's prefix. Raises LabError for a topic that does not exist. Reads with read_committed, so
    that records of aborted transactions are left out.
    """
    names = names or [topic.name for topic in TOPICS]
    topics = sorted(name if name.startswith(lab.prefix) else lab.name(name) for name in names)
    if unknown := sorted(set(topics) - set(lab.admin.list_topics())):
        raise LabError(f"There is no topic {unknown[0]}.", "", "topics.table() lists the shop's topics")
    with KafkaConsumer(
        **lab.client, enable_auto_commit=False, isolation_level="read_committed", check_crcs=False
    ) as consumer:
        places = [TopicPartition(topic, p) for topic in topics for p in sorted(consumer.partitions_for_topic(topic))]
        begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
        for place in places:
            if begins[place] < ends[place]:
                yield from _read_partition(consumer, place, ends[place])


def _read_partition(consumer, place, end):
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    while consumer.position(place) < end:
        batch = consumer.poll(5000, max_records=5000)
        if not batch and consumer.position(place) < end:
            raise LabError(f"{place.topic}[{place.partition}] cannot be read to its end.", "", "run the cell again")
        yield from batch.get(place, [])
