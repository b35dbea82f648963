"""The compose file for real: started, used, stopped and removed by Docker.

KAFKA_VERSION picks the image, as for a learner. The file fixes container names and ports, so nothing is
started where one of them is taken.
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from itertools import islice

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from . import COMPOSE_FILE, load_compose

PROJECT = "kafka-course-test"
BOOTSTRAP = "localhost:9092"
PORTS = (9092, 9094, 9095)
STOP_TIMEOUT = 10  # seconds after which Docker kills a container that does not stop
NOT_SETTINGS = {"KAFKA_HEAP_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS"}


def docker(*arguments, stdin="", timeout=180):
    """Return what `docker ARGUMENTS` prints; raise AssertionError with its words when it fails."""
    done = subprocess.run(["docker", *arguments], input=stdin, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def compose(*arguments, profile=None, stdin=""):
    """Return what `docker compose ARGUMENTS` prints for the course's file, in a project of its own."""
    chosen = ["--profile", profile] if profile else []
    return docker("compose", "-p", PROJECT, "-f", str(COMPOSE_FILE), *chosen, *arguments, stdin=stdin)


def kafka_tool(*arguments, stdin=""):
    """Run a tool in the container kafka as the notes do, only without a terminal."""
    name, *rest = arguments
    return compose("exec", "-T", "kafka", f"/opt/kafka/bin/{name}.sh", *rest, stdin=stdin)


def why_no_docker():
    """Return why Docker cannot be used here, or None."""
    if not shutil.which("docker"):
        return "no docker command"
    for question in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            answer = subprocess.run(question, capture_output=True, timeout=30)
        except subprocess.TimeoutExpired:
            return f"`{' '.join(question)}` does not answer"
        if answer.returncode:
            return f"`{' '.join(question)}` fails: no Docker engine or no Compose"
    return None


reason = why_no_docker()
if reason:
    pytest.skip(reason, allow_module_level=True)


def what_is_taken():
    """Return which port or container name of the compose file somebody else uses, or None."""
    names = set(docker("ps", "--all", "--format", "{{.Names}}").split())
    for name in load_compose()["services"]:
        if name in names:
            return f"a container named {name} exists already"
    for port in PORTS:
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"port {port} is taken"
    return None


def volumes():
    """Return the names of all Docker volumes."""
    return set(docker("volume", "ls", "--quiet").split())


def our_leftovers():
    """Return the containers, volumes and networks of these tests."""
    mine = ("--filter", f"label=com.docker.compose.project={PROJECT}", "--quiet")
    return [docker(*what, *mine).split() for what in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))]


def wait_until(condition, what, seconds=60):
    """Return condition()'s first true value; raise AssertionError when it has none within the seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"no {what} in {seconds} s:\n{compose('ps')}\n{compose('logs', '--tail', '30')}")


def described_cluster():
    """Return what the cluster says of itself, or None while no broker serves clients."""
    try:
        with closing(KafkaAdminClient(bootstrap_servers=BOOTSTRAP, bootstrap_timeout_ms=1000)) as admin:
            return admin.describe_cluster()
    except KafkaError:
        return None


def serving(count):
    """Return the cluster's description when it has that many brokers, else None."""
    cluster = described_cluster()
    return cluster if cluster and len(cluster["brokers"]) == count else None


def healthy(name):
    """Return whether Docker calls the container healthy."""
    return docker("inspect", "--format", "{{.State.Health.Status}}", name).strip() == "healthy"


def make_topic(name, **settings):
    """Create a topic."""
    with closing(KafkaAdminClient(bootstrap_servers=BOOTSTRAP)) as admin:
        admin.create_topics({name: settings})


def topics():
    """Return the names of all topics."""
    with closing(KafkaAdminClient(bootstrap_servers=BOOTSTRAP)) as admin:
        return admin.list_topics()


def send(topic, value, **settings):
    """Send one record and return its metadata."""
    with closing(KafkaProducer(bootstrap_servers=BOOTSTRAP, **settings)) as producer:
        return producer.send(topic, value).get(timeout=30)


def values(topic, count, **settings):
    """Return the first values of a topic, fewer than count if no more come within 20 seconds."""
    settings = {"auto_offset_reset": "earliest", "consumer_timeout_ms": 20_000, **settings}
    with closing(KafkaConsumer(topic, bootstrap_servers=BOOTSTRAP, **settings)) as consumer:
        return [record.value for record in islice(consumer, count)]


def run_the_notes(replicas=1):
    """Do what the notes show: create a topic, send `hello kafka`, read it, delete the topic."""
    here = ("--bootstrap-server", "localhost:9092", "--topic", "test-topic")
    copies = ("--partitions", str(replicas), "--replication-factor", str(replicas))
    assert "Created topic test-topic" in kafka_tool("kafka-topics", "--create", *here, *copies)
    kafka_tool("kafka-console-producer", *here, stdin="hello kafka\n")
    bounds = ("--max-messages", "1", "--timeout-ms", "20000")
    assert kafka_tool("kafka-console-consumer", *here, "--from-beginning", *bounds) == "hello kafka\n"
    kafka_tool("kafka-topics", "--delete", *here)
    wait_until(lambda: "test-topic" not in topics(), "end of test-topic", seconds=10)


