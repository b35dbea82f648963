"""The doctor's checks of Kafka itself: ports, records, data, and every broker that a notebook would use."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from . import embedded
from .choose import COMPOSE_ADDRESS, COMPOSE_CLUSTER_ID, SECURITY, reasons_unreachable
from .doctor_rows import fail, ok
from .errors import course
from .places import home

ANSWER_SECONDS = 3
PORT = embedded.FIRST_PORT[1]
TOKEN = embedded.token("", "").rstrip("/")  # what every broker of this course has on its command line
COMPOSE = "docker compose -f docker-compose-kafka.yml"
UNSET = "unset KAFKA_BOOTSTRAP_SERVERS   (the course then starts its own broker; or correct the address)"
EXPORT_LEARNER = "export KAFKA_COURSE_LEARNER=ada   (a name that nobody else here has)"


# ---- what is on this computer --------------------------------------------------------------------------------------


def port_9092():
    """The usual port is free, or the lab can take another one. Raises LabError when it cannot."""
    if any(node.port == PORT for _, node in _running()):
        return ok("our broker listens on it")
    if not embedded.taken(PORT):
        return ok("free")
    other = embedded.free_ports(PORT, 1)[0]
    return ok(f"taken by {listener(PORT)}; an embedded broker takes {other} instead")


def listener(port):
    """Who listens on a port, in words."""
    try:
        pids = {c.pid for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port}
        for process in (psutil.Process(pid) for pid in pids if pid):
            what = process.name()
            if _is_broker(process):
                what = f"a broker of another checkout, in {process.cwd()}"
            return f"{what} (pid {process.pid})"
    except psutil.Error:
        return "a program that cannot be seen from here"
    return "a program that cannot be seen from here"


def record():
    """Every cluster.json can be read, and says who runs."""
    for folder in sorted(home().glob("*-*")):
        if embedded.read_record(folder) is None:
            how = "cannot be read" if (folder / "cluster.json").exists() else "is missing"
            kills = "".join(f"kill -9 {process.pid}; " for process in _brokers_in(folder))
            return fail(
                f"{folder / 'cluster.json'} {how}", f"{kills}{course('stop --wipe')}   (deletes the brokers' data)"
            )
    return ok("; ".join(map(_state, embedded.clusters())) or f"no broker was started yet in {home()}")


def _state(cluster):
    up = len(cluster.running())
    state = f"{up} of {len(cluster.nodes)} running" if up else "stopped, its data is kept"
    return f"Kafka {cluster.version} on {cluster.bootstrap}: {state}"


def data():
    """The data belongs to the record's cluster, node, version and size. (Its own files do not name Kafka's version.)"""
    for cluster in embedded.clusters():
        for node in cluster.nodes:
            folder = embedded.node_folder(cluster, node)
            if wrong := _wrong_data(cluster, node, folder / "data" / "meta.properties"):
                return fail(f"{folder}: {wrong}", f"{course('stop --wipe')}   (deletes the brokers' data)")
    for folder in sorted(home().glob("*-*")):
        found = embedded.read_record(folder)
        if found and found.folder != folder:
            seen = f"{folder} holds data of Kafka {found.version} with {len(found.nodes)} broker(s)"
            return fail(seen, f"{course('stop --wipe')}   (deletes the brokers' data)")
    return ok("as recorded")


def _wrong_data(cluster, node, meta):
    """How meta.properties differs from the record, or ""; data that is not there yet is no fault."""
    if not meta.exists():
        return ""
    found = dict(line.split("=", 1) for line in meta.read_text().splitlines() if "=" in line and line[0] != "#")
    for key, wanted in (("cluster.id", cluster.cluster_id), ("node.id", str(node.id))):
        if found.get(key) != wanted:
            return f"its data has {key}={found.get(key)}, the record says {wanted}"
    return ""


def strays():
    """No broker runs on our data without being on record."""
    recorded = {node.pid for _, node in _running()}
    found = [process for process in _brokers_in(home()) if process.pid not in recorded]
    if found:
        pids = " ".join(str(process.pid) for process in found)
        return fail(f"a broker that is not on record runs in {found[0].cwd()} (pid {pids})", f"kill -9 {pids}")
    return ok("none")


def _brokers_in(folder):
    """The processes of this course's brokers that run in this folder."""
    return [process for process in psutil.process_iter() if _is_broker(process) and _runs_in(process, folder)]


