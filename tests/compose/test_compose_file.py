"""What the compose file has to say, read without Docker, and the proof that each check can fail."""

import base64
import copy
import re
import struct

import pytest

from . import load_compose

DATA = "/var/lib/kafka/data"
HOST_PORTS = {"kafka": 9092, "kafka-2": 9094, "kafka-3": 9095}
IMAGE_VOLUMES = {"/etc/kafka/secrets", "/mnt/shared/config"}  # the image declares these beside the data
IMAGE_CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"
# Its size, the key of Metadata, version 1, correlation id 0, no client id, no topics.
METADATA_REQUEST = struct.pack(">ihhihi", 14, 3, 1, 0, -1, 0)

# One KAFKA_ variable switches the image's default file off, so each of these has to be there.
NEEDED = {
    "KAFKA_NODE_ID",
    "KAFKA_PROCESS_ROLES",
    "KAFKA_CONTROLLER_QUORUM_VOTERS",
    "KAFKA_CONTROLLER_LISTENER_NAMES",
    "KAFKA_INTER_BROKER_LISTENER_NAME",
    "KAFKA_LISTENERS",
    "KAFKA_ADVERTISED_LISTENERS",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
    "KAFKA_LOG_DIRS",
    "CLUSTER_ID",
}
SINGLE_COPIES = {
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR",
    "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR",
}


def environments(compose):
    """Return service name -> its environment."""
    return {name: service["environment"] for name, service in compose["services"].items()}


def listeners(text):
    """Return listener name -> (host, port) of a KAFKA_LISTENERS or KAFKA_ADVERTISED_LISTENERS value."""
    found = {}
    for entry in text.split(","):
        name, address = entry.split("://")
        host, port = address.rsplit(":", 1)
        found[name] = (host, int(port))
    return found


def check_services(compose):
    """One broker without a profile, two more with it, each in a container of its own name."""
    services = compose["services"]
    assert {name: service.get("profiles") for name, service in services.items()} == {
        "kafka": None,
        "kafka-2": ["cluster"],
        "kafka-3": ["cluster"],
    }
    assert all(service["container_name"] == name for name, service in services.items())


def check_image(compose):
    """The official image, the version picked by KAFKA_VERSION, 4.0.0 by default."""
    for service in compose["services"].values():
        assert service["image"] == "apache/kafka:${KAFKA_VERSION:-4.0.0}"


def check_needed_settings(compose):
    """Nothing is missing that the image's default file would have set, and nothing is a YAML boolean."""
    for name, environment in environments(compose).items():
        missing = (NEEDED | SINGLE_COPIES) - set(environment)
        assert not missing, f"{name} lacks {sorted(missing)}"
        assert all(type(value) in (str, int) for value in environment.values())


def check_single_copies(compose):
    """Kafka's own topics can be made by one broker."""
    for environment in environments(compose).values():
        assert {environment[key] for key in SINGLE_COPIES} == {1}


def check_published_on_loopback(compose):
    """One port each, on 127.0.0.1 only, leading to the listener that advertises just that address."""
    for name, service in compose["services"].items():
        (port,) = service["ports"]
        ip, outside, inside = port.split(":")
        assert (ip, int(outside)) == ("127.0.0.1", HOST_PORTS[name])
        environment = service["environment"]
        assert listeners(environment["KAFKA_ADVERTISED_LISTENERS"])["HOST"] == (ip, int(outside))
        assert listeners(environment["KAFKA_LISTENERS"])["HOST"] == ("", int(inside))


def check_addresses_in_containers(compose):
    """In a container localhost:9092 works, and what it advertises is reached from every other container."""
    for name, environment in environments(compose).items():
        assert listeners(environment["KAFKA_LISTENERS"])["DOCKER"] == ("", 9092)
        assert listeners(environment["KAFKA_ADVERTISED_LISTENERS"])["DOCKER"] == (name, 9092)
        assert environment["KAFKA_INTER_BROKER_LISTENER_NAME"] == "DOCKER"


def check_listeners(compose):
    """Each listener has a protocol, and only the node with the controller role opens the controller's."""
    for environment in environments(compose).values():
        own = set(listeners(environment["KAFKA_LISTENERS"]))
        pairs = environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
        protocols = dict(pair.split(":") for pair in pairs)
        assert own <= set(protocols)
        controller = environment["KAFKA_CONTROLLER_LISTENER_NAMES"]
        assert controller in protocols
        assert (controller in own) == ("controller" in environment["KAFKA_PROCESS_ROLES"].split(","))
        assert set(listeners(environment["KAFKA_ADVERTISED_LISTENERS"])) == own - {controller}