@contextmanager
def started(profile=None):
    """Start the brokers, and whatever happens remove them with their data; skip if somebody is in the way."""
    taken = what_is_taken()
    if taken:
        pytest.skip(taken)
    try:
        compose("up", "-d", profile=profile)
        yield
    finally:
        compose("down", "-v", profile="cluster")


@pytest.fixture(scope="class")
def one_broker():
    """One broker for the tests of a class, serving clients."""
    with started():
        wait_until(lambda: serving(1), "broker that serves clients")
        yield


@pytest.mark.usefixtures("one_broker")
class TestOneBroker:
    """`docker compose -f docker-compose-kafka.yml up -d`."""

    def test_it_is_the_courses_own_broker(self):
        """It has the course's cluster id, and sends clients of this computer to 127.0.0.1:9092."""
        cluster = described_cluster()
        assert cluster["cluster_id"] == load_compose()["services"]["kafka"]["environment"]["CLUSTER_ID"]
        assert [(broker["host"], broker["port"]) for broker in cluster["brokers"]] == [("127.0.0.1", 9092)]

    def test_it_becomes_healthy(self):
        """The health check says so too, soon after."""
        wait_until(lambda: healthy("kafka"), "healthy container", seconds=20)

    def test_it_is_not_healthy_when_it_cannot_answer(self):
        """The check asks Kafka, not the port: a broker that is frozen, its port open, fails it."""
        command = load_compose()["services"]["kafka"]["healthcheck"]["test"][1:]
        docker("exec", "kafka", *command)
        docker("kill", "--signal", "STOP", "kafka")
        try:
            assert subprocess.run(["docker", "exec", "kafka", *command], timeout=30).returncode != 0
        finally:
            docker("kill", "--signal", "CONT", "kafka")
        wait_until(lambda: serving(1), "broker that serves clients")

    def test_every_setting_is_in_force(self):
        """The broker knows each setting of the file by its name, and has its value."""
        environment = load_compose()["services"]["kafka"]["environment"]
        wanted = {
            key.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
            for key, value in environment.items()
            if key.startswith("KAFKA_") and key not in NOT_SETTINGS
        }
        broker = ConfigResource(ConfigResourceType.BROKER, "1")
        with closing(KafkaAdminClient(bootstrap_servers=BOOTSTRAP)) as admin:
            actual = admin.describe_configs([broker], config_filter="all")["broker"]["1"]
        assert {name: actual[name]["value"] for name in wanted if name in actual} == wanted

    def test_the_notes_commands(self):
        """All four work as written."""
        run_the_notes()

    def test_a_transaction(self):
        """What is aborted is not read, what is committed is: the transaction log needs no second broker."""
        make_topic("transactions", num_partitions=1, replication_factor=1)
        with closing(KafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id="test")) as producer:
            producer.init_transactions()
            for value, finish in ((b"no", producer.abort_transaction), (b"yes", producer.commit_transaction)):
                producer.begin_transaction()
                producer.send("transactions", value).get(timeout=30)
                finish()
        assert values("transactions", 1, isolation_level="read_committed", group_id="readers") == [b"yes"]


def test_data_survives_and_nothing_else_stays(capsys):
    """After down and up the record is there; down leaves the data volumes only, down -v nothing."""
    before = volumes()
    with started():
        wait_until(lambda: serving(1), "broker that serves clients")
        make_topic("kept", num_partitions=1, replication_factor=1)
        send("kept", b"still here")

        began = time.monotonic()
        compose("down")
        down = time.monotonic() - began
        assert volumes() - before <= {f"{PROJECT}_{name}" for name in load_compose()["volumes"]}
        compose("up", "-d")
        wait_until(lambda: serving(1), "broker that serves clients")
        total = time.monotonic() - began

        assert values("kept", 1) == [b"still here"]
    assert our_leftovers() == [[], [], []]
    assert volumes() == before
    with capsys.disabled():
        version = os.environ.get("KAFKA_VERSION", "the default")
        print(f"\nKafka {version}: down {down:.1f} s, down and up until a client is served {total:.1f} s")
    assert total < 20


def test_three_brokers(capsys):
    """With the profile there are three, they replicate, the notes' commands work, and they stop in order."""
    with started(profile="cluster"):
        cluster = wait_until(lambda: serving(3), "three brokers")
        found = {(broker["host"], broker["port"]) for broker in cluster["brokers"]}
        assert found == {("127.0.0.1", port) for port in PORTS}
        for name in load_compose()["services"]:
            wait_until(lambda name=name: healthy(name), f"healthy {name}", seconds=20)

        make_topic("copies", num_partitions=3, replication_factor=3, configs={"min.insync.replicas": "3"})
        assert send("copies", b"in three places", acks="all").offset == 0
        assert values("copies", 1) == [b"in three places"]
        run_the_notes(replicas=3)

        began = time.monotonic()
        compose("down", profile="cluster")
        down = time.monotonic() - began
    assert our_leftovers() == [[], [], []]
    with capsys.disabled():
        print(f"\nthree brokers: down {down:.1f} s")
    assert down < STOP_TIMEOUT, "a broker did not stop by itself"
