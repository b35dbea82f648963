"""What checkers ask of the broker, and what exercises put into it beforehand."""

import time
from collections.abc import Iterable
from contextlib import closing

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.partitioner import murmur2
from kafka.structs import OffsetAndMetadata

from .. import observe
from ..observe.ask import ask
from ..observe.groups import owned
from .exercise import Incorrect, NotAttempted

PATIENCE = 6  # seconds for what a group at work does by itself: auto commit comes every five
START = 20  # seconds for processes to start and to join: on a busy machine each takes some
UNSENT = "if you have sent some: `topic` holds the full name, and flush() or close() waits until they have arrived"


def alone(make):
    """What prepares an exercise, after every process that was started on the lab is ended."""

    def prepare(lab):
        lab.end_started()  # who still runs would join the exercise's group again, and write into its new topics
        make(lab)

    return prepare


def eventually(look, settled=bool, seconds=PATIENCE):
    """What look() returns as soon as it is settled, or after these seconds."""
    until = time.monotonic() + seconds
    while not settled(found := look()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def records(lab, topic, committed_only=False):
    """What observe.records returns; raises NotAttempted while the topic does not exist."""
    if topic not in ask(lab, lambda admin: admin.list_topics()):
        raise NotAttempted(f"there is no topic {topic}: run the cell with practice.task first")
    return observe.records(lab, topic, committed_only)


def ends(lab, topic):
    """{partition: end offset}."""
    return {int(row.partition): int(row.end) for row in observe.offsets(lab, topic).itertuples()}


def committed(lab, topic, group):
    """{partition: the offset that the group has committed}, without those where it has committed none."""
    found = ask(lab, lambda admin: admin.list_group_offsets({group: None})[group])
    return {place.partition: one.offset for place, one in sorted(found.items()) if place.topic == topic}


def members(lab, group):
    """(state, [(client_id, its TopicPartitions, member_id)]) of a group, as its coordinator has it."""
    described = ask(lab, lambda admin: admin.describe_groups([group])[group])
    found = [(member["client_id"], owned(member), member["member_id"]) for member in described["members"]]
    return described["group_state"], sorted(found)


def other_topics(lab, group, topic):
    """The topics of which the members of a group own partitions, without this one."""
    return sorted(set(observe.members(lab, group)["topic"].dropna()) - {topic})


def check_team(lab, team, name):
    """Raises Incorrect unless team is a team of this exercise's group."""
    right = f'team = actors.start(..., group="{name}")'
    if not all(hasattr(team, name) for name in ("add", "kill", "stop", "timeline")):
        raise Incorrect(f"team is {short(team)}", "what actors.start returned", right)
    if team.group != lab.name(name):
        raise Incorrect(f"the group of team is {team.group}", lab.name(name), right)


def check_group_id(team):
    """Raises Incorrect for a team with a consumer of another group, or of none."""
    told = team.timeline()
    if other := [detail["group"] for detail in told[told["event"] == "astray"]["detail"]]:
        raise Incorrect(f"the group_id of a consumer is {other[-1]!r}", team.group, "group_id=me.group")


def check_watched(team):
    """Raises Incorrect for members of a group in whose loops nobody can look: then nothing is known of them."""
    if not team.count("joining"):
        raise Incorrect(
            "the members tell nothing of what they do",
            "a loop that can be watched",
            "for record in me.records(consumer), or me.follow(consumer) before the first poll() of your own loop",
        )


def without_prefix(lab, topic, name):
    """What to add for a learner who has committed as the group called name, and not as lab.name(name); else ""."""
    if name == lab.name(name) or not committed(lab, topic, name):
        return ""
    return f"the group {name} has committed, but the exercise's group is {lab.name(name)}: lab.name({name!r})"


def partition_of(key, partitions):
    """The partition that the default partitioner gives a key, text or bytes (Kafka's murmur2)."""
    return (murmur2(key if isinstance(key, bytes) else key.encode()) & 0x7FFFFFFF) % partitions


def send(lab, topic, rows):
    """Sends rows of KafkaProducer.send's arguments, and returns when all have arrived."""
    with closing(KafkaProducer(**lab.client)) as producer:
        sent = [producer.send(topic, **row) for row in rows]
        producer.flush()
        for one in sent:
            one.get(timeout=10)


def commit(lab, topic, group, offsets):
    """Commits {partition: offset} as the group."""
    with closing(KafkaConsumer(group_id=group, enable_auto_commit=False, **lab.client)) as consumer:
        places = {TopicPartition(topic, number): offset for number, offset in offsets.items()}
        consumer.assign(list(places))
        consumer.commit({place: OffsetAndMetadata(offset, "", -1) for place, offset in places.items()})


class ReadToEnd(KafkaConsumer):
    """A consumer for a learner's function: a loop over it ends where the log ended when the checker began."""

    def __init__(self, lab, topic, **settings):
        super().__init__(**settings, **lab.client)
        self.ends = {TopicPartition(topic, number): end for number, end in ends(lab, topic).items()}
        self.handed_out = set()  # (partition, offset)

    def subscribe(self, *arguments, **settings):
        raise RuntimeError("this consumer gets its partitions by assign(), not by subscribe()")

    def poll(self, *arguments, **settings):
        polled = super().poll(*arguments, **settings)
        self.handed_out |= {(record.partition, record.offset) for some in polled.values() for record in some}
        return polled

    def __next__(self):
        places = self.assignment()
        if not places:
            raise RuntimeError("this consumer has no partitions yet: assign() gives it some")
        if all(self.position(place) >= self.ends.get(place, 0) for place in places - self.paused()):
            raise StopIteration
        return super().__next__()


def listed(items):
    """ "a, b, c", each at most 40 characters long, and how many more after five; quoted if it cannot be printed."""
    items = [text if text.isprintable() else repr(text) for text in map(str, items)]
    items = [text if len(text) <= 40 else text[:37] + "..." for text in items]
    return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def short(answer):
    """A learner's answer on one line, 200 characters at most."""
    text = " ".join(repr(answer).split())
    return text if len(text) <= 200 else text[:197] + "..."


def lost_or_twice(expected, found):
    """What is wrong with the values in a log, in words; "" when each expected one is there once and nothing else."""
    found, expected = list(found), list(expected)
    missing = [value for value in expected if value not in found]
    twice = [value for value in expected if found.count(value) > 1]
    foreign = sorted({str(value) for value in found if value not in expected})
    said = {"missing": missing, "more than once": twice, "not asked for": foreign}
    return "; ".join(f"{words}: {listed(values)}" for words, values in said.items() if values)


def ran_again(expected, found):
    """Whether exactly the expected values are in a log, some more than once: the learner's cell ran twice."""
    return len(found) > len(expected) and set(found) == set(expected)


def check_sorted_list(found, right, asked, why):
    """Raises Incorrect unless found, the answer to what was asked, is right: a sorted list of texts."""
    if isinstance(found, list) and found == right:
        return
    advice = why
    if found is None:
        advice = "is there a return?"
    elif isinstance(found, Iterable) and sorted(map(str, found)) == right:  # a set, a Series, or not sorted
        advice = "the names are right: a sorted list of them"
    raise Incorrect(f"{asked} is {short(found)}", f"{right}", advice)