def check_controller(compose):
    """All nodes name the same voter, kafka, at the port where it listens; node ids differ."""
    nodes = environments(compose)
    first = nodes["kafka"]
    port = listeners(first["KAFKA_LISTENERS"])["CONTROLLER"][1]
    assert {node["KAFKA_CONTROLLER_QUORUM_VOTERS"] for node in nodes.values()} == {
        f"{first['KAFKA_NODE_ID']}@kafka:{port}"
    }
    assert {node["KAFKA_NODE_ID"] for node in nodes.values()} == {1, 2, 3}
    roles = [node["KAFKA_PROCESS_ROLES"] for node in nodes.values()]
    assert roles == ["broker,controller", "broker", "broker"]


def check_stop_order(compose):
    """The brokers stop before their controller, or each would wait for it until it is killed."""
    for name in ("kafka-2", "kafka-3"):
        assert compose["services"][name]["depends_on"] == ["kafka"]


def check_data_volume(compose):
    """A named volume of its own for each broker, exactly where the image's user may write and Kafka does."""
    used = []
    for service in compose["services"].values():
        (volume,) = service["volumes"]
        source, target = volume.split(":")
        assert target == DATA == service["environment"]["KAFKA_LOG_DIRS"]
        assert source in compose["volumes"], f"{source} is a folder of the host or not declared"
        used.append(source)
    assert sorted(used) == sorted(compose["volumes"])


def check_no_anonymous_volume(compose):
    """What else the image declares as a volume is kept in memory."""
    for service in compose["services"].values():
        assert set(service["tmpfs"]) == IMAGE_VOLUMES


def check_cluster_id(compose):
    """One valid id for all nodes (16 bytes, as Kafka itself writes them), and not the image's default."""
    (cluster_id,) = {environment["CLUSTER_ID"] for environment in environments(compose).values()}
    raw = base64.urlsafe_b64decode(cluster_id + "==")
    assert len(raw) == 16
    assert base64.urlsafe_b64encode(raw).decode().rstrip("=") == cluster_id != IMAGE_CLUSTER_ID


def check_health(compose):
    """A real request to the listener that clients use, no Java started, often enough and never for long."""
    for service in compose["services"].values():
        health = service["healthcheck"]
        command = " ".join(health["test"])
        assert health["test"][0] == "CMD"
        assert ".sh" not in command
        port = listeners(service["environment"]["KAFKA_LISTENERS"])["HOST"][1]
        assert f"/dev/tcp/localhost/{port} " in command
        request = re.search(r"printf '([^']*)'", command).group(1)
        assert request.encode().decode("unicode_escape").encode("latin-1") == METADATA_REQUEST
        assert all(re.fullmatch(r"[1-5]s", health[key]) for key in ("interval", "timeout"))


def check_lesson_settings(compose):
    """What the chapters count on: no surprise topics, quick groups, a quick restart, bounded memory."""
    for environment in environments(compose).values():
        assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
        assert environment["KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS"] == 0
        assert environment["KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS"] <= 1000
        assert environment["KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS"] <= 1000
        assert 2**20 < environment["KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE"] <= 2**23
        assert re.search(r"-Xmx\d{1,3}m", environment["KAFKA_HEAP_OPTS"])
        timeout = environment["KAFKA_BROKER_SESSION_TIMEOUT_MS"]
        assert 1000 <= timeout <= 3000
        assert environment["KAFKA_BROKER_HEARTBEAT_INTERVAL_MS"] * 4 <= timeout


