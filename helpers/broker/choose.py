"""Which Kafka a notebook uses: somebody's cluster, the compose file's broker, or the embedded one."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import embedded
from .errors import LabError
from .prefetch import prefetch

COMPOSE_ADDRESS = "127.0.0.1:9092"
COMPOSE_CLUSTER_ID = "kafka-course-compose-A"  # as docker-compose-kafka.yml sets it
CONNECT_SECONDS = 4

# The environment variables of a secured cluster, and kafka-python's names for them.
SECURITY = {
    "KAFKA_SECURITY_PROTOCOL": "security_protocol",
    "KAFKA_SASL_MECHANISM": "sasl_mechanism",
    "KAFKA_SASL_USERNAME": "sasl_plain_username",
    "KAFKA_SASL_PASSWORD": "sasl_plain_password",
    "KAFKA_SSL_CAFILE": "ssl_cafile",
    "KAFKA_SSL_CERTFILE": "ssl_certfile",
    "KAFKA_SSL_KEYFILE": "ssl_keyfile",
}


@dataclass(frozen=True)
class Chosen:
    """A broker to use: its kind ("external", "compose" or "embedded"), and the settings of every client."""

    kind: str
    client: dict
    line: str

    @property
    def bootstrap(self):
        return self.client["bootstrap_servers"]


def choose_broker(brokers=1, say=print):
    """The broker for a notebook that needs this many; starts the embedded one if no other is there.

    Raises LabError when KAFKA_BOOTSTRAP_SERVERS names a cluster that does not answer or is too small, and what
    prefetch and start raise.
    """
    if os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return _external(brokers)
    return _compose(brokers) or _embedded(brokers, say)


def _external(brokers):
    from kafka.errors import KafkaError

    client = {"bootstrap_servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"]}
    client |= {name: os.environ[variable] for variable, name in SECURITY.items() if os.environ.get(variable)}
    unreachable = reasons_unreachable(client["bootstrap_servers"])
    if len(unreachable) == len(client["bootstrap_servers"].split(",")):
        raise _dead(client, "; ".join(unreachable))
    try:
        found = describe(client)
    except (KafkaError, OSError, ValueError) as error:
        raise _dead(client, f"{type(error).__name__}: {error}") from error
    if len(found["brokers"]) < brokers:
        raise LabError(
            f"This chapter needs {brokers_text(brokers)}, and your cluster has {len(found['brokers'])}.",
            f"KAFKA_BOOTSTRAP_SERVERS={client['bootstrap_servers']} is set",
            "unset KAFKA_BOOTSTRAP_SERVERS   (the course then starts its own three)",
        )
    return Chosen("external", client, f"Kafka at {client['bootstrap_servers']} (KAFKA_BOOTSTRAP_SERVERS)")


def _dead(client, why):
    return LabError(
        f"No Kafka answers at KAFKA_BOOTSTRAP_SERVERS={client['bootstrap_servers']}.",
        why,
        "correct the address, or: unset KAFKA_BOOTSTRAP_SERVERS   (the course then starts its own broker)",
    )


def reasons_unreachable(bootstrap):
    """Why a TCP connection to each dead address of a bootstrap list fails, as sentences; empty when all answer."""
    with ThreadPoolExecutor() as pool:
        return [reason for reason in pool.map(_reason_unreachable, bootstrap.split(",")) if reason]


def _reason_unreachable(address):
    host, _, port = address.strip().rpartition(":")
    if not host or not port.isdigit():
        return f"{address!r} is not host:port"
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS / 2).close()
    except (OSError, OverflowError) as error:
        return f"{address}: {error}"
    return None


def describe(client):
    """The cluster's id, controller and brokers, as kafka-python's describe_cluster() says."""
    from kafka import KafkaAdminClient  # here, so that the doctor starts where this import fails

    with KafkaAdminClient(
        **client, bootstrap_timeout_ms=CONNECT_SECONDS * 1000, request_timeout_ms=CONNECT_SECONDS * 1000
    ) as admin:
        return admin.describe_cluster()


def compose_broker():
    """What describe() says of the compose file's broker if it answers on its port, else None."""
    from kafka.errors import KafkaError

    if any(node.port == 9092 for cluster in embedded.clusters() for node in cluster.running()):
        return None
    if reasons_unreachable(COMPOSE_ADDRESS):
        return None
    try:
        found = describe({"bootstrap_servers": COMPOSE_ADDRESS})
    except (KafkaError, OSError, ValueError):
        return None
    return found if found["cluster_id"] == COMPOSE_CLUSTER_ID else None


def _compose(brokers):
    found = compose_broker()
    if found is None or len(found["brokers"]) < brokers:
        return None
    count = len(found["brokers"])
    return Chosen(
        "compose",
        {"bootstrap_servers": COMPOSE_ADDRESS},
        f"Kafka in Docker (docker-compose-kafka.yml), {brokers_text(count)}",
    )


def _embedded(brokers, say):
    prefetch(verify=False)
    cluster = embedded.start(brokers, say)
    return Chosen(
        "embedded",
        {"bootstrap_servers": cluster.bootstrap},
        f"Kafka {cluster.version}, embedded, {brokers_text(brokers)}",
    )


def brokers_text(count):
    """ "1 broker", "3 brokers" """
    return f"{count} broker{'s' * (count != 1)}"
