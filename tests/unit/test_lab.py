"""open_lab, topic and group, against a real broker."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from IPython.core.interactiveshell import InteractiveShell
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import (
    CoordinatorLoadInProgressError,
    InvalidReplicationFactorError,
    TopicAuthorizationFailedError,
)
from kafka.structs import OffsetAndMetadata

from helpers.broker import LabError, embedded, places
from helpers.broker.settings import as_properties, server_properties
from helpers.lab import DEAD_MEMBERS, SILENT, open_lab, patiently, wait_until
from tests.unit import SOON


@pytest.fixture
def lab(module_home, capsys):
    lab = open_lab("testing")
    capsys.readouterr()
    yield lab
    lab.close()


def end_offset(lab, topic):
    consumer = KafkaConsumer(**lab.client)
    place = TopicPartition(topic, 0)
    end = consumer.end_offsets([place])[place]
    consumer.close()
    return end


def send(lab, topic):
    producer = KafkaProducer(**lab.client)
    producer.send(topic, b"x").get(timeout=10)
    producer.close()


def test_it_says_which_broker_it_took_and_that_it_was_open_before(lab, capsys):
    line = f"Kafka {places.kafka_version()}, embedded, 1 broker\n"
    open_lab("announced")
    assert capsys.readouterr().out == line
    open_lab("announced").close()
    assert capsys.readouterr().out.startswith(line + "Opened again: all topics and groups of this chapter are gone.")


def test_a_topic_is_created_empty_and_ready_each_time(lab):
    for _ in range(3):
        topic = lab.topic("orders")
        assert topic == "testing-orders"
        assert end_offset(lab, topic) == 0
        send(lab, topic)
        assert end_offset(lab, topic) == 1


def test_a_topic_has_the_settings_asked_for(lab):
    topic = lab.topic("compacted", partitions=3, cleanup_policy="compact")
    [described] = lab.admin.describe_topics([topic])
    assert len(described["partitions"]) == 3
    settings = lab.admin.describe_configs([ConfigResource("topic", topic)])["topic"][topic]
    assert settings["cleanup.policy"]["value"] == "compact"


def test_opening_again_empties_this_chapter_and_no_other(lab):
    mine, group = lab.topic("orders"), lab.group("billing")
    consumer = KafkaConsumer(mine, group_id=group, auto_offset_reset="earliest", **lab.client)
    consumer.partitions_for_topic(mine)  # a leader that does not know them yet assigns nobody anything
    wait_until(lambda: consumer.poll(100) == {} and consumer.assignment(), "the assignment")
    other = open_lab("elsewhere").topic("orders")
    again = open_lab("testing")  # the consumer is still a member: a killed kernel leaves such ghosts
    assert mine not in again.admin.list_topics()
    assert other in again.admin.list_topics()
    assert group not in [g["group_id"] for g in again.admin.list_groups()]
    consumer.close()


def test_a_group_starts_without_members_and_offsets(lab):
    topic, group = lab.topic("orders"), lab.group("billing")
    consumer = KafkaConsumer(
        topic, group_id=group, auto_offset_reset="earliest", consumer_timeout_ms=3000, **lab.client
    )
    send(lab, topic)
    next(consumer)
    consumer.commit()
    assert lab.group("billing") == group
    assert group not in [g["group_id"] for g in lab.admin.list_groups()]
    consumer.close()


DIES_AS_A_MEMBER = """
import json, os, sys
from confluent_kafka import Consumer

consumer = Consumer(json.loads(sys.argv[2]))
consumer.subscribe([sys.argv[1]])
while not consumer.assignment():
    consumer.poll(0.1)