ENVIRONMENT = ("services", "kafka", "environment")
GONE = object()
BROKEN = [
    (check_services, ("services", "kafka-3"), GONE),
    (check_services, ("services", "kafka-2", "profiles"), GONE),
    (check_services, ("services", "kafka", "container_name"), "broker"),
    (check_image, ("services", "kafka", "image"), "apache/kafka:latest"),
    (check_image, ("services", "kafka-2", "image"), "apache/kafka:4.0.0"),
    *[(check_needed_settings, (*ENVIRONMENT, key), GONE) for key in sorted(NEEDED | SINGLE_COPIES)],
    (check_needed_settings, (*ENVIRONMENT, "KAFKA_AUTO_CREATE_TOPICS_ENABLE"), False),
    *[(check_single_copies, (*ENVIRONMENT, key), 3) for key in sorted(SINGLE_COPIES)],
    (check_published_on_loopback, ("services", "kafka", "ports"), ["9092:19092"]),
    (check_published_on_loopback, ("services", "kafka", "ports"), ["0.0.0.0:9092:19092"]),
    (check_published_on_loopback, ("services", "kafka", "ports"), ["127.0.0.1:9092:9092"]),
    (check_published_on_loopback, ("services", "kafka-2", "ports"), ["127.0.0.1:9093:19092"]),
    (check_published_on_loopback, ("services", "kafka", "ports"), ["127.0.0.1:9092:19092", "9093:9093"]),
    (
        check_published_on_loopback,
        ("services", "kafka-3", "environment", "KAFKA_ADVERTISED_LISTENERS"),
        "DOCKER://kafka-3:9092,HOST://127.0.0.1:9092",
    ),
    (
        check_addresses_in_containers,
        ("services", "kafka-2", "environment", "KAFKA_ADVERTISED_LISTENERS"),
        "DOCKER://kafka:9092,HOST://127.0.0.1:9094",
    ),
    (
        check_addresses_in_containers,
        (*ENVIRONMENT, "KAFKA_LISTENERS"),
        "CONTROLLER://:9091,DOCKER://:9093,HOST://:9092",
    ),
    (
        check_listeners,
        (*ENVIRONMENT, "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"),
        "DOCKER:PLAINTEXT,HOST:PLAINTEXT",
    ),
    (check_listeners, (*ENVIRONMENT, "KAFKA_LISTENERS"), "DOCKER://:9092,HOST://:19092"),
    (
        check_listeners,
        ("services", "kafka-2", "environment", "KAFKA_LISTENERS"),
        "CONTROLLER://:9091,DOCKER://:9092,HOST://:19092",
    ),
    (check_controller, (*ENVIRONMENT, "KAFKA_CONTROLLER_QUORUM_VOTERS"), "1@localhost:9091"),
    (check_controller, ("services", "kafka-2", "environment", "KAFKA_NODE_ID"), 1),
    (check_controller, ("services", "kafka-2", "environment", "KAFKA_PROCESS_ROLES"), "broker,controller"),
    (check_stop_order, ("services", "kafka-2", "depends_on"), []),
    (check_data_volume, ("services", "kafka", "volumes"), ["./kafka-data:/var/lib/kafka/data"]),
    (check_data_volume, ("services", "kafka", "volumes"), ["kafka-data:/var/lib/kafka"]),
    (check_data_volume, ("services", "kafka-2", "volumes"), ["kafka-data:/var/lib/kafka/data"]),
    (check_data_volume, (*ENVIRONMENT, "KAFKA_LOG_DIRS"), "/tmp/kafka-logs"),
    (check_data_volume, ("volumes", "kafka-data"), GONE),
    (check_no_anonymous_volume, ("services", "kafka", "tmpfs"), ["/etc/kafka/secrets"]),
    (check_cluster_id, (*ENVIRONMENT, "CLUSTER_ID"), "kafka-course"),
    (check_cluster_id, (*ENVIRONMENT, "CLUSTER_ID"), "kafka-course-compose-B"),
    (
        check_health,
        ("services", "kafka", "healthcheck", "test"),
        ["CMD", "/opt/kafka/bin/kafka-topics.sh", "--list"],
    ),
    (check_health, (*ENVIRONMENT, "KAFKA_LISTENERS"), "CONTROLLER://:9091,DOCKER://:9092,HOST://:9094"),
    (check_health, ("services", "kafka", "healthcheck", "interval"), "60s"),
    (check_health, ("services", "kafka", "healthcheck", "timeout"), GONE),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_AUTO_CREATE_TOPICS_ENABLE"), "true"),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS"), 3000),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS"), 6000),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_LOG_RETENTION_CHECK_INTERVAL_MS"), 300000),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE"), 2**27),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_HEAP_OPTS"), "-Xmx1G -Xms1G"),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_BROKER_SESSION_TIMEOUT_MS"), 9000),
    (check_lesson_settings, (*ENVIRONMENT, "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS"), 2000),
]
CHECKS = list(dict.fromkeys(check for check, _, _ in BROKEN))


def changed(compose, path, value):
    """Return a copy of compose in which the entry at path is value, or gone."""
    result = copy.deepcopy(compose)
    *parents, last = path
    place = result
    for key in parents:
        place = place[key]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return result


def test_every_check_is_listed():
    """A check without a broken copy would not run at all."""
    assert {check.__name__ for check in CHECKS} == {name for name in globals() if name.startswith("check_")}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_compose_file(check):
    """The file in this repository passes."""
    check(load_compose())


@pytest.mark.parametrize(("check", "path", "value"), BROKEN)
def test_broken_copy_is_noticed(check, path, value):
    """A copy with one entry changed for the worse does not."""
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check(changed(load_compose(), path, value))
