"""What a notebook opens first: a broker, and topics and groups of its own."""

import atexit
import os
import re
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import MemberToRemove, OffsetSpec
from kafka.errors import (
    InvalidConfigurationError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    InvalidTopicError,
    KafkaError,
    PolicyViolationError,
    UnknownBrokerIdError,
)

from . import broker
from .broker import LabError, course

DEADLINE = 20  # seconds, for every wait here
SESSION = 45  # seconds: session_timeout_ms of kafka-python
SILENT = 5  # seconds, after which a wait for somebody dead says so
DEAD_MEMBERS = f"Waiting: members that were killed keep their places in {{}} for some seconds, at most {SESSION}."

_open = None


@dataclass
class Lab:
    """A broker, and the names of one learner in one chapter."""

    kind: str  # "embedded", "compose" or "external"
    client: dict  # settings for every Kafka client: KafkaProducer(**lab.client)
    prefix: str  # in front of every topic and group of this chapter
    admin: KafkaAdminClient
    at_close: list = field(default_factory=list)  # what ends with the lab: functions without arguments

    @property
    def bootstrap(self):
        """The bootstrap address, for the command line tools."""
        return self.client["bootstrap_servers"]

    def need_broker(self):
        """Raises LabError when none of the addresses accepts a connection."""
        if len(broker.reasons_unreachable(self.bootstrap)) == len(self.bootstrap.split(",")):
            raise LabError(
                f"No broker listens on {self.bootstrap}.",
                "it was stopped or killed",
                "lab.start_broker(), which keeps its data; then run this cell again"
                if self.kind == "embedded"
                else "start it, then run this cell again",
            )

    def name(self, name):
        """The full name of this chapter's topic or group; nothing is created."""
        return self.prefix + name

    def topic(self, name, partitions=1, replication=1, **configs):
        """Creates the topic, empty and ready, and returns its full name; an older one of that name is deleted.

        configs are topic settings with _ for the dots: cleanup_policy="compact".
        Raises LabError for what Kafka refuses.
        """
        self.need_broker()
        topic = self.name(name)
        if not isinstance(partitions, int) or partitions < 1:
            raise LabError(f"partitions is {partitions!r}.", "", f"lab.topic({name!r}, partitions=3)")
        self._delete_topics([topic])
        settings = {key.replace("_", "."): str(value) for key, value in configs.items()}
        wanted = {"num_partitions": partitions, "replication_factor": replication, "configs": settings}
        wait_until(lambda: patiently(self._create, topic, wanted), f"{topic} to be created")
        places = {TopicPartition(topic, number): OffsetSpec.LATEST for number in range(partitions)}
        wait_until(lambda: patiently(self.admin.list_partition_offsets, places), f"the leaders of {topic}")
        return topic

    def group(self, name):
        """Returns the full name of a consumer group that has no members and no committed offsets."""
        self.need_broker()
        group = self.name(name)
        gone = partial(patiently, self._group_is_gone, group)
        wait_until(gone, f"group {group} to be deleted", SESSION + DEADLINE, DEAD_MEMBERS.format(group))
        return group

    def log_folder(self, topic, partition):
        """The folder where the leader keeps the partition's segments; None if the broker's disk is not to be seen."""
        if self.kind != "embedded":
            return None
        [described] = self.admin.describe_topics([topic])
        [leader] = [p["leader_id"] for p in described["partitions"] if p["partition_index"] == partition]
        return broker.log_folder(broker.find(self._own_brokers()), leader, topic, partition)

    def kill_broker(self, node_id=1):
        """kill -9 on a broker of this lab. Raises LabError where the broker is not the course's own."""
        broker.kill(node_id, self._own_brokers())

    def start_broker(self):
        """Starts the brokers of this lab that do not run, on their data, and connects again: lab.client tells where."""
        cluster = broker.start(self._own_brokers(), say=lambda line: None)
        if cluster.bootstrap != self.bootstrap:
            print(f"Another program took the port: now {cluster.bootstrap}. Clients made before do not find it.")
        self.client["bootstrap_servers"] = cluster.bootstrap
        self.admin.close()
        self.admin = _admin(self.client, self.prefix)

    def _own_brokers(self):
        if self.kind != "embedded":
            raise LabError(
                "Only the course's own broker can be killed and started from a notebook.",
                f"this lab runs on another Kafka ({self.kind})",
                "unset KAFKA_BOOTSTRAP_SERVERS, and stop the broker in Docker: the course then starts its own",
            )
        return len(self.bootstrap.split(","))

    def reset(self):
        """Deletes every topic and group of this chapter."""
        self._delete_topics([topic for topic in self.admin.list_topics() if topic.startswith(self.prefix)])
        gone, line = partial(patiently, self._no_group_is_left), DEAD_MEMBERS.format("a group")
        wait_until(gone, "the groups to be deleted", SESSION + DEADLINE, line)

    def end_started(self):
        """Ends every process that was started on this lab; safe to call twice."""
        for end in self.at_close:
            end()

    def close(self):
        """Ends what was started on this lab, and closes its connection; safe to call twice."""
        self.end_started()
        self.admin.close()

    def _create(self, topic, wanted):
        """Creates the topic, unless an attempt before has, whose answer was lost. Raises LabError for bad settings."""
        if topic not in self.admin.list_topics():
            try:
                self.admin.create_topics({topic: wanted}, wait_for_metadata=True)
            except (
                InvalidConfigurationError,
                InvalidPartitionsError,
                InvalidTopicError,
                PolicyViolationError,
            ) as error:
                why = re.search(r"error_message=(['\"])(.*?)\1", str(error))
                right = 'lab.topic("orders", partitions=3, cleanup_policy="compact")'
                raise LabError(f"{topic} cannot be created.", why[2] if why else str(error), right) from None
        return True

    def _delete_topics(self, topics):
        """Deletes those that exist and waits until the broker has forgotten them."""
        present = set(topics) & set(self.admin.list_topics())
        if present:
            self.admin.delete_topics(sorted(present), raise_errors=False)
            wait_until(lambda: not present & set(self.admin.list_topics()), f"topics {sorted(present)} to be deleted")

    def _no_group_is_left(self):
        mine = [group for group in self._groups() if group.startswith(self.prefix)]
        return all([self._group_is_gone(group) for group in mine])

    def _group_is_gone(self, group):
        """Deletes it if it exists; members that a killed kernel left behind are removed first.

        One that was killed while it joined others has no id yet to remove it by, and one of the consumer protocol
        (KIP-848) is not removed: the coordinator waits for it as long as its session lasts, 45 s by default.
        """
        if group not in self._groups():
            return True
        members = self.admin.describe_groups([group])[group]["members"]
        if members:
            self.admin.remove_group_members(group, [MemberToRemove(member_id=m["member_id"]) for m in members])
        self.admin.delete_groups([group])
        return False

    def _groups(self):
        return [group["group_id"] for group in self.admin.list_groups()]