os._exit(0)
"""


def test_a_wait_for_a_dead_member_of_the_consumer_protocol_says_so(lab, capsys):
    topic, group = lab.topic("orders"), lab.group("billing")
    names = {"bootstrap.servers": lab.bootstrap, "group.id": group, "group.protocol": "consumer"}
    subprocess.run([sys.executable, "-c", DIES_AS_A_MEMBER, topic, json.dumps(names)], check=True, timeout=30)
    began = time.monotonic()
    lab.group("billing")
    assert capsys.readouterr().out == f"{DEAD_MEMBERS.format(group)}\n"
    assert SILENT < time.monotonic() - began < 20


def test_the_segments_can_be_seen(lab):
    topic = lab.topic("orders", partitions=2)
    assert (lab.log_folder(topic, 1) / "00000000000000000000.log").exists()


def test_a_broker_killed_between_two_cells_comes_back_with_the_lab(lab):
    os.kill(embedded.find().nodes[0].pid, signal.SIGKILL)
    assert open_lab("testing").topic("orders") == "testing-orders"


def test_a_broker_can_be_killed_and_started_from_a_notebook(lab):
    topic = lab.topic("orders")
    send(lab, topic)
    lab.kill_broker()
    lab.start_broker()
    assert topic in lab.admin.list_topics()
    assert end_offset(lab, topic) == 1


def test_a_broker_that_comes_back_on_another_port_says_so(lab, capsys):
    address = lab.bootstrap
    lab.kill_broker()
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        lab.start_broker()
    assert lab.bootstrap != address
    assert f"now {lab.bootstrap}. Clients made before do not find it." in capsys.readouterr().out


def test_anybody_elses_broker_is_not_killed(lab, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", lab.bootstrap)
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "ada")
    with pytest.raises(LabError, match="Only the course's own broker"):
        open_lab("testing").kill_broker()


@pytest.mark.parametrize("chapter", ["", "Two Words", "a-b", "09"])
def test_a_chapter_name_that_is_no_prefix_is_refused(home, chapter):
    with pytest.raises(LabError, match="is no chapter name"):
        open_lab(chapter)


def test_a_shared_cluster_needs_the_learners_name(lab, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", lab.bootstrap)
    monkeypatch.delenv("KAFKA_COURSE_LEARNER", raising=False)
    with pytest.raises(LabError, match="need a name of yours"):
        open_lab("testing")
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "ada")
    shared = open_lab("testing")
    assert shared.kind == "external"
    assert shared.topic("orders") == "ada.testing-orders"
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "not a name")
    with pytest.raises(LabError, match="is no name for a topic"):
        open_lab("testing")


def test_security_settings_come_from_the_environment(lab, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", lab.bootstrap)
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "ada")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    assert open_lab("testing").client == {"bootstrap_servers": lab.bootstrap, "security_protocol": "PLAINTEXT"}


def with_passwords(node_id, ports, controller_ports):
    """server_properties of a broker that lets in who knows a password."""
    text = as_properties(server_properties(node_id, ports, controller_ports)).replace("PLAINTEXT://", "CLIENTS://")
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    return dict(line.split("=", 1) for line in text.splitlines()) | {
        "listener.security.protocol.map": "CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": f'{login} username="ada" password="tea" user_ada="tea";',
    }


def test_a_secured_cluster_lets_in_who_has_the_password(home, monkeypatch):
    monkeypatch.setattr(embedded, "server_properties", with_passwords)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", embedded.start().bootstrap)
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "PLAIN")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "ada")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "coffee")
    monkeypatch.setenv("KAFKA_COURSE_LEARNER", "ada")
    start = time.monotonic()
    with pytest.raises(LabError, match="No Kafka answers at KAFKA_BOOTSTRAP_SERVERS"):
        open_lab("testing")
    assert time.monotonic() - start < SOON
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "tea")
    lab = open_lab("testing")
    topic = lab.topic("secret")
    send(lab, topic)
    assert end_offset(lab, topic) == 1
    lab.close()


@pytest.mark.parametrize("answers", [[True, True, False], [False, True, True, False]], ids=["loads", "begins to load"])
def test_a_coordinator_that_still_loads_is_asked_again(lab, monkeypatch, answers):
    group, topic, loads = lab.group("billing"), lab.topic("orders"), iter(answers)
    consumer = KafkaConsumer(group_id=group, **lab.client)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(0, "", -1)})
    consumer.close()
    real = lab.admin.list_groups

    def list_groups():
        if next(loads, False):
            raise CoordinatorLoadInProgressError
        return real()

    monkeypatch.setattr(lab.admin, "list_groups", list_groups)
    lab.reset()
    assert group not in [one["group_id"] for one in real()]
    assert next(loads, None) is None, "the error came"


def test_another_error_is_not_waited_for():
    def refuse():
        raise TopicAuthorizationFailedError

    with pytest.raises(TopicAuthorizationFailedError):
        patiently(refuse)


def test_a_wait_in_vain_names_what_it_waited_for():
    with pytest.raises(LabError, match=r"Waited 0.1 s for the moon, in vain"):
        wait_until(lambda: False, "the moon", deadline=0.1)


def test_a_notebook_shows_the_message_without_a_traceback(capsys):
    shell = InteractiveShell.instance()
    shell.run_cell("from helpers.lab import open_lab; open_lab('not a chapter')")
    shown = capsys.readouterr().out
    assert "is no chapter name" in shown
    assert "Traceback" not in shown
    InteractiveShell.clear_instance()


def test_two_notebooks_at_once_do_not_disturb_each_other(home):
    script = textwrap.dedent(
        """
        import sys
        from helpers.lab import open_lab
        for _ in range(5):
            lab = open_lab(sys.argv[1])
            topic = lab.topic("orders", partitions=2)
            assert topic in lab.admin.list_topics()
        """
    )
    line = [sys.executable, "-c", script]
    both = [subprocess.Popen([*line, name], stderr=subprocess.PIPE, text=True) for name in ("one", "two")]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in both] == [("", 0), ("", 0)]
    assert len(embedded.clusters()) == 1


def test_a_topic_waits_for_a_broker_that_is_fenced_for_a_moment(lab, monkeypatch):
    answers = iter([InvalidReplicationFactorError("All brokers are currently fenced."), None])
    create = lab.admin.create_topics

    def busy(*arguments, **settings):
        if error := next(answers):
            raise error
        return create(*arguments, **settings)

    monkeypatch.setattr(lab.admin, "create_topics", busy)
    assert end_offset(lab, lab.topic("orders")) == 0


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("orders", {"partions": 3}, "Unknown topic config name: partions"),
        ("orders", {"retention_ms": "soon"}, "Invalid value soon"),
        ("orders", {"partitions": 1_000_000}, "Excessively large"),
        ("new orders", {}, "contains one or more characters other than"),
    ],
)
def test_a_topic_that_kafka_refuses(lab, name, settings, why):
    with pytest.raises(LabError, match=rf"(?s)testing-{name} cannot be created.*why:  .*{why}"):
        lab.topic(name, **settings)


@pytest.mark.parametrize("partitions", [0, -1, "3", 2.5, None])
def test_what_is_no_number_of_partitions(lab, partitions):
    with pytest.raises(LabError, match=rf"partitions is {partitions!r}(.|\n)*partitions=3"):
        lab.topic("orders", partitions=partitions)


def test_more_copies_than_brokers_are_refused_at_once(lab):
    start = time.monotonic()
    with pytest.raises(InvalidReplicationFactorError):
        lab.topic("orders", replication=3)
    assert time.monotonic() - start < SOON