def _is_broker(process):
    try:
        return any(word.startswith(TOKEN) for word in process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _runs_in(process, folder):
    try:
        return Path(process.cwd()).is_relative_to(folder.resolve())
    except psutil.Error:
        return False


# ---- what Kafka says -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kafka:
    """A Kafka that a notebook would use now, and the command that gives the learner one that works."""

    client: dict
    mend: str

    @property
    def bootstrap(self):
        return self.client["bootstrap_servers"]

    def admin(self):
        """An admin client that gives up soon. Raises KafkaError when nothing answers."""
        from kafka import KafkaAdminClient

        limit = ANSWER_SECONDS * 1000
        return KafkaAdminClient(**self.client, bootstrap_timeout_ms=limit, request_timeout_ms=limit)


def kafkas():
    """Every Kafka that a notebook would use now; one that would have to be started first is not among them."""
    if bootstrap := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        security = {name: os.environ[variable] for variable, name in SECURITY.items() if os.environ.get(variable)}
        alive = _alive(bootstrap)
        return [Kafka({"bootstrap_servers": alive, **security}, UNSET)] if alive else []
    if ours := [cluster for cluster in embedded.clusters() if cluster.running()]:
        return [_embedded(cluster, cluster.running()) for cluster in ours]
    compose = Kafka({"bootstrap_servers": COMPOSE_ADDRESS}, f"{COMPOSE} up -d --force-recreate")
    return [compose] if _is_compose(compose) else []


def _alive(bootstrap):
    """The addresses of the list that can be reached. A client asks them by chance: dead ones would cost it seconds."""
    return ",".join(address for address in bootstrap.split(",") if not reasons_unreachable(address))


def _embedded(cluster, nodes):
    bootstrap = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return Kafka(
        {"bootstrap_servers": bootstrap}, f"{course('stop')} && {course('start')} --brokers {len(cluster.nodes)}"
    )


def _is_compose(kafka):
    if reasons_unreachable(kafka.bootstrap):
        return False
    answers = _ask([kafka], lambda admin: admin.describe_cluster()["cluster_id"])
    return answers == [(kafka, COMPOSE_CLUSTER_ID)]


def _running():
    """[(cluster, node)] of our brokers whose process runs."""
    return [(cluster, node) for cluster in embedded.clusters() for node in cluster.running()]


def _ask(asked, question):
    """[(kafka, question(admin))] for those that answer; our_broker and bootstrap_servers say why one does not."""
    if not asked:
        return []
    from kafka.errors import KafkaError

    answers = []
    for kafka in asked:
        with suppress(KafkaError), kafka.admin() as admin:
            answers.append((kafka, question(admin)))
    return answers


def our_broker():
    """Every broker of ours that runs answers."""
    found = _running()
    for cluster, node in found:
        kafka = _embedded(cluster, [node])
        if not _ask([kafka], lambda admin: True):
            paused = psutil.Process(node.pid).status() == psutil.STATUS_STOPPED
            how = "is paused (SIGSTOP)" if paused else f"does not answer within {ANSWER_SECONDS} s"
            return fail(f"broker {node.id} runs (pid {node.pid}) but {how}", _embedded(cluster, cluster.nodes).mend)
    return ok(
        ", ".join(f"127.0.0.1:{node.port} answers" for _, node in found) or "not used: none runs, a notebook starts it"
    )


def bootstrap_servers():
    """KAFKA_BOOTSTRAP_SERVERS, where it is set, names a Kafka that answers."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not bootstrap:
        return ok("not used: KAFKA_BOOTSTRAP_SERVERS is not set")
    dead, asked = reasons_unreachable(bootstrap), kafkas()
    if not asked:
        return fail(f"KAFKA_BOOTSTRAP_SERVERS={bootstrap}: {'; '.join(dead)}", UNSET)
    if not _ask(asked, lambda admin: True):
        return fail(
            f"KAFKA_BOOTSTRAP_SERVERS={bootstrap}: something listens there, but it does not answer as Kafka", UNSET
        )
    return ok("; ".join([f"{bootstrap} answers", *dead]))


def learner():
    """KAFKA_COURSE_LEARNER is there where it is needed, and fit to begin a topic's name."""
    name = os.environ.get("KAFKA_COURSE_LEARNER", "")
    if name and not (name.isascii() and name.isalnum()):
        return fail(f"KAFKA_COURSE_LEARNER={name} is no name for a topic: letters and digits only", EXPORT_LEARNER)
    if not name and os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return fail(
            "KAFKA_BOOTSTRAP_SERVERS is set and KAFKA_COURSE_LEARNER is not: others may use that Kafka too",
            EXPORT_LEARNER,
        )
    return ok(f"KAFKA_COURSE_LEARNER={name}" if name else "not used: a broker of one's own needs no name")


def advertised_address():
    """The addresses that a broker sends its clients on to can be reached from here."""
    seen = []
    for kafka, addresses in _ask(kafkas(), _advertised):
        if dead := reasons_unreachable(addresses):
            return fail(f"{kafka.bootstrap} answers, but sends clients on to {'; '.join(dead)}", kafka.mend)
        seen.append(f"{kafka.bootstrap} sends clients on to {addresses}")
    return ok("; ".join(seen) or "not used: no broker answers")


def _advertised(admin):
    """The brokers' addresses as the bootstrap answer gave them; every other request would go to them already."""
    return ",".join(f"{broker.host}:{broker.port}" for broker in admin._manager.cluster.brokers())


def consumer_groups():
    """The topic of the groups' offsets is there, or can be made with the brokers that there are."""
    seen = []
    for kafka, (brokers, wanted, present) in _ask(kafkas(), _offsets_topic):
        if wanted > brokers and not present:
            return fail(
                f"{kafka.bootstrap}: offsets.topic.replication.factor={wanted} with {brokers} broker(s): "
                "__consumer_offsets cannot be created, so every consumer group waits for ever",
                kafka.mend,
            )
        seen.append(f"__consumer_offsets {'is there' if present else 'can be created'}")
    return ok("; ".join(seen) or "not used: no broker answers")


def _offsets_topic(admin):
    """(how many brokers there are, how many copies the offsets topic wants, whether it is there)"""
    from kafka.admin import ConfigResource, ConfigResourceType

    ids = [broker["broker_id"] for broker in admin.describe_cluster()["brokers"]]
    asked = [ConfigResource(ConfigResourceType.BROKER, str(ids[0]))]
    settings = admin.describe_configs(asked, config_filter="all")["broker"][str(ids[0])]
    present = "__consumer_offsets" in admin.list_topics()
    return len(ids), int(settings["offsets.topic.replication.factor"]["value"]), present