def patiently(question, *arguments):
    """What question(*arguments) returns, or False when a broker answers that it is not ready yet."""
    try:
        return question(*arguments)
    except UnknownBrokerIdError:  # a leader is still being elected
        return False
    except InvalidReplicationFactorError as error:  # a busy broker's session has run out for a moment
        if "fenced" not in str(error):
            raise
        return False
    except KafkaError as error:
        if not error.retriable:
            raise
        return False


def wait_until(condition, what, deadline=DEADLINE, line=""):
    """Waits until condition() is true, at most deadline seconds; prints the line, if there is one, when it takes long.

    Raises LabError that names what was waited for.
    """
    begin = time.monotonic()
    while not condition():
        if line and time.monotonic() > begin + SILENT:
            print(line)
            line = ""
        if time.monotonic() > begin + deadline:
            again = "   (all OK? A cell ran twice, or out of order: Restart Kernel and Run All Cells)"
            raise LabError(f"Waited {deadline} s for {what}, in vain.", "", course("doctor") + again)
        time.sleep(0.02)


def open_lab(chapter, brokers=1):
    """Finds or starts a broker, empties this chapter's topics and groups, and says in one line which broker it is.

    Safe to call again: the lab that was open in this kernel is closed first. Raises LabError when there is no broker
    to be had.
    """
    global _open
    if not re.fullmatch(r"[a-z]+", chapter):
        raise LabError(
            f"{chapter!r} is no chapter name.", "it goes in front of topic names", "use lower-case letters only"
        )
    _tools_on_path()
    chosen = broker.choose_broker(brokers)
    prefix = _learner(chosen.kind) + chapter + "-"
    lab = Lab(chosen.kind, chosen.client, prefix, _admin(chosen.client, prefix))
    again = _open is not None and _open.prefix == prefix
    if _open:
        _open.close()  # first: whoever still reads this chapter's topics would join its groups again
    _open = lab
    lab.reset()
    print(chosen.line)
    if again:
        print("Opened again: all topics and groups of this chapter are gone. Run the cells below again too.")
    return _open


def _admin(client, prefix):
    """The lab's own connection. Raises LabError when the broker does not answer, a paused one say."""
    try:
        return KafkaAdminClient(
            **client, client_id=f"{prefix}lab", bootstrap_timeout_ms=4000, reconnect_backoff_max_ms=500
        )
    except KafkaError as error:
        raise LabError(
            f"The broker at {client['bootstrap_servers']} runs, but does not answer.",
            f"{type(error).__name__}: {error}",
            course("stop") + "   (then run this cell again; data is kept)",
        ) from error


def _learner(kind):
    """ "ada." for KAFKA_COURSE_LEARNER=ada; on a broker of one's own nothing is needed."""
    learner = os.environ.get("KAFKA_COURSE_LEARNER", "")
    if not learner and kind == "external":
        raise LabError(
            "This Kafka may be shared, so your topics need a name of yours.",
            "KAFKA_BOOTSTRAP_SERVERS is set and KAFKA_COURSE_LEARNER is not",
            "export KAFKA_COURSE_LEARNER=ada   (a name that nobody else here has), and start JupyterLab again",
        )
    if learner and not re.fullmatch(r"[A-Za-z0-9]+", learner):
        raise LabError(
            f"KAFKA_COURSE_LEARNER={learner} is no name for a topic.",
            "",
            "use letters and digits only, for example ada",
        )
    return learner and learner + "."


def _tools_on_path():
    """Lets !kafka-topics be found, also where JupyterLab was started without activating the environment."""
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]


@atexit.register
def _close():
    if _open:
        _open.close()
